/* SPDX-License-Identifier: ISC */
/* Hash table of items that hold their own keys: some 14 bytes an item, safe against chosen keys
 * (keyed SipHash). It grows and shrinks little by little: no call takes long. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Zero-initialised but for key it is a valid empty table. Items are borrowed; their keys stay as
 * they are while they are in it. Not thread-safe. */
struct table {
    struct str (*key)(const void *item);
    size_t count;
    struct table_slots {
        void **v; /* NULL = free */
        size_t cap;
    } slots, old;  /* old: those that have not moved yet */
    size_t old_at; /* all of old before this is free */
};

/* A key as tables look it up: hashed once, for as many calls as there are. Borrows its text. */
struct hashed_key {
    struct str text;
    uint64_t hash; /* keyed, the same in all tables of the process */
};
/* Thread: any. */
struct hashed_key hashed_key_of(struct str text);

/* Items are not touched. */
void table_fini(struct table *t);
/* NULL when there is none. */
void *table_get(const struct table *t, const struct hashed_key *key);
/* item is not NULL; key is its own, and not in the table. -ERR_NOMEM. */
int table_add(struct table *t, const struct hashed_key *key, void *item) NODISCARD;
/* Takes an item out and returns it (NULL when there is none). */
void *table_del(struct table *t, const struct hashed_key *key);
