/* SPDX-License-Identifier: ISC */
/* A few threads that run what blocks (password hashing, SQLite, files), so that no loop ever does.
 */
#pragma once

#include "base/err.h"
#include "io/mailbox.h"

struct jobs;

/* Embed first. run executes on a job thread; done on the thread whose mailbox was given, and owns
 * (frees) the job. */
struct job {
    struct mail mail; /* private */
    struct mailbox *reply;
    void (*run)(struct job *j);
    void (*done)(struct job *j, void *owner);
    void (*drop)(struct job *j); /* when done can no longer be delivered; NULL = free(j) */
};

/* Starts n threads. max_queue bounds waiting jobs. */
int jobs_new(unsigned n, size_t max_queue, struct jobs **ret) NODISCARD;
/* Waits for the running jobs, drops the queued ones. */
void jobs_free(struct jobs *p);
/* Queues a job (fair, first in first out). -ERR_BUSY when the queue is full: the job stays the
 * caller's. Thread: any. */
int jobs_post(struct jobs *p, struct job *j) NODISCARD;
/* Jobs that wait or run now. */
size_t jobs_pending(struct jobs *p);
