/* SPDX-License-Identifier: ISC */
/* Walks over a list in steps, between which nodes come and go. */
#pragma once

#include "base/container/list.h"

struct safe_iter {
    struct list link; /* of all walks over the list's nodes */
    struct list *next, *head;
};

static inline void safe_iter_begin(struct safe_iter *w, struct list *walks, struct list *head)
{
    w->head = head;
    w->next = head->next;
    list_init(&w->link);
    list_add_tail(walks, &w->link);
}

/* NULL at the end. */
static inline struct list *safe_iter_next(struct safe_iter *w)
{
    struct list *node = w->next;
    if (node == w->head)
        return NULL;
    w->next = node->next;
    return node;
}

static inline bool safe_iter_is_over(const struct safe_iter *w)
{
    return w->next == w->head;
}

static inline void safe_iter_end(struct safe_iter *w)
{
    list_del(&w->link);
}

/* To be called before a node leaves its list. */
static inline void safe_iters_skip(struct list *walks, const struct list *node)
{
    LIST_FOREACH (it, walks) {
        struct safe_iter *w = LIST_ITEM(it, struct safe_iter, link);
        if (w->next == node)
            w->next = node->next;
    }
}
