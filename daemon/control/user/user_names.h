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
};

/* Takes the names that have sessions. -ERR_NOMEM. Control thread. */
int user_names_take(const struct control *c, struct user_names *ret) NODISCARD;
void user_names_fini(struct user_names *names);
/* Names greater than after (NULL = from the start), with how many sessions each has; one that only
 * has sessions is a user without an account of whom nobody said anything. fn returns false to stop
 * early. Sorts names. Blocking: job threads. */
int user_names_each(struct store *store, struct user_names *names, const char *after,
                    bool (*fn)(void *arg, const struct store_user *u, uint64_t sessions),
                    void *arg) NODISCARD;

/* How many there are; names (sorted, NULL = all of them are in the store). Blocking: job threads.
 */
int user_names_count(struct store *store, const struct user_names *names, uint64_t *ret) NODISCARD;

/* Who judges a password that the store does not have: "http", "backend", NULL = nobody. Static.
 * Control thread. */
const char *user_judge(const struct control *c);
