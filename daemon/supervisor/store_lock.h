/* SPDX-License-Identifier: ISC */
/* One daemon for a store: two would write the same users, runtime edits and history, and neither
 * would know what the other one's operators did. The lock is the kernel's and belongs to the
 * supervisor's process: it ends with that, however it ends, no child has it, and a program that
 * takes the process over still has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* The file that is locked is the store's name with this behind it. It stays, empty. */
#define STORE_LOCK_SUFFIX ".lock"
/* Environment of a supervisor that takes over: the descriptors of its locks, with commas. A program
 * that knows nothing of it has the locks all the same. */
#define STORE_LOCK_ENV "MAILPROXY_STORE_LOCKS"

struct store_lock {
    int fd;
    dev_t device;
    ino_t inode;
};

/* Those that this process has: more than one while an upgrade changes the store. */
struct store_locks {
    struct store_lock *v;
    size_t n;
};

/* Takes the lock of a store's file, of which nothing but the folder need be there. 0: it is ours,
 * perhaps since before. -ERR_BUSY: another process has it, *ret_error (owned, may be NULL) says
 * which. Other -ERR_x: it cannot be had here (a file system that is read-only or has no locks), and
 * nothing was found out. Blocking on a slow file system. Thread: the supervisor's. */
int store_locks_take(struct store_locks *l, const char *store, char **ret_error) NODISCARD;
/* Gives back those that none of the n stores needs. */
void store_locks_keep(struct store_locks *l, const char *const *stores, size_t n);

/* Before a program takes this process over, and when that has failed: is_handed says which. */
void store_locks_hand_over(const struct store_locks *l, bool is_handed);
/* In that program: takes over what STORE_LOCK_ENV names. */
void store_locks_adopt(struct store_locks *l);
void store_locks_fini(struct store_locks *l);
