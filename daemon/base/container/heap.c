/* SPDX-License-Identifier: ISC */
/* A binary heap: the children of element i are 2i + 1 and 2i + 2. */
#include "base/container/heap.h"

#include <string.h>

#define HEAP_PIECE 64

static char *heap_at(const struct heap *h, size_t i)
{
    return (char *)h->v + i * h->size;
}

void heap_swap(const struct heap *h, size_t a, size_t b)
{
    char *x = heap_at(h, a), *y = heap_at(h, b), piece[HEAP_PIECE];
    if (a == b)
        return;
    for (size_t at = 0; at < h->size; at += HEAP_PIECE) {
        size_t n = h->size - at < HEAP_PIECE ? h->size - at : HEAP_PIECE;
        memcpy(piece, x + at, n);
        memcpy(x + at, y + at, n);
        memcpy(y + at, piece, n);
    }
}

void heap_sift_down(const struct heap *h, size_t i)
{
    for (;;) {
        size_t top = i;
        for (size_t k = 2 * i + 1; k < 2 * i + 3 && k < h->n; k++)
            if (h->is_above(heap_at(h, k), heap_at(h, top), h->arg))
                top = k;
        if (top == i)
            return;
        heap_swap(h, i, top);
        i = top;
    }
}

void heap_sift_up(const struct heap *h, size_t i)
{
    for (; i > 0 && h->is_above(heap_at(h, i), heap_at(h, (i - 1) / 2), h->arg); i = (i - 1) / 2)
        heap_swap(h, i, (i - 1) / 2);
}

void heap_make(const struct heap *h)
{
    for (size_t i = h->n / 2; i-- > 0;)
        heap_sift_down(h, i);
}
