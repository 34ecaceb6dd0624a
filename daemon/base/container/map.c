/* SPDX-License-Identifier: ISC */
/* Open-addressing hash map with linear probing and backward-shift deletion. */
#include "base/container/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct map_slot {
    void *value; /* NULL = free */
    char *key;
    size_t key_len;
    uint64_t hash;
};

#define MAP_MIN_CAP 16

static uint8_t map_key[16];
static pthread_once_t map_key_once = PTHREAD_ONCE_INIT;

static void map_key_make(void)
{
    hash_random(map_key, sizeof(map_key));
}

static uint64_t map_hash(struct str key)
{
    pthread_once(&map_key_once, map_key_make);
    return hash_sip_table(map_key, key);
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}

/* Index of the key's slot, or of the free slot where it belongs. The map is never full. */
static size_t map_find(const struct map *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].value) {
        const struct map_slot *s = &m->slots[i];
        if (s->hash == hash && str_eq((struct str){s->key, s->key_len}, key))
            break;
        i = (i + 1) & (m->cap - 1);
    }
    return i;
}

void *map_get(const struct map *m, struct str key)
{
    return m->count ? m->slots[map_find(m, key, map_hash(key))].value : NULL;
}

static int map_grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : MAP_MIN_CAP;
    struct map bigger = {
        .slots = calloc(cap, sizeof(struct map_slot)), .count = m->count, .cap = cap};
    if (!bigger.slots)
        return -ERR_NOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        const struct map_slot *s = &m->slots[i];
        if (s->value)
            bigger.slots[map_find(&bigger, (struct str){s->key, s->key_len}, s->hash)] = *s;
    }
    free(m->slots);
    *m = bigger;
    return 0;
}

int map_put(struct map *m, struct str key, void *value, void **ret_old)
{
    uint64_t hash = map_hash(key);
    struct map_slot *s = m->count ? &m->slots[map_find(m, key, hash)] : NULL;
    if (ret_old)
        *ret_old = s ? s->value : NULL;
    if (s && s->value) {
        s->value = value;
        return 0;
    }
    if ((m->count + 1) * 4 > m->cap * 3) {
        int err = map_grow(m);
        if (err)
            return err;
    }
    char *copy = str_dup(key);
    if (!copy)
        return -ERR_NOMEM;
    m->slots[map_find(m, key, hash)] =
        (struct map_slot){.value = value, .key = copy, .key_len = key.n, .hash = hash};
    m->count++;
    return 0;
}

/* Closes the gap at i: later entries of the same run move up, so that no tombstones are needed. */
static void map_close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1, i = gap;
    for (;;) {
        i = (i + 1) & mask;
        if (!m->slots[i].value)
            break;
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        m->slots[gap] = m->slots[i];
        gap = i;
    }
    m->slots[gap] = (struct map_slot){0};
}

void *map_del(struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    size_t i = map_find(m, key, map_hash(key));
    void *value = m->slots[i].value;
    if (!value)
        return NULL;
    free(m->slots[i].key);
    map_close_gap(m, i);
    m->count--;
    return value;
}

bool map_next(const struct map *m, size_t *pos, struct str *ret_key, void **ret_value)
{
    for (; *pos < m->cap; (*pos)++) {
        const struct map_slot *s = &m->slots[*pos];
        if (!s->value)
            continue;
        (*pos)++;
        if (ret_key)
            *ret_key = (struct str){s->key, s->key_len};
        if (ret_value)
            *ret_value = s->value;
        return true;
    }
    return false;
}
