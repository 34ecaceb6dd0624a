/* SPDX-License-Identifier: ISC */
/* The best so many keys of those seen so far: a heap, the worst of them on top. */
#pragma once

#include "session/query.h"

/* Zero-initialised is empty and takes none. */
struct best {
    struct session_key *v; /* their texts are owned */
    size_t n, max;
    struct session_order order;
};

/* -ERR_NOMEM. */
int best_init(struct best *b, size_t max, const struct session_order *o) NODISCARD;
void best_fini(struct best *b);
/* Borrows the key; keeps a copy when it is good enough. -ERR_NOMEM. */
int best_add(struct best *b, struct session_key k) NODISCARD;
/* Takes out the worst; there has to be one. Its text is the caller's to free (best_key_fini). */
struct session_key best_pop(struct best *b);
void best_key_fini(struct session_key *k);
