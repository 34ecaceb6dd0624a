/* SPDX-License-Identifier: ISC */
/* Blocks of memory of one size, kept in a stack. */
#include "base/container/free_list.h"

#include <stdbool.h>
#include <stdlib.h>

/* The beginning of a block that is kept. */
struct free_block {
    struct free_block *next;
};

void free_list_init(struct free_list *s, size_t bytes, size_t max)
{
    *s = (struct free_list){.size = bytes, .max = max};
#ifdef __SANITIZE_ADDRESS__
    s->max = 0; /* it sees the use of what was freed, not of what was given back */
#endif
    pthread_mutex_init(&s->lock, NULL);
}

void free_list_fini(struct free_list *s)
{
    while (s->top) {
        struct free_block *first = s->top;
        s->top = first->next;
        free(first);
    }
    s->n = 0;
    pthread_mutex_destroy(&s->lock);
}

void *free_list_take(struct free_list *s)
{
    pthread_mutex_lock(&s->lock);
    struct free_block *p = s->top;
    if (p) {
        s->top = p->next;
        s->n--;
    }
    pthread_mutex_unlock(&s->lock);
    return p ? p : malloc(s->size);
}

void free_list_give(struct free_list *s, void *p)
{
    struct free_block *block = p;
    if (!p)
        return;
    pthread_mutex_lock(&s->lock);
    bool is_kept = s->n < s->max;
    if (is_kept) {
        block->next = s->top;
        s->top = block;
        s->n++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!is_kept)
        free(p);
}
