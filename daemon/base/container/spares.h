/* SPDX-License-Identifier: ISC */
/* Blocks of memory of one size that come and go with each login, kept for the next one: for those
 * that malloc's caches pass by, because they are over 1 KiB or another thread frees them. */
#pragma once

#include <pthread.h>
#include <stddef.h>

struct spares {
    pthread_mutex_t lock;
    size_t size;       /* bytes of a block */
    size_t n, max;     /* how many are kept, at most */
    struct spare *top; /* the one that was given last */
};

/* bytes: of a block, at least those of a pointer. max: blocks that are kept. */
void spares_init(struct spares *s, size_t bytes, size_t max);
/* Frees what is kept. Blocks that were taken are their owners', who free() them from then on. */
void spares_fini(struct spares *s);
/* A block, kept or new, in which anything stands; NULL without memory. Thread: any. */
void *spares_take(struct spares *s);
/* Keeps a block, or frees it when there are enough. What must not stay in memory has been wiped.
 * NULL is fine. Thread: any. */
void spares_give(struct spares *s, void *p);
