/* SPDX-License-Identifier: ISC */
/* Zeroed memory for what comes and goes with each login. */
#pragma once

#include <stdlib.h>
#include <string.h>

/* As calloc, but out of the thread's cache, which glibc's calloc passes by (before 2.41) while free
 * fills it: 300 instructions less for each pair of calls. NULL without memory. */
static inline void *zalloc(size_t n)
{
    void *p = malloc(n);
    __asm__("" : "+r"(p)); /* or the compiler makes a calloc of the two */
    return p ? memset(p, 0, n) : NULL;
}
