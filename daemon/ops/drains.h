/* SPDX-License-Identifier: ISC */
/* Emptying backends: an operation that follows the sessions of a backend and ends them when asked
 * to. All functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "rpc/request.h"

struct control;
struct drain_spec {
    struct backend *backend;
    enum backend_admin admin; /* the drain is over when the operator says otherwise */
    bool is_kicking;          /* end the sessions, the longest idle first */
    uint64_t deadline_ms;     /* from now on: then end those that are left; 0 = never */
    uint64_t rate;            /* sessions a second; 0 = all at once */
    uint64_t grace_ms;        /* for each to reach a moment between two responses */
    const char *text;         /* words for the clients, copied; NULL = the usual ones */
    bool is_removed;          /* take the backend out when it is empty */
};

/* Begins a drain, or lets the one that runs follow these wishes; answers r, which it takes over. */
void drain_start(struct request *r, const struct drain_spec *spec, bool is_changed);
/* The operator's word for a backend has changed: a drain of another word ends. */
void drains_notice(struct control *c, const struct backend *b);
