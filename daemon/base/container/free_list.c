/* SPDX-License-Identifier: ISC */
/* Blocks of memory of one size, kept in a stack. */
#include "base/container/free_list.h"

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
}

void free_list_fini(struct free_list *s)
{
    while (s->top) {
        struct free_block *first = s->top;
        s->top = first->next;
        free(first);
    }
    s->n = 0;
}

void *free_list_take(struct free_list *s)
{
    struct free_block *p = s->top;
    if (!p)
        return malloc(s->size);
    s->top = p->next;
    s->n--;
    return p;
}

void free_list_give(struct free_list *s, void *p)
{
    struct free_block *block = p;
    if (!p || s->n >= s->max) {
        free(p);
        return;
    }
    block->next = s->top;
    s->top = block;
    s->n++;
}
