/* SPDX-License-Identifier: ISC */
/* A bounded queue of lines in two blocks of memory: writers fill one while the other is written out
 * without a lock. A line that has no room is dropped and counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct log_queue {
    char *fill, *out;     /* cap bytes each; memory is used where lines have been */
    size_t cap;           /* bytes of a block */
    size_t fill_n;        /* bytes that wait */
    size_t out_at, out_n; /* what is left of the block that is written out */
    uint64_t dropped;     /* lines since log_queue_turn told them */
    uint64_t dropped_total;
};

/* cap: bytes of each of the two blocks. -ERR_NOMEM. */
int log_queue_init(struct log_queue *q, size_t cap) NODISCARD;
/* A queue that was never initialised is fine. Lines in it are lost. */
void log_queue_fini(struct log_queue *q);
/* Adds a line of n bytes, LF last. False: no room, it is counted as dropped. */
bool log_queue_put(struct log_queue *q, const char *line, size_t n);
/* Once the last block is written out: the filled one takes its place. False: nothing waits.
 * *ret_dropped: lines that had no room after those of this block, counted anew from now on. */
bool log_queue_turn(struct log_queue *q, uint64_t *ret_dropped);
bool log_queue_is_empty(const struct log_queue *q);

/* ---- the block that is written out: needs no lock against log_queue_put ---- */

/* The next lines, as many whole ones as fit into max bytes (one at least), up to where a short
 * write left off. 0: the block is written out. */
size_t log_queue_next(const struct log_queue *q, size_t max, const char **ret);
/* n bytes of them were written. */
void log_queue_advance(struct log_queue *q, size_t n);
/* Gives up the rest of the block; its lines count as dropped. Under the lock of log_queue_put. */
void log_queue_discard(struct log_queue *q);
