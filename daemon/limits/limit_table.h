/* SPDX-License-Identifier: ISC */
/* The addresses and users that limits count, in stripes: each has a lock of its own, so that the
 * workers seldom wait for one another. What holds of an entry is decided in limit_past.c and
 * limits.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/addr.h"
#include "base/container/distinct.h"
#include "base/container/safe_iter.h"
#include "base/container/table.h"
#include "base/container/wheel.h"

/* An address or user of which other nodes of a fleet hear, since it is near a limit, or of which
 * they told. */
struct limit_near {
    struct list link;                     /* of the stripe's */
    void *of;                             /* struct limit_source or limit_user */
    uint32_t sessions, failures;          /* at other nodes */
    struct distinct_bits failed, welcome; /* users that failed there, that logged in; of a source */
};

/* What an address did, as long as it counts. */
struct limit_past {
    struct limit_source *source;
    struct list idle; /* of the stripe's */
    struct wheel_timer timer;
    uint32_t refused;
    uint32_t failures;
    uint32_t level_milli;       /* logins of the last minute, drained as time goes by; in 1/1000 */
    struct distinct guesses;    /* wrong credentials of the failures */
    struct distinct fails, oks; /* users that failed, and that logged in since the first failed */
    uint64_t level_at_ms, failures_since_ms, users_since_ms;
    uint64_t ban_due_ms; /* a ban is being made: until then it counts as banned; 0 = none */
    _Atomic uint64_t news_ms;
};

/* Where somebody comes from: the address as it is counted, and its hash. */
struct limit_from {
    struct addr addr; /* as addr_limit_key makes it */
    uint64_t hash;    /* of struct hashed_key */
};
/* a may be any address, also one that is not counted. Thread: any. */
struct limit_from limit_from_of(const struct addr *a);

/* An address. Most have sessions and nothing else: what they did before is kept apart. */
struct limit_source {
    struct list link; /* of the stripe's */
    struct addr addr; /* as addr_limit_key makes it */
    uint32_t sessions;
    struct limit_past *past; /* NULL = nothing that counts */
    struct limit_near *near; /* NULL = far from any limit */
};

/* A user with sessions. */
struct limit_user {
    struct list link; /* of the stripe's */
    uint32_t sessions, refused;
    uint32_t own_max; /* what its entry allows, as far as its last login told; 0 = as configured */
    struct limit_near *near; /* as of a source */
    char name[];
};

/* Under lock: everything in it, and the entries. */
struct limit_sources {
    pthread_mutex_t lock;
    struct table by_addr;
    struct list all, walks;
    struct list near;
    struct list idle; /* pasts of sources without sessions, oldest first */
    struct wheel wheel;
    size_t n_idle, max_idle, n_near;
};

struct limit_users {
    pthread_mutex_t lock;
    struct table by_name;
    struct list all, walks;
    struct list near;
    size_t n_near;
};

/* ---- the caller holds the lock, but for init and fini ---- */

/* max_idle: pasts of sources without sessions that are kept; now_ms: where its wheel begins. Fini
 * frees all sources. */
void limit_sources_init(struct limit_sources *t, size_t max_idle, uint64_t now_ms);
void limit_sources_fini(struct limit_sources *t);
/* NULL when nothing is known of it. */
struct limit_source *limit_source_find(const struct limit_sources *t, const struct limit_from *a);
/* Makes it. NULL when out of memory. */
struct limit_source *limit_source_take(struct limit_sources *t, const struct limit_from *a);
/* Makes it. NULL when out of memory: then it does not count. */
struct limit_past *limit_source_past(struct limit_source *s);
void limit_source_forget(struct limit_sources *t, struct limit_source *s);
/* After each change: what counts no longer (until: when the past does) is forgotten, and a source
 * without sessions, past and near, too. s may be gone. */
void limit_source_settle(struct limit_sources *t, struct limit_source *s, uint64_t until,
                         uint64_t now_ms);

/* Fini frees all users. */
void limit_users_init(struct limit_users *t);
void limit_users_fini(struct limit_users *t);
/* The key is of the name. NULL when nothing is known of it. */
struct limit_user *limit_user_find(const struct limit_users *t, const struct hashed_key *name);
/* Makes it. NULL when out of memory. */
struct limit_user *limit_user_take(struct limit_users *t, const struct hashed_key *name);
/* After each change: one without sessions and near goes. */
void limit_user_settle(struct limit_users *t, struct limit_user *u);

#define LIMIT_NEAR_MAX 1024 /* of a stripe */
/* Makes it, and puts it into the list. NULL: there are too many, or no memory; then other nodes do
 * not hear of it. */
struct limit_near *limit_near_take(struct list *near, size_t *n_near, struct limit_near **at,
                                   void *of);
void limit_near_drop(size_t *n_near, struct limit_near **at);
