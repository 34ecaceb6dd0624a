/* SPDX-License-Identifier: ISC */
/* What engines tell each other of the state that each keeps in memory: users to be judged anew,
 * bans and overrides, states of backends, the log level. All functions: control thread. */
#pragma once

#include "peers/peer_engine.h"
#include "rpc/request.h"

struct control;
struct rule;

/* ---- the engine that serves ---- */

/* Tells what a change was about: r has its parameters. */
void peer_state_tell(struct peer_engine *e, enum command_reach reach, const struct request *r);
/* Tells everything: it missed some of it. */
void peer_state_tell_all(struct peer_engine *e);

/* ---- the one that was replaced; -ERR_x: what came makes no sense ---- */

/* Cached answers about a user are forgotten; where none is named, those about all. */
int peer_state_forget(struct control *c, struct peer_engine *e, const json_t *m) NODISCARD;
/* Operators' states of backends: those that this engine has, too, take them over. */
int peer_state_backends(struct control *c, struct peer_engine *e, const json_t *m) NODISCARD;
/* Bans and overrides: single ones, or all in the place of those that are here. */
int peer_state_rules(struct control *c, struct peer_engine *e, const json_t *m) NODISCARD;
/* The level of the log. */
int peer_state_level(struct control *c, struct peer_engine *e, const json_t *m) NODISCARD;
/* All before it was taken in: says so. */
int peer_state_sync(struct control *c, struct peer_engine *e, const json_t *m) NODISCARD;
/* A ban that failures led to here: the other engine takes it in, too; it is in the store already.
 */
void peer_state_tell_ban(struct peer_engine *e, const struct rule *ban);
