/* SPDX-License-Identifier: ISC */
/* Walks over a list in steps, between which nodes come and go. */
#pragma once

#include "base/list.h"

struct walk {
    struct list link; /* of all walks over the list's nodes */
    struct list *next, *head;
};

static inline void walk_begin(struct walk *w, struct list *walks, struct list *head)
{
    w->head = head;
    w->next = head->next;
    list_init(&w->link);
    list_add_tail(walks, &w->link);
}

/* NULL at the end. */
static inline struct list *walk_next(struct walk *w)
{
    struct list *node = w->next;
    if (node == w->head)
        return NULL;
    w->next = node->next;
    return node;
}

static inline bool walk_is_over(const struct walk *w)
{
    return w->next == w->head;
}

static inline void walk_end(struct walk *w)
{
    list_del(&w->link);
}

/* To be called before a node leaves its list. */
static inline void walks_skip(struct list *walks, const struct list *node)
{
    LIST_FOREACH (it, walks) {
        struct walk *w = LIST_ITEM(it, struct walk, link);
        if (w->next == node)
            w->next = node->next;
    }
}
