/* SPDX-License-Identifier: ISC */
/* Blocking steps on job threads, one after another where they depend on each other. */
#include "rpc/work.h"

void work_free(struct work *w)
{
    if (!w)
        return;
    if (w->fini)
        w->fini(w);
    request_unref(w->request);
    free(w->error);
    free(w->hint);
    free(w);
}

/* Not delivered: the control plane is at its end or gone. */
static void work_drop(struct job *j)
{
    struct work *w = CONTAINER_OF(j, struct work, job);
    if (w->request)
        request_abandon(w->request);
    work_free(w);
}

void *work_new(struct rpc *rpc, struct request *r, size_t size, int (*run)(struct work *w),
               void (*done)(struct work *w), void (*fini)(struct work *w))
{
    struct work *w = calloc(1, size);
    if (!w) {
        if (r)
            request_fail(r, -ERR_NOMEM, NULL, NULL);
        return NULL;
    }
    w->rpc = rpc;
    w->request = r ? request_ref(r) : NULL;
    w->run = run;
    w->done = done;
    w->fini = fini;
    list_init(&w->link);
    list_init(&w->waiting);
    return w;
}

static void work_launch(struct work *w);

static void work_finish(struct work *w)
{
    struct work_queue *queue = w->queue;
    w->done(w);
    list_del(&w->link);
    work_free(w);
    if (!queue)
        return;
    queue->is_busy = false;
    if (list_is_empty(&queue->waiting))
        return;
    struct work *next = LIST_ITEM(queue->waiting.next, struct work, waiting);
    list_del(&next->waiting);
    queue->is_busy = true;
    work_launch(next);
}

static void work_job_run(struct job *j)
{
    struct work *w = CONTAINER_OF(j, struct work, job);
    w->err = w->run(w);
}

static void work_job_done(struct job *j, void *owner)
{
    (void)owner;
    work_finish(CONTAINER_OF(j, struct work, job));
}

static void work_launch(struct work *w)
{
    w->job.reply = loop_mailbox(w->rpc->loop);
    w->job.run = work_job_run;
    w->job.done = work_job_done;
    w->job.drop = work_drop;
    int err = w->start ? w->start(w) : 0;
    if (err == 0)
        err = jobs_post(w->rpc->jobs, &w->job);
    if (err == 0)
        return; /* a job thread has it: what it finds is not to be written over */
    w->err = err;
    work_finish(w);
}

void work_post(struct work *w, struct work_queue *queue)
{
    w->queue = queue;
    list_add_tail(&w->rpc->works, &w->link);
    if (queue && queue->is_busy) {
        list_add_tail(&queue->waiting, &w->waiting);
        return;
    }
    if (queue)
        queue->is_busy = true;
    work_launch(w);
}

bool work_fail(struct work *w)
{
    if (w->err == 0)
        return false;
    if (w->request && w->error)
        request_fail(w->request, w->err, w->hint, "%s", w->error);
    else if (w->request)
        request_fail(w->request, w->err, w->hint, NULL);
    return true;
}

void work_queue_init(struct work_queue *q)
{
    q->is_busy = false;
    list_init(&q->waiting);
}

void work_queue_fini(struct work_queue *q)
{
    LIST_FOREACH_SAFE (it, &q->waiting) {
        struct work *w = LIST_ITEM(it, struct work, waiting);
        list_del(&w->waiting);
        list_del(&w->link);
        if (w->request)
            request_abandon(w->request);
        work_free(w);
    }
}
