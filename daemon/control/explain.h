/* SPDX-License-Identifier: ISC */
/* What the files of route explain share: words of the verdict, and where a login would go. All
 * functions: control thread. */
#pragma once

#include "fleet/fleet_pins.h"
#include "runtime/state.h"
#include "session/route.h"

#define EXPLAIN_BACKENDS_MAX 8 /* quoted */

/* What stands in the way: the first thing decides, those behind it are told too. */
struct explain_words {
    struct buf verdict, also;
    struct buf
        doubt; /* what failed a moment ago where the verdict says that nothing is in the way */
    uint64_t unjudged_ms; /* when, if the doubt is that a provider could not judge; else 0 */
};

/* The texts; the struct itself is the caller's. */
void explain_words_fini(struct explain_words *w);
/* Adds to the verdict, or to what is told besides when there is one already. */
void explain_say(struct explain_words *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Whose login is looked at, and where what is found goes. */
struct explain_place {
    json_t *row;
    const char *user;
    const struct proto *proto;
};

/* Could it take the login, by what is known of it? */
bool explain_is_usable(const struct explain_place *at, const struct backend *b);
/* The login waits until one of those that are full has room. */
void explain_full(const struct explain_place *at, const struct pool *p,
                  const struct pool_member *const *order, size_t n, struct explain_words *w);
/* The backend of a pool that would take the login. NULL: none, or several do by turns; the words
 * say why. */
const struct pool_member *explain_pool(const struct explain_place *at, const struct pool *p,
                                       struct explain_words *w);
/* The same of a backend that is fixed by a pin (r->member). */
const struct pool_member *explain_pinned(const struct explain_place *at, const struct route *r,
                                         struct explain_words *w);
/* Where the fleet has the user, if a login could go there. NULL: the pool's balancing decides, or
 * (words) the login waits. shown: what the store says; NULL = it is away. */
const struct pool_member *explain_fleet(const struct control *c, const struct pins_shown *shown,
                                        const struct explain_place *at, const struct pool *p,
                                        struct explain_words *w);
