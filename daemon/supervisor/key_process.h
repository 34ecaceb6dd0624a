/* SPDX-License-Identifier: ISC */
/* The process that has the private keys of one content and signs for its engines. The supervisor
 * keeps both ends of its channels: an engine or a key process that dies leaves the other one where
 * it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "io/tls/key_service.h"

struct key_process {
    pid_t pid;  /* 0 = it does not run */
    int memory; /* sealed; the keys */
    size_t n;   /* channels */
    int engines[KEY_CHANNELS_MAX], own[KEY_CHANNELS_MAX];

    /* Not told to the next program. */
    uint64_t started_ms, restart_at_ms; /* monotonic */
};

/* With channels, not started. Takes memory over, also when it fails. */
int key_process_new(int memory, size_t n, struct key_process **ret) NODISCARD;
/* Another one with the same keys. */
int key_process_copy(const struct key_process *k, struct key_process **ret) NODISCARD;
/* It signs for a while what an engine has begun, then it ends. NULL is fine. */
void key_process_free(struct key_process *k);
/* Starts it as a user and group (NULL = ours) unless it runs. n_loaded: so many keys of a directory
 * come while it runs, by the last channel; 0 = none do. */
int key_process_start(struct key_process *k, const char *user, const char *group,
                      size_t n_loaded) NODISCARD;
/* It has ended: it is started again, see key_process_tick. */
void key_process_died(struct key_process *k, int status);
/* Whether the descriptors stay open in the program that takes this one's place. */
void key_process_hand_over(const struct key_process *k, bool is_handed);
