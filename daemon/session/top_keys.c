/* SPDX-License-Identifier: ISC */
/* A bounded heap of keys. */
#include "session/top_keys.h"

#include <stdlib.h>

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

static bool top_keys_is_worse(const struct top_keys *b, const struct session_key *x,
                              const struct session_key *y)
{
    return session_key_order(x, y, &b->order) > 0;
}

static void top_keys_swap(struct session_key *x, struct session_key *y)
{
    struct session_key t = *x;
    *x = *y;
    *y = t;
}

static void top_keys_sift_down(struct top_keys *b)
{
    for (size_t i = 0;;) {
        size_t worst = i, left = 2 * i + 1;
        if (left < b->n && top_keys_is_worse(b, &b->v[left], &b->v[worst]))
            worst = left;
        if (left + 1 < b->n && top_keys_is_worse(b, &b->v[left + 1], &b->v[worst]))
            worst = left + 1;
        if (worst == i)
            return;
        top_keys_swap(&b->v[i], &b->v[worst]);
        i = worst;
    }
}

int top_keys_add(struct top_keys *b, struct session_key k)
{
    bool is_full = b->n == b->max;
    if (is_full && (b->n == 0 || !top_keys_is_worse(b, &b->v[0], &k)))
        return 0;
    if (k.v.text.n > 0) {
        k.v.text.p = str_dup(k.v.text);
        if (!k.v.text.p)
            return -ERR_NOMEM;
    } else {
        k.v.text = STR_NULL;
    }
    if (is_full) {
        top_keys_key_fini(&b->v[0]);
        b->v[0] = k;
        top_keys_sift_down(b);
    } else {
        b->v[b->n] = k;
        for (size_t i = b->n++; i > 0 && top_keys_is_worse(b, &b->v[i], &b->v[(i - 1) / 2]);
             i = (i - 1) / 2)
            top_keys_swap(&b->v[i], &b->v[(i - 1) / 2]);
    }
    return 0;
}

struct session_key top_keys_pop(struct top_keys *b)
{
    struct session_key k = b->v[0];
    b->v[0] = b->v[--b->n];
    top_keys_sift_down(b);
    return k;
}
