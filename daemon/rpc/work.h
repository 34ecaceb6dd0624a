/* SPDX-License-Identifier: ISC */
/* Steps of commands that block: run by job threads, one after another where what one changes is
 * what the next one has to see. */
#pragma once

#include "rpc/request.h"
#include "rpc/rpc.h"

/* Works that have to be done one after another. */
struct work_queue {
    bool is_busy;
    struct list waiting; /* struct work */
};

/* A step that blocks, run by a job thread, and what follows it. Embed first. */
struct work {
    struct job job;
    struct list link;    /* of rpc.works */
    struct list waiting; /* of a queue */
    struct rpc *rpc;
    struct request *request;  /* one reference; NULL = the daemon's own */
    struct work_queue *queue; /* NULL = at once */
    int err;                  /* what start or run returned */
    char *error, *hint;       /* words for a failure, owned, may be NULL */
    /* Thread of the loop, when its turn has come: looks at what those before left. -ERR_x (perhaps
     * with the request answered): done follows at once. May be NULL. */
    int (*start)(struct work *w);
    /* Thread: a job thread. Uses nothing but the work and what outlives the job threads (store,
     * registry). */
    int (*run)(struct work *w);
    /* Thread of the loop, also after an error; answers the request. The turn is over when it
     * returns. */
    void (*done)(struct work *w);
    /* Frees what the work holds but not itself. May be NULL. */
    void (*fini)(struct work *w);
};

/* Makes a work of size bytes (a struct that embeds struct work first) for a request, which it
 * references. NULL: the request was answered with the lack of memory. */
void *work_new(struct rpc *rpc, struct request *r, size_t size, int (*run)(struct work *w),
               void (*done)(struct work *w), void (*fini)(struct work *w));
/* Starts it, in its turn; it frees itself after done. queue NULL = at once. */
void work_post(struct work *w, struct work_queue *queue);
/* Frees one that was not posted. */
void work_free(struct work *w);
/* Answers a failed work's request. True when it failed. */
bool work_fail(struct work *w);

/* Empty: the first work has its turn at once. */
void work_queue_init(struct work_queue *q);
/* The end: works that wait for their turn will not have it; their requests are abandoned. */
void work_queue_fini(struct work_queue *q);
