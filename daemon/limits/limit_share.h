/* SPDX-License-Identifier: ISC */
/* Sessions of several engines of a machine, counted as one: what one of them tells of its table,
 * and what the other adds to its own. An address or user is named by its kind and its text. One
 * thread at a time for each object; the tables have their locks. */
#pragma once

#include "base/container/map.h"
#include "limits/limits.h"

#define LIMIT_SHARE_STEP 4096 /* entries that are looked at in a step, or a stripe */

enum limit_share_kind {
    LIMIT_SHARE_ADDRESS = 'a',
    LIMIT_SHARE_USER = 'u',
    LIMIT_SHARE_GUESS = 'g', /* a user that is guessed at; of nodes of a fleet only */
};

/* ---- telling ---- */

/* What was told of a table. Zeros = nothing yet. */
struct limit_telling {
    struct map known; /* struct limit_told, owned */
    uint32_t round;
    size_t stripe; /* that is looked at next: of the addresses, then of the users */
};
/* Looks at a part of the table, and says what has changed since it was told: sessions of an
 * address or user, 0 = none any more. After 2 * n_stripes calls, mostly one, all was looked at.
 * -ERR_NOMEM: the rest is told by later calls. */
int limit_telling_step(struct limit_telling *t, struct limits *l,
                       void (*changed)(void *arg, enum limit_share_kind kind, const char *name,
                                       uint32_t sessions),
                       void *arg) NODISCARD;
void limit_telling_fini(struct limit_telling *t);

/* ---- hearing ---- */

/* Sessions of one other engine that were added to a table. Zeros = none. */
struct limit_heard {
    struct map known; /* struct limit_told, owned */
};
/* An address or user has so many sessions there. -ERR_PROTOCOL: no such name; -ERR_NOMEM. */
int limit_heard_take(struct limit_heard *h, struct limits *l, const struct config_limits *c,
                     enum limit_share_kind kind, const char *name, uint32_t sessions,
                     uint64_t now_ms) NODISCARD;
/* That engine is gone: takes all of it off the table. */
void limit_heard_fini(struct limit_heard *h, struct limits *l, const struct config_limits *c,
                      uint64_t now_ms);
