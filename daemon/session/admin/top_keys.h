/* SPDX-License-Identifier: ISC */
/* The top so many keys of those seen so far: a heap, the worst of them on top. */
#pragma once

#include "session/admin/query.h"

/* Zero-initialised is empty and takes none. */
struct top_keys {
    struct session_key *v; /* their texts are owned */
    size_t n, max;
    struct session_order order;
};

/* -ERR_NOMEM. */
int top_keys_init(struct top_keys *b, size_t max, const struct session_order *o) NODISCARD;
void top_keys_fini(struct top_keys *b);
/* Borrows the key; keeps a copy when it is good enough. -ERR_NOMEM. */
int top_keys_add(struct top_keys *b, struct session_key k) NODISCARD;
/* Takes out the worst; there has to be one. Its text is the caller's to free (top_keys_key_fini).
 */
struct session_key top_keys_pop(struct top_keys *b);
void top_keys_key_fini(struct session_key *k);
