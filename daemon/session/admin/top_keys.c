/* SPDX-License-Identifier: ISC */
/* A bounded heap of keys. */
#include "session/admin/top_keys.h"

#include <stdlib.h>

#include "base/container/heap.h"

int top_keys_init(struct top_keys *b, size_t max, const struct session_order *o)
{
    struct session_key *v = malloc((max + 1) * sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    *b = (struct top_keys){.v = v, .max = max, .order = *o};
    return 0;
}

void top_keys_key_fini(struct session_key *k)
{
    free((char *)k->v.text.p);
}

void top_keys_fini(struct top_keys *b)
{
    for (size_t i = 0; i < b->n; i++)
        top_keys_key_fini(&b->v[i]);
    free(b->v);
    *b = (struct top_keys){0};
}

/* The worst is on top: it makes room. */
static bool top_keys_is_worse(const void *x, const void *y, const void *order)
{
    return session_key_order(x, y, order) > 0;
}

static struct heap top_keys_heap(const struct top_keys *b)
{
    return (struct heap){.v = b->v,
                         .n = b->n,
                         .size = sizeof(*b->v),
                         .is_above = top_keys_is_worse,
                         .arg = &b->order};
}

int top_keys_add(struct top_keys *b, struct session_key k)
{
    bool is_full = b->n == b->max;
    if (is_full && (b->n == 0 || !top_keys_is_worse(&b->v[0], &k, &b->order)))
        return 0;
    if (k.v.text.n > 0) {
        k.v.text.p = str_dup(k.v.text);
        if (!k.v.text.p)
            return -ERR_NOMEM;
    } else {
        k.v.text = STR_NULL;
    }
    size_t at = 0;
    if (is_full)
        top_keys_key_fini(&b->v[0]);
    else
        at = b->n++;
    b->v[at] = k;
    const struct heap h = top_keys_heap(b);
    if (is_full)
        heap_sift_down(&h, 0);
    else
        heap_sift_up(&h, at);
    return 0;
}

struct session_key top_keys_pop(struct top_keys *b)
{
    struct session_key k = b->v[0];
    b->v[0] = b->v[--b->n];
    const struct heap h = top_keys_heap(b);
    heap_sift_down(&h, 0);
    return k;
}
