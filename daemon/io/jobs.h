/* SPDX-License-Identifier: ISC */
/* A few threads that run what blocks (password hashing, SQLite, files), so that no loop ever does.
 */
#pragma once

#include "base/container/fair_queue.h"
#include "base/err.h"
#include "io/mailbox.h"

struct jobs;

/* Embed first. run executes on a job thread; done on the thread whose mailbox was given, and owns
 * (frees) the job. */
struct job {
    struct mail mail;       /* private */
    struct fair_item place; /* private */
    uint64_t source;        /* on whose account it runs: jobs_source; 0 = the daemon's own */
    struct mailbox *reply;
    void (*run)(struct job *j);
    void (*done)(struct job *j, void *owner);
    void (*drop)(struct job *j); /* when done can no longer be delivered; NULL = free(j) */
};

/* Starts n threads, each of which calls begin (NULL = nothing) first. max_queue bounds waiting
 * jobs; a single source may have half of it. */
int jobs_new(unsigned n, size_t max_queue, void (*begin)(void), struct jobs **ret) NODISCARD;
/* Waits for the running jobs, drops the queued ones. */
void jobs_free(struct jobs *p);
/* Queues a job: the sources take turns, each in the order of its posting. -ERR_BUSY when the queue
 * or the share of its source is full, -ERR_NOMEM: the job stays the caller's. Thread: any. */
int jobs_post(struct jobs *p, struct job *j) NODISCARD;
/* Takes a posted job back before its turn: true when it is the caller's again; false when it runs
 * or did. Thread: that of its answer, before done was called. */
bool jobs_withdraw(struct jobs *p, struct job *j);
/* The number of a source of any name, an address for one. Thread: any. */
uint64_t jobs_source(const struct jobs *p, struct str name);
/* Jobs that wait or run now. */
size_t jobs_pending(struct jobs *p);
