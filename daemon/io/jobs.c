/* SPDX-License-Identifier: ISC */
/* Job threads: one bounded queue, a few threads that empty it, answers by mailbox. */
#include "io/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/cleanup.h"

struct jobs {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    struct list queue; /* of job.mail.link; this and the rest under the mutex */
    size_t n_waiting, n_running, max_queue;
    bool is_stopping;
    unsigned n_threads;
    pthread_t threads[];
};

static void job_drop(struct job *j)
{
    if (j->drop)
        j->drop(j);
    else
        free(j);
}

static void job_mail_drop(struct mail *m)
{
    job_drop(CONTAINER_OF(m, struct job, mail));
}

static void job_mail_done(struct mail *m, void *owner)
{
    struct job *j = CONTAINER_OF(m, struct job, mail);
    j->done(j, owner);
}

/* Next job, or NULL when the threads end. */
static struct job *jobs_take(struct jobs *p)
{
    struct job *j = NULL;
    pthread_mutex_lock(&p->mutex);
    while (!p->is_stopping && list_is_empty(&p->queue))
        pthread_cond_wait(&p->has_work, &p->mutex);
    if (!p->is_stopping) {
        j = CONTAINER_OF(LIST_ITEM(p->queue.next, struct mail, link), struct job, mail);
        list_del(&j->mail.link);
        p->n_waiting--;
        p->n_running++;
    }
    pthread_mutex_unlock(&p->mutex);
    return j;
}

/* The count falls before the answer leaves: who has the answer sees the queue without the job. */
static void jobs_finish(struct jobs *p, struct job *j)
{
    pthread_mutex_lock(&p->mutex);
    p->n_running--;
    pthread_mutex_unlock(&p->mutex);
    if (j->reply)
        mailbox_post(j->reply, &j->mail);
    else
        job_drop(j);
}

static void *jobs_thread(void *arg)
{
    struct jobs *p = arg;
    struct job *j;
    while ((j = jobs_take(p))) {
        j->run(j);
        jobs_finish(p, j);
    }
    return NULL;
}

static void jobs_stop_threads(struct jobs *p)
{
    pthread_mutex_lock(&p->mutex);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->has_work);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
}

/* Signals belong to the thread that waits for them: these threads take none. */
static int jobs_start_threads(struct jobs *p, unsigned n)
{
    sigset_t all, old;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; rc == 0 && p->n_threads < n; p->n_threads += rc == 0)
        rc = pthread_create(&p->threads[p->n_threads], NULL, jobs_thread, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_from_errno(rc);
}

int jobs_new(unsigned n, size_t max_queue, struct jobs **ret)
{
    if (n == 0)
        return -ERR_INVAL;
    struct jobs *p = calloc(1, sizeof(*p) + n * sizeof(p->threads[0]));
    if (!p)
        return -ERR_NOMEM;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->has_work, NULL);
    list_init(&p->queue);
    p->max_queue = max_queue;
    int err = jobs_start_threads(p, n);
    if (err != 0) {
        jobs_free(p);
        return err;
    }
    *ret = p;
    return 0;
}

void jobs_free(struct jobs *p)
{
    if (!p)
        return;
    jobs_stop_threads(p);
    while (!list_is_empty(&p->queue)) {
        struct job *j = CONTAINER_OF(LIST_ITEM(p->queue.next, struct mail, link), struct job, mail);
        list_del(&j->mail.link);
        job_drop(j);
    }
    pthread_cond_destroy(&p->has_work);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

int jobs_post(struct jobs *p, struct job *j)
{
    int err = 0;
    j->mail.fn = job_mail_done;
    j->mail.drop = job_mail_drop;
    list_init(&j->mail.link);
    pthread_mutex_lock(&p->mutex);
    if (p->is_stopping || p->n_waiting >= p->max_queue) {
        err = -ERR_BUSY;
    } else {
        list_add_tail(&p->queue, &j->mail.link);
        p->n_waiting++;
        pthread_cond_signal(&p->has_work);
    }
    pthread_mutex_unlock(&p->mutex);
    return err;
}

size_t jobs_pending(struct jobs *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t n = p->n_waiting + p->n_running;
    pthread_mutex_unlock(&p->mutex);
    return n;
}
