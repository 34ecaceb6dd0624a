/* SPDX-License-Identifier: ISC */
/* Inside of limits: what limits.c and those beside it share. */
#pragma once

#include "limits/limit_past.h"
#include "limits/limits.h"

/* Is it an address that counts? UNIX sockets do not. */
bool limits_are_counted(const struct addr *a);
/* Locks the stripe of an address, of a user's name. */
struct limit_sources *limits_lock_sources(struct limits *l, const struct limit_from *a);
struct limit_users *limits_lock_users(struct limits *l, const struct hashed_key *user);
/* After a change of s: what counts no longer is forgotten. s may be gone. */
void limits_keep_source(struct limits *l, struct limit_sources *t, struct limit_source *s,
                        const struct config_limits *c, uint64_t now_ms);
/* The same, and the stripe is unlocked. */
void limits_settle_source(struct limits *l, struct limit_sources *t, struct limit_source *s,
                          const struct config_limits *c, uint64_t now_ms);
/* Failures of an address before a ban. RULE_KEEP: they are not configured to lead to one; 0: they
 * lead to nothing. */
uint64_t limits_failures(struct limits *l, const struct config_limits *c, const struct addr *a);

#define LIMITS_NEAR_LEAST 2 /* of one session, or one typing error, other nodes need not hear */

/* Does it take a part of a limit (0 = none) that other nodes have to know of? While no node has so
 * much, all of n_nodes together have less than half of the limit, or one each. */
static inline bool limits_is_near(unsigned n_nodes, uint64_t n, uint64_t max)
{
    return n_nodes > 1 && n >= LIMITS_NEAR_LEAST && max > 0 && 2 * n * n_nodes >= max;
}

/* Of how many nodes limits_is_near has to think: limits.n_nodes or .n_nodes_users. */
static inline unsigned limits_nodes(const _Atomic unsigned *n_nodes)
{
    return atomic_load_explicit(n_nodes, memory_order_relaxed);
}

/* The first number of failures that something follows from; 0 = none. most: see limits_failures. */
static inline uint64_t limits_first_failures(const struct config_limits *c, uint64_t most)
{
    uint64_t ban = most == RULE_KEEP ? 0 : most, delay = c->failures_before_delay;
    return most == 0 ? 0 : delay == 0 || (ban && ban < delay) ? ban : delay;
}
