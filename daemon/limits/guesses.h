/* SPDX-License-Identifier: ISC */
/* Users that are guessed at: how many different wrong passwords they had, and from how many
 * addresses. Slow guessing from many addresses shows here only. Pure: no clock, no input or
 * output; bounded, the oldest entries make room. */
#pragma once

#include "base/addr.h"
#include "base/container/distinct.h"
#include "base/container/safe_iter.h"
#include "base/container/table.h"

#define GUESSES_MAX 16384
#define GUESSES_NEAR_MAX 1024

struct guess {
    struct list link; /* of all */
    struct list near; /* of those that other nodes of a fleet hear of; alone = none of them */
    uint64_t since_ms;
    struct distinct passwords, addresses; /* no password can be told from its bit */
    struct distinct_bits other_passwords, other_addresses; /* at other nodes */
    char user[];
};

struct guesses {
    struct table by_user;
    struct list all, walks; /* the oldest first */
    struct list near;
    size_t max, n_near;
    uint8_t key[16];
};

/* max: users at the same time; of a new one the oldest makes room. Draws the key under which
 * addresses are hashed. */
void guesses_init(struct guesses *g, size_t max);
/* Frees all entries. */
void guesses_fini(struct guesses *g);
/* A wrong password of a user, as its keyed hash, from an address. The entry; NULL without memory.
 */
const struct guess *guesses_add(struct guesses *g, const char *user, uint32_t credentials,
                                const struct addr *a, uint64_t now_ms);
/* NULL when nothing is known of the user. */
const struct guess *guesses_find(const struct guesses *g, const char *user);
/* How many wrong passwords it had, and from how many addresses: here and at other nodes. */
unsigned guess_passwords(const struct guess *e);
unsigned guess_addresses(const struct guess *e);
/* Other nodes hear of a user from now on, or no longer. Where too many are near they do not. */
void guesses_set_near(struct guesses *g, const char *user, bool is_near);
/* What other nodes have of a user now, maybe nothing. */
void guesses_take(struct guesses *g, const char *user, const struct distinct_bits *passwords,
                  const struct distinct_bits *addresses, uint64_t now_ms);
/* Forgets what it had here. False: nothing was known. */
bool guesses_forget(struct guesses *g, const char *user);
/* Forgets those whose first wrong password is window_ms old. */
void guesses_expire(struct guesses *g, uint64_t window_ms, uint64_t now_ms);
