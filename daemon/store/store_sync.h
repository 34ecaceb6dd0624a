/* SPDX-License-Identifier: ISC */
/* Users that several stores have as one: which revision of each this store has, and what was
 * changed here that others have not heard of. The store notes changes by itself, in the transaction
 * that makes them; what it is told here is noted by nobody. All calls may block: job threads. */
#pragma once

#include "store/store.h"

#define STORE_WRITER_SIZE 64

enum store_sync_state {
    STORE_SYNCED,  /* as the others have it */
    STORE_EDITED,  /* changed here since */
    STORE_DOUBTED, /* as the others had it: whether they still do is to be seen */
    STORE_SYNC_STATES
};

/* What is known of a user's revision. */
struct store_sync {
    uint64_t revision;              /* 0 = others have never heard of it */
    uint64_t at_ms;                 /* of the last change; wall clock */
    uint64_t edit;                  /* another one after each change here */
    char writer[STORE_WRITER_SIZE]; /* who made it; "" = this store */
    enum store_sync_state state;
    char *base; /* of STORE_EDITED: the user as of the revision, as a file of users in CSV;
                   STORE_NOBODY = there was none; NULL = not known. Owned */
};
#define STORE_NOBODY "-"
void store_sync_fini(struct store_sync *s);

/* From now on every change of users is noted, also in later runs of those that are noted once;
 * users that were there before are edited, revision 0. */
int store_sync_track(struct store *s) NODISCARD;
/* How many changes were noted since the store was opened. Thread: any; does not block. */
uint64_t store_sync_edits(const struct store *s);
/* Whatever is synced is in doubt. */
int store_sync_doubt_all(struct store *s) NODISCARD;
/* -ERR_NOT_FOUND. */
int store_sync_get(struct store *s, const char *name, struct store_sync *ret) NODISCARD;
/* Names of a state, at most limit; fn returns false to stop. A user that is not there any more was
 * removed. */
int store_sync_each(struct store *s, enum store_sync_state state, size_t limit,
                    bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                    void *arg) NODISCARD;
/* Names of STORE_SYNCED that were removed before a moment (wall clock), at most limit; fn as above.
 * Looks at all names. */
int store_sync_removed(struct store *s, uint64_t before_ms, size_t limit,
                       bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                       void *arg) NODISCARD;
/* How many names are of a state. */
int store_sync_count(struct store *s, enum store_sync_state state, uint64_t *ret) NODISCARD;

struct store_sync_write {
    const char *name;
    enum {
        STORE_SYNC_ROW,    /* only the row below */
        STORE_SYNC_USER,   /* and the user becomes this one */
        STORE_SYNC_REMOVE, /* and the user is removed */
        STORE_SYNC_FORGET  /* the row goes, of a user that is not there */
    } what;
    const struct store_user *user;
    /* Written where row.edit is what the store has (0 = no row). Where the user was changed here
     * since, only STORE_SYNC_ROW is done: its revision, with base, which stays edited. */
    struct store_sync row;
};
/* All in one transaction. */
int store_sync_write(struct store *s, const struct store_sync_write *v, size_t n) NODISCARD;
