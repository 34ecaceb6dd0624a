/* SPDX-License-Identifier: ISC */
/* Inside of peers: the object, and what its two files share. All functions: control thread. */
#pragma once

#include "peers/peer_engine.h"
#include "peers/peers.h"
#include "runtime/state.h"

#define PEERS_PROTOCOL 1

struct peers {
    struct control *control;
    const struct peers_hooks *hooks;
    struct peer_claim *claim; /* NULL = all have told their places, or need not */
    struct loop_timer tick;
    struct list waiting; /* requests that are held back */
    struct list syncs;   /* struct peers_sync */
    bool is_listed;      /* the supervisor has said who finishes */
    bool is_retired;
};

/* How the own operations are, for the engine that serves. is_anew: it has heard of none yet. */
void peer_tell_ops(const struct peers *p, struct peer_engine *e, bool is_anew);
/* A message of another engine; what this one need not know is passed over. -ERR_x: it makes no
 * sense, and the connection is worth nothing. */
int peers_hear(struct peers *p, struct peer_engine *e, const char *method,
               const json_t *params) NODISCARD;
