/* SPDX-License-Identifier: ISC */
/* What the engine that replaced this one asks of its workers, and their answers. All functions:
 * control thread. */
#pragma once

#include "peers/peer_engine.h"

struct control;
struct peer_serve;

/* Nobody asks yet. -ERR_NOMEM. */
int peer_serve_new(struct control *c, struct peer_serve **ret) NODISCARD;
void peer_serve_free(struct peer_serve *s); /* NULL is fine */

/* A question or an order; -ERR_x: it makes no sense, and the connection is worth nothing. */
int peer_serve_query(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_next(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_kill(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_hold(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_wake(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_trace(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_trace_end(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;
int peer_serve_trace_seen(struct peer_serve *s, struct peer_engine *e, const json_t *m) NODISCARD;

/* Its connection is gone: ends all that it asked for. */
void peer_serve_forget(struct peer_serve *s, const struct peer_engine *e);
