/* SPDX-License-Identifier: ISC */
/* Hash map from byte strings or 64-bit numbers to pointers, safe against chosen keys (keyed
 * SipHash). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Zero-initialised is a valid empty map. Values are borrowed; keys are copied. Not thread-safe. */
struct map {
    struct map_slot *slots;
    size_t count, cap;
};

/* Frees keys and slots; the values are their owners' business. */
void map_fini(struct map *m);
/* Value of a key, NULL when absent. */
void *map_get(const struct map *m, struct str key);
/* Inserts or replaces; ret_old (may be NULL) takes the former value or NULL. -ERR_NOMEM, never when
 * it replaces. value must not be NULL. */
int map_put(struct map *m, struct str key, void *value, void **ret_old) NODISCARD;
/* Removes a key and returns its value (NULL when absent). */
void *map_del(struct map *m, struct str key);
static inline struct str map_key_u64(const uint64_t *id)
{
    return (struct str){(const char *)id, sizeof(*id)};
}
/* Iterates: start with *pos = 0; returns false at the end. Order is arbitrary; the map must not
 * change meanwhile. */
bool map_next(const struct map *m, size_t *pos, struct str *ret_key, void **ret_value);
