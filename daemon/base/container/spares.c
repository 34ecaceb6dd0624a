/* SPDX-License-Identifier: ISC */
/* Blocks of memory of one size, kept in a stack. */
#include "base/container/spares.h"

#include <stdbool.h>
#include <stdlib.h>

/* The beginning of a block that is kept. */
struct spare {
    struct spare *next;
};

void spares_init(struct spares *s, size_t bytes, size_t max)
{
    *s = (struct spares){.size = bytes, .max = max};
#ifdef __SANITIZE_ADDRESS__
    s->max = 0; /* it sees the use of what was freed, not of what was given back */
#endif
    pthread_mutex_init(&s->lock, NULL);
}

void spares_fini(struct spares *s)
{
    while (s->top) {
        struct spare *first = s->top;
        s->top = first->next;
        free(first);
    }
    s->n = 0;
    pthread_mutex_destroy(&s->lock);
}

void *spares_take(struct spares *s)
{
    pthread_mutex_lock(&s->lock);
    struct spare *p = s->top;
    if (p) {
        s->top = p->next;
        s->n--;
    }
    pthread_mutex_unlock(&s->lock);
    return p ? p : malloc(s->size);
}

void spares_give(struct spares *s, void *p)
{
    struct spare *spare = p;
    if (!p)
        return;
    pthread_mutex_lock(&s->lock);
    bool is_kept = s->n < s->max;
    if (is_kept) {
        spare->next = s->top;
        s->top = spare;
        s->n++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!is_kept)
        free(p);
}
