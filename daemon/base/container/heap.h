/* SPDX-License-Identifier: ISC */
/* A binary heap in an array of its owner: the first element stands above all others, whatever the
 * owner means by that. Pure; thread: the owner's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Made for a call or two; borrows v. */
struct heap {
    void *v;
    size_t n, size; /* elements; bytes of each */
    /* Does x stand above y? */
    bool (*is_above)(const void *x, const void *y, const void *arg);
    const void *arg;
};

/* Changes two elements for each other; the heap may be none then. */
void heap_swap(const struct heap *h, size_t a, size_t b);
/* Element i has changed, or is new there: moves it down below those that stand above it. */
void heap_sift_down(const struct heap *h, size_t i);
/* The same upwards, for an element that was appended. */
void heap_sift_up(const struct heap *h, size_t i);
/* Makes a heap of elements in any order, in linear time. */
void heap_make(const struct heap *h);
