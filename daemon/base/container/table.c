/* SPDX-License-Identifier: ISC */
/* Open addressing with linear probing and backward-shift deletion, in one array or, while it
 * changes its size, two. */
#include "base/container/table.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

#define TABLE_MIN_CAP 16
#define TABLE_MOVES                                                                                \
    8 /* slots of old that each change looks at: it is empty before the next growth */

static uint8_t table_secret[16];
static pthread_once_t table_secret_once = PTHREAD_ONCE_INIT;

static void table_secret_make(void)
{
    hash_random(table_secret, sizeof(table_secret));
}

struct hashed_key hashed_key_of(struct str text)
{
    pthread_once(&table_secret_once, table_secret_make);
    return (struct hashed_key){text, hash_sip_table(table_secret, text)};
}

void table_fini(struct table *t)
{
    free(t->slots.v);
    free(t->old.v);
    *t = (struct table){.key = t->key};
}

/* ---- one array; it is never full ---- */

/* Index of the key's item, or of the free slot where it belongs. */
static size_t slots_find(const struct table *t, const struct table_slots *s,
                         const struct hashed_key *key)
{
    size_t i = key->hash & (s->cap - 1);
    while (s->v[i] && !str_eq(t->key(s->v[i]), key->text))
        i = (i + 1) & (s->cap - 1);
    return i;
}

static void slots_add(const struct table *t, struct table_slots *s, const struct hashed_key *key,
                      void *item)
{
    s->v[slots_find(t, s, key)] = item;
}

/* Later items of the same run move up, so that no tombstones are needed. */
static void *slots_take(const struct table *t, struct table_slots *s, size_t gap)
{
    void *item = s->v[gap];
    size_t mask = s->cap - 1;
    for (size_t i = (gap + 1) & mask; s->v[i]; i = (i + 1) & mask) {
        size_t home = hashed_key_of(t->key(s->v[i])).hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        s->v[gap] = s->v[i];
        gap = i;
    }
    s->v[gap] = NULL;
    return item;
}

static void *slots_get(const struct table *t, const struct table_slots *s,
                       const struct hashed_key *key)
{
    return s->cap ? s->v[slots_find(t, s, key)] : NULL;
}

/* ---- changing the size ---- */

static void table_move_some(struct table *t)
{
    for (int i = 0; i < TABLE_MOVES && t->old.cap > 0; i++) {
        if (t->old.v[t->old_at]) { /* what moves up may come here */
            void *item = slots_take(t, &t->old, t->old_at);
            const struct hashed_key key = hashed_key_of(t->key(item));
            slots_add(t, &t->slots, &key, item);
        } else if (++t->old_at == t->old.cap) {
            free(t->old.v);
            t->old = (struct table_slots){0};
        }
    }
}

static int table_resize(struct table *t, size_t cap)
{
    void **v = calloc(cap, sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    t->old = t->slots;
    t->old_at = 0;
    t->slots = (struct table_slots){.v = v, .cap = cap};
    return 0;
}

/* ---- the table ---- */

void *table_get(const struct table *t, const struct hashed_key *key)
{
    if (t->count == 0)
        return NULL;
    void *item = slots_get(t, &t->slots, key);
    return item ? item : slots_get(t, &t->old, key);
}

int table_add(struct table *t, const struct hashed_key *key, void *item)
{
    table_move_some(t);
    if (t->old.cap == 0 && (t->count + 1) * 4 > t->slots.cap * 3) {
        int err = table_resize(t, t->slots.cap ? 2 * t->slots.cap : TABLE_MIN_CAP);
        if (err < 0)
            return err;
    }
    slots_add(t, &t->slots, key, item);
    t->count++;
    return 0;
}

void *table_del(struct table *t, const struct hashed_key *key)
{
    if (t->count == 0)
        return NULL;
    struct table_slots *s = &t->slots;
    size_t at = s->cap ? slots_find(t, s, key) : 0;
    if (!s->cap || !s->v[at]) {
        s = &t->old;
        at = s->cap ? slots_find(t, s, key) : 0;
    }
    if (!s->cap || !s->v[at])
        return NULL;
    void *item = slots_take(t, s, at);
    t->count--;
    table_move_some(t);
    /* Without memory for a smaller one it stays as large as it is. The smallest one stays for the
     * next item. */
    if (t->count == 0 && t->slots.cap > TABLE_MIN_CAP)
        table_fini(t);
    else if (t->old.cap == 0 && t->slots.cap > TABLE_MIN_CAP && t->count < t->slots.cap / 8)
        (void)!table_resize(t, t->slots.cap / 2);
    return item;
}
