/* SPDX-License-Identifier: ISC */
/* Active health checks: speaks the protocols of the listeners with every backend, now and then, and
 * tells what changed. All functions: thread of the loop (control). */
#pragma once

#include "backend/pool.h"
#include "io/loop.h"
#include "io/resolver.h"

struct checks;

/* on_changed is told of every change of health and of what single protocols are down, also of what
 * logins on other threads found (within a second). loop, resolver and arg are borrowed; loop must
 * outlive the checks. */
int checks_new(struct loop *l, struct resolver *r, void (*on_changed)(void *arg, struct backend *b),
               void *arg, struct checks **ret) NODISCARD;
/* Follows these pools from now on (takes a reference). What is known of backends that stay is kept;
 * checks of those that went end. Out of memory leaves backends unchecked and is logged. */
void checks_configure(struct checks *c, struct pools *pools);
/* Ends all checks; waiting callbacks run with -ERR_SHUTDOWN. NULL is fine. */
void checks_free(struct checks *c);

/* What a check of one protocol saw that was well; borrowed. */
struct check_finding {
    const char *by;           /* who checked */
    uint64_t number;          /* greater with each check of it */
    uint64_t age_ms;          /* how long ago */
    uint64_t took_us;         /* how long it took */
    int64_t cert_expires;     /* Unix seconds; 0 = none */
    const char *capabilities; /* as backend_learn takes them; "" = none */
};
/* Several proxies that check by turns. Who has trouble with a backend itself (its checks, its
 * logins) checks it itself: another one may reach what this one does not, and the reverse. */
struct check_sharing {
    void *arg;
    const char *name; /* of this one; borrowed */
    /* A check is due. True: checks_heard follows in a later turn; false: it is made here. */
    bool (*ask)(void *arg, const char *pool, const char *backend, enum proto_id proto,
                uint64_t interval_ms);
    /* A check was made here; f NULL: not all was well. */
    void (*tell)(void *arg, const char *pool, const char *backend, enum proto_id proto,
                 uint64_t interval_ms, const struct check_finding *f);
};
/* From now on (copied); NULL = each alone, and what was asked is checked here. */
void checks_share(struct checks *c, const struct check_sharing *s);
/* The answer: what another one found; NULL: it is to be checked here. */
void checks_heard(struct checks *c, const char *pool, const char *backend, enum proto_id proto,
                  const struct check_finding *f);

/* What one check by hand found; borrowed for the call. */
struct check_result {
    int err; /* 0 = the check ran; -ERR_NO_BACKEND: removed meanwhile; -ERR_SHUTDOWN */
    struct backend *backend;
    enum back_failure failure; /* BACK_FAIL_NONE = healthy */
    const char *text;          /* of each protocol: ok, or the server's or library's words */
    uint64_t took_us;
};
/* Checks a backend at once (or joins the check that runs), whatever its state and whether its pool
 * has checks; counts like any other. pool NULL = any pool. cb runs once, later,
 * unless an error returns: -ERR_NO_BACKEND, -ERR_UNSUPPORTED (no listener, so no protocol
 * to speak), -ERR_NOMEM. */
int check_now(struct checks *c, const char *pool, const char *name,
              void (*cb)(void *arg, const struct check_result *r), void *arg) NODISCARD;
