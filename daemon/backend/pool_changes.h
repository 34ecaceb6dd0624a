/* SPDX-License-Identifier: ISC */
/* What operators changed of pools while the proxy runs: a list, one change a pool, that is applied
 * to the file's pools. Immutable, reference-counted. */
#pragma once

#include <stdatomic.h>

#include "config/config_pool.h"

#define POOL_CHANGES_MAX 1000 /* pools */

struct pool_change {
    const char *name;
    const char *like; /* of an added pool: the one of the file whose values it begins with; NULL =
                         the defaults */
    bool is_added, is_removed;
    char **values; /* config_pool_keys() of them, as config_pool_set takes them; NULL = as before */
};

struct pool_changes {
    atomic_uint refs;
    size_t n;
    struct pool_change *v; /* texts owned */
};

/* A change that says nothing; everything in it is owned. -ERR_NOMEM. */
int pool_change_init(struct pool_change *c, const char *name) NODISCARD;
int pool_change_copy(struct pool_change *dst, const struct pool_change *src) NODISCARD;
void pool_change_fini(struct pool_change *c);
bool pool_change_is_empty(const struct pool_change *c);
bool pool_change_is_equal(const struct pool_change *a, const struct pool_change *b);
/* Sets a key's value, NULL = as before; the text is copied. -ERR_NOMEM. */
int pool_change_set(struct pool_change *c, size_t key, const char *text) NODISCARD;
/* Drops what the file says too (file NULL: it does not have the pool). True when something was
 * dropped. */
bool pool_change_absorb(struct pool_change *c, const struct config_pool *file);

/* A list that is as `before` (NULL = empty) but for the pool of c, whose change is c: left out when
 * that is empty. One reference; *ret is NULL when nothing is left. -ERR_TOO_MANY, -ERR_NOMEM. */
int pool_changes_with(const struct pool_changes *before, const struct pool_change *c,
                      struct pool_changes **ret) NODISCARD;
struct pool_changes *pool_changes_ref(struct pool_changes *c); /* NULL is fine */
void pool_changes_unref(struct pool_changes *c);               /* NULL is fine */
const struct pool_change *pool_changes_find(const struct pool_changes *c, const char *name);
bool pool_changes_are_equal(const struct pool_changes *a, const struct pool_changes *b);

/* The config with the changes in it (one reference; changes NULL: c itself): pools of the file in
 * their order, then those that were added. A change of a pool that the file no longer has is
 * passed over. One that cannot be applied is an error in *ret_error (owned), -ERR_CONFIG;
 * is_lenient: it is passed over and logged. Thread: any. */
int pool_changes_apply(const struct pool_changes *changes, struct config *c, bool is_lenient,
                       struct config **ret, char **ret_error) NODISCARD;
/* Why a change cannot be applied to c, as a sentence (owned); NULL = it can. */
char *pool_change_fault(const struct pool_change *ch, struct config *c);
