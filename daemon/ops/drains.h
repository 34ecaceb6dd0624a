/* SPDX-License-Identifier: ISC */
/* Emptying backends: an operation that follows the sessions of one backend or several, and ends
 * them when asked to, at one rate over all. All functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "rpc/request.h"

struct control;
struct drain_spec {
    struct backend *const *backends; /* at least one */
    size_t n;
    enum backend_admin admin; /* the drain is over when the operator says otherwise */
    bool is_kicking;          /* end the sessions, the longest idle first */
    uint64_t deadline_ms;     /* from now on: then end those that are left; 0 = never */
    uint64_t rate;            /* sessions in rate_per seconds; 0 = all at once */
    uint64_t rate_per;        /* 0 = 1 */
    uint64_t grace_ms;        /* for each to reach a moment between two responses */
    const char *text;         /* words for the clients, copied; NULL = the usual ones */
    bool is_removed;          /* take the backend, one, out when it is empty */
};

/* Begins a drain, or lets the one that runs over the same backends follow these wishes; those of
 * other drains are taken from them. Answers r, which it takes over. */
void drain_start(struct request *r, const struct drain_spec *spec, bool is_changed);
/* Appends the terms of a filter that finds the sessions of these backends. -ERR_NOMEM. */
int drain_terms(struct buf *text, struct backend *const *backends, size_t n) NODISCARD;
/* The operator's word for a backend has changed: a drain of another word is over for it. */
void drains_notice(struct control *c, const struct backend *b);
