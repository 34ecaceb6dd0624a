/* SPDX-License-Identifier: ISC */
/* The workers of this engine and, after an upgrade, those of the engines that finish their sessions
 * beside it: asked alike, and answering alike. Who asks all of them sees all sessions of the
 * daemon. What another engine does not answer in time ends without rows, and the engine is named in
 * the answer of the command (see peers.h). All functions: control thread. */
#pragma once

#include "session/admin/query.h"
#include "session/trace.h"

struct control;

/* Looks for a worker with the number *w or a higher one; false: there is none. Numbers stay the
 * same while a worker is there:
 *     for (size_t w = 0; worker_next(c, &w); w++) */
bool worker_next(const struct control *c, size_t *w);
/* Above the number of every worker that there may ever be. */
size_t worker_room(const struct control *c);
/* Is it this one that has the session, if it is there still? */
bool worker_has(const struct control *c, size_t w, uint64_t id);

/* As the session_..._post of session/admin/query.h and session/trace.h; worker numbers in the
 * answers are those of here. -ERR_NOMEM, -ERR_TOO_MANY. */
int worker_query(struct control *c, size_t w, const struct session_query_spec *spec) NODISCARD;
int worker_query_next(struct control *c, size_t w, uint64_t number, bool is_cancelled) NODISCARD;
int worker_kill(struct control *c, size_t w, const struct session_kill_spec *spec) NODISCARD;
int worker_hold(struct control *c, size_t w, const struct session_hold_spec *spec) NODISCARD;
int worker_wake(struct control *c, size_t w, const char *user) NODISCARD;
int worker_trace(struct control *c, size_t w, const struct session_trace_spec *spec) NODISCARD;
int worker_trace_end(struct control *c, size_t w, uint64_t number) NODISCARD;
int worker_trace_seen(struct control *c, size_t w, uint64_t number, size_t weight) NODISCARD;
