/* SPDX-License-Identifier: ISC */
/* Limits over several nodes of a fleet: which addresses and users of this one the others have to
 * know of, and what those have. Who is far from every limit is never told of.
 *
 * An entry is near a limit when a node has sessions of limit / (2 * nodes), and two: while none
 * has, all together have less than half of the limit, or one each. From then on each node tells all
 * that it has of it, so that the sum is exact but for the age of what was told. */
#pragma once

#include "limits/limit_share.h"

#define LIMIT_OTHERS_MAX 65536 /* addresses and users that others tell of */
#define LIMIT_SCAN_STEP 1000   /* entries that one step of a scan looks at */

/* An address or user, and what one node has of it. */
struct limit_part {
    enum limit_share_kind kind;
    char name[256]; /* address (of IPv6 its /64) or user */
    uint32_t sessions, failures;
    /* Of an address: users that failed, that logged in. Of a user that is guessed at: wrong
     * passwords, and addresses that they came from. */
    struct distinct_bits first, second;
    uint32_t weight; /* 1/1000 of the limit that it is nearest to, of this node alone */
};

/* ---- what is told; one thread, the tables have their locks ---- */

/* How many nodes there are from now on; 0 or 1: nobody is told of. has_users: users, too. */
void limits_set_nodes(struct limits *l, unsigned n_nodes, bool has_users);
#define LIMITS_NEAR_STRIPES(l) (2 * (l)->n_stripes + 1)
/* The entries near a limit of a stripe (addresses, from n_stripes on users, the last those that are
 * guessed at), in any order. Forgets those that are near no more. */
void limits_near_each(struct limits *l, const struct config_limits *c, size_t stripe,
                      uint64_t now_ms, void (*fn)(void *arg, const struct limit_part *p),
                      void *arg);

/* A scan of all entries for those near a limit: nodes come and limits change while an entry does
 * not. Zeros = at the beginning. */
struct limit_scan {
    size_t stripe;
    bool is_walking;
    struct safe_iter walk;
};
/* A step of it; after the last stripe it begins anew. True: it just did. */
bool limit_scan_step(struct limit_scan *s, struct limits *l, const struct config_limits *c,
                     uint64_t now_ms);
void limit_scan_fini(struct limit_scan *s, struct limits *l);

/* ---- what is heard ---- */

/* What all others have, as far as the table was told. Zeros = nothing. */
struct limit_others {
    struct map known; /* struct limit_other, owned */
    uint32_t round;
    size_t n_left_out; /* of this round */
};
/* Sums up anew: begin, what each node has, end. What is not there any more counts no longer. */
void limit_others_begin(struct limit_others *o);
/* -ERR_PROTOCOL: no such name; -ERR_TOO_MANY, -ERR_NOMEM. */
int limit_others_add(struct limit_others *o, const struct limit_part *p) NODISCARD;
void limit_others_end(struct limit_others *o, struct limits *l, const struct config_limits *c,
                      uint64_t now_ms);
/* Nothing of others counts. */
void limit_others_fini(struct limit_others *o, struct limits *l, const struct config_limits *c,
                       uint64_t now_ms);

/* ---- as bytes ---- */

/* Appends a part: kind, length of the name, name, two numbers, and whether two sets follow.
 * -ERR_NOMEM. */
int limit_part_put(struct buf *out, const struct limit_part *p) NODISCARD;
/* Takes the first off rest. -ERR_PROTOCOL. */
int limit_part_take(struct str *rest, struct limit_part *ret) NODISCARD;
