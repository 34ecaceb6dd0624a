/* SPDX-License-Identifier: ISC */
/* Long lists of the control thread's own tables: looked at in slices, so that nobody waits for
 * them. All functions: control thread. */
#pragma once

#include <pthread.h>

#include "base/container/safe_iter.h"
#include "rpc/request.h"

/* One of the lists that an answer is made of. */
struct rows_source {
    struct list *walks, *head;
    /* A row of the command, or NULL: the node is left out. */
    json_t *(*row)(void *arg, const struct list *node);
    void *arg;
    /* Of a list that other threads change: its lock, held from node to node only; what copy leaves
     * in the ROWS_COPY_BYTES of dst is handed to copied instead of a row. */
    pthread_mutex_t *lock;
    void (*copy)(const struct list *node, void *dst);
    json_t *(*copied)(void *arg, const void *copy);
};
#define ROWS_SOURCES_MAX 40
#define ROWS_COPY_BYTES 512

/* Answers a LIST with the request's filter, sort, offset and limit applied; takes over r. Sources
 * are copied. jobs: where the work is noted until it is done. */
void rows_answer(struct request *r, struct list *jobs, const struct rows_source *sources, size_t n);
/* The lists go away: answers nobody any more. */
void rows_drop(struct list *jobs);
