/* SPDX-License-Identifier: ISC */
/* Feeds one input to a parser in every cutting: whole, byte by byte, and in two at each point. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Returned by feed: this object takes no more bytes (closed, failed, done). */
#define SPLIT_STOP SIZE_MAX

/* How a parser is driven. begin makes a fresh object for one cutting. feed gets all bytes not
 * consumed so far (in a block of exactly that size, so that ASan sees each read beyond it) and
 * returns how many it consumed; it is called again with the rest as long as it consumes some. end
 * compares the object with what the case expects (`how` names the cutting) and frees it. */
struct split_ops {
    void *(*begin)(void *arg);
    size_t (*feed)(void *object, struct str in);
    void (*end)(void *object, void *arg, const char *how);
};

/* Feeds `pending` (n bytes) until nothing more is consumed; returns the bytes left, or SPLIT_STOP.
 */
static inline size_t split_drain(const struct split_ops *ops, void *object, char *pending, size_t n)
{
    for (;;) {
        char *exact = malloc(n ? n : 1);
        if (!exact)
            abort();
        memcpy(exact, pending, n);
        size_t used = ops->feed(object, str_n(exact, n));
        free(exact);
        if (used == SPLIT_STOP)
            return SPLIT_STOP;
        if (used > n) {
            fprintf(stderr, "split: feed claims to have consumed %zu of %zu bytes\n", used, n);
            abort();
        }
        memmove(pending, pending + used, n - used);
        n -= used;
        if (used == 0 || n == 0)
            return n;
    }
}

/* One cutting: the first `first` bytes, then chunks of `chunk` bytes. */
static inline void split_once(const struct split_ops *ops, void *arg, struct str input,
                              size_t first, size_t chunk)
{
    char how[64];
    char *pending = malloc(input.n + 1);
    if (!pending)
        abort();
    if (first >= input.n)
        snprintf(how, sizeof(how), "whole");
    else if (chunk == 1)
        snprintf(how, sizeof(how), "byte by byte");
    else
        snprintf(how, sizeof(how), "split after %zu bytes", first);
    void *object = ops->begin(arg);
    size_t left = 0;
    for (size_t pos = 0, n = first; pos < input.n; pos += n, n = chunk) {
        if (n > input.n - pos)
            n = input.n - pos;
        memcpy(pending + left, input.p + pos, n);
        left = split_drain(ops, object, pending, left + n);
        if (left == SPLIT_STOP)
            break;
    }
    ops->end(object, arg, how);
    free(pending);
}

/* All cuttings of `input`. */
static inline void split_run(const struct split_ops *ops, void *arg, struct str input)
{
    split_once(ops, arg, input, input.n, input.n + 1);
    if (input.n > 1)
        split_once(ops, arg, input, 1, 1);
    for (size_t at = 1; at < input.n; at++)
        split_once(ops, arg, input, at, input.n);
}
