/* SPDX-License-Identifier: ISC */
/* Blocks of memory of one size that come and go with each login, kept for the next one: for those
 * that malloc's caches pass by, because they are over 1 KiB or another thread frees them. */
#pragma once

#include <stddef.h>

struct free_list {
    size_t size;            /* bytes of a block */
    size_t n, max;          /* how many are kept, at most */
    struct free_block *top; /* the one that was given last */
};

/* Thread of all: one at a time. bytes: of a block, at least those of a pointer. max: blocks that
 * are kept. */
void free_list_init(struct free_list *s, size_t bytes, size_t max);
/* Frees what is kept. Blocks that were taken are their owners', who free() them from then on. */
void free_list_fini(struct free_list *s);
/* A block, kept or new, in which anything stands; NULL without memory. */
void *free_list_take(struct free_list *s);
/* Keeps a block, or frees it when there are enough. What must not stay in memory has been wiped.
 * NULL is fine. */
void free_list_give(struct free_list *s, void *p);
