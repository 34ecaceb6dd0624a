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
