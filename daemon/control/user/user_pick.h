/* SPDX-License-Identifier: ISC */
/* Which users a command is about: names, those of a file, those that a filter finds. */
#pragma once

#include "base/container/map.h"
#include "control/user/user_names.h"
#include "rpc/work.h"

/* Zeroed, then user_pick_begin; to be finished in any case. */
struct user_pick {
    json_t *users;   /* names as logins are normalised, each once; more than these are unknown only
                        where an auth server or mail server judges */
    json_t *unknown; /* names that were given and that nobody can know */
    /* Its own. */
    struct filter *filter;
    struct buf from;
    struct user_names names; /* with sessions; for the filter */
    struct map seen;
    const char *judge; /* user_judge */
    uint64_t now_ms;
    int err;
};

/* Is it about more than one name given as such? Then each gets a row of the answer. */
bool user_pick_is_batch(const struct request *r);
/* Takes the parameters name and filter of a request. False: they are wrong, and it is answered.
 * Thread: control. */
bool user_pick_begin(struct request *r, struct user_pick *p) NODISCARD;
/* The parameter from, when all others are known to be good. False: it is answered (it was wrong, or
 * a part of a file that goes on). Thread: control. */
bool user_pick_take_file(struct request *r, struct user_pick *p) NODISCARD;
/* Finds them. A line that is no login name is told by its number: -ERR_SYNTAX with w->error, and
 * nothing is to be done. most: more of them are -ERR_TOO_MANY. Thread: a job thread. */
int user_pick_find(struct work *w, struct user_pick *p, size_t most) NODISCARD;
void user_pick_fini(struct user_pick *p);
