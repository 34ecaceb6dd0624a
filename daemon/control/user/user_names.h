/* SPDX-License-Identifier: ISC */
/* All names that something is known of: those of the store and those that have sessions now, in one
 * order. */
#pragma once

#include "runtime/state.h"

/* Names with sessions, as of one moment; zero-initialise, user_names_fini. */
struct user_names {
    struct buf text; /* the names, each with its NUL */
    struct user_name {
        size_t at; /* in text */
        uint64_t sessions;
    } * v;
    size_t n;
    bool is_sorted; /* by the first job that needs it */
};

/* Takes the names that have sessions: milliseconds when there are many. -ERR_NOMEM. Any thread; it
 * is for job threads. */
int user_names_take(const struct control *c, struct user_names *ret) NODISCARD;
void user_names_fini(struct user_names *names);
/* Names greater than after (NULL = from the start), with how many sessions each has; one that only
 * has sessions is a user without an account of whom nobody said anything. fn returns false to stop
 * early. Sorts names. Blocking: job threads. */
int user_names_each(struct store *store, struct user_names *names, const char *after,
                    bool (*fn)(void *arg, const struct store_user *u, uint64_t sessions),
                    void *arg) NODISCARD;

/* How many names user_names_each passes on. ret_before: behind which one the rows from offset on
 * begin: NULL (from the start, or none has so many before it) or owned, with an error too. Looks at
 * names alone, which is a tenth of the cost of rows. Sorts names. Blocking: job threads. */
int user_names_count(struct store *store, struct user_names *names, uint64_t offset,
                     uint64_t *ret_n, char **ret_before) NODISCARD;

/* Who judges a password that the store does not have: "http", "backend", NULL = nobody. Static.
 * Control thread. */
const char *user_judge(const struct control *c);
