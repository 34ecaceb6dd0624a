/* SPDX-License-Identifier: ISC */
/* Round-robin between sources. */
#include "base/container/fair_queue.h"

#include <stdlib.h>

#include "base/container/map.h"

struct fair_source {
    struct list link; /* of turns */
    struct list items;
    uint64_t id;
    size_t n;
};

static struct str fair_source_key(const void *item)
{
    return map_key_u64(&((const struct fair_source *)item)->id);
}

void fair_queue_init(struct fair_queue *q, size_t max)
{
    *q = (struct fair_queue){.by_source.key = fair_source_key, .max = max};
    list_init(&q->turns);
}

static void fair_source_free(struct fair_queue *q, struct fair_source *s)
{
    const struct hashed_key key = hashed_key_of(map_key_u64(&s->id));
    (void)table_del(&q->by_source, &key);
    list_del(&s->link);
    free(s);
}

void fair_queue_fini(struct fair_queue *q)
{
    LIST_FOREACH_SAFE (it, &q->turns)
        fair_source_free(q, LIST_ITEM(it, struct fair_source, link));
    table_fini(&q->by_source);
}

/* A new source comes last in this round. NULL without memory. */
static struct fair_source *fair_source_new(struct fair_queue *q, uint64_t id)
{
    struct fair_source *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->id = id;
    list_init(&s->items);
    const struct hashed_key key = hashed_key_of(map_key_u64(&s->id));
    if (table_add(&q->by_source, &key, s) < 0) {
        free(s);
        return NULL;
    }
    list_add_tail(&q->turns, &s->link);
    return s;
}

int fair_queue_push(struct fair_queue *q, struct fair_item *item, uint64_t source)
{
    const struct hashed_key key = hashed_key_of(map_key_u64(&source));
    struct fair_source *s = table_get(&q->by_source, &key);
    size_t n_free = q->max > q->n ? q->max - q->n : 0;
    if (n_free == 0 || (s && source != FAIR_SOURCE_OWN && s->n >= n_free))
        return -ERR_BUSY;
    if (!s && !(s = fair_source_new(q, source)))
        return -ERR_NOMEM;
    list_add_tail(&s->items, &item->link);
    item->source = s;
    s->n++;
    q->n++;
    return 0;
}

bool fair_queue_remove(struct fair_queue *q, struct fair_item *item)
{
    struct fair_source *s = item->source;
    if (!s)
        return false;
    list_del(&item->link);
    item->source = NULL;
    q->n--;
    if (--s->n == 0)
        fair_source_free(q, s);
    return true;
}

struct fair_item *fair_queue_pop(struct fair_queue *q)
{
    if (list_is_empty(&q->turns))
        return NULL;
    struct fair_source *s = LIST_ITEM(q->turns.next, struct fair_source, link);
    struct fair_item *item = LIST_ITEM(s->items.next, struct fair_item, link);
    list_del(&s->link);
    list_add_tail(&q->turns, &s->link);
    (void)fair_queue_remove(q, item);
    return item;
}
