/* SPDX-License-Identifier: ISC */
/* Job threads: one bounded, fair queue, a few threads that empty it, answers by mailbox. */
#include "io/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/hash.h"

struct jobs {
    void (*begin)(void); /* of each thread; NULL = nothing */
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    struct fair_queue queue; /* of job.place; this and the rest under the mutex */
    size_t n_running;
    bool is_stopping;
    uint8_t key[16]; /* of the hashes of sources */
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

static struct job *jobs_pop(struct jobs *p)
{
    struct fair_item *i = fair_queue_pop(&p->queue);
    return i ? CONTAINER_OF(i, struct job, place) : NULL;
}

static void *jobs_thread(void *arg)
{
    struct jobs *p = arg;
    struct job *j;
    if (p->begin)
        p->begin();
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->is_stopping && p->queue.n == 0)
            pthread_cond_wait(&p->has_work, &p->mutex);
        if (p->is_stopping || !(j = jobs_pop(p)))
            break;
        p->n_running++;
        pthread_mutex_unlock(&p->mutex);
        j->run(j);
        pthread_mutex_lock(&p->mutex);
        p->n_running--;
        /* The count falls before the answer leaves: who has the answer sees the queue without the
         * job. */
        pthread_mutex_unlock(&p->mutex);
        if (j->reply)
            mailbox_post(j->reply, &j->mail);
        else
            job_drop(j);
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Signals belong to the thread that waits for them: these threads take none. */
static int jobs_start_threads(struct jobs *p, unsigned n)
{
    sigset_t all, old;
    int rc = 0;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of the memory that it touches itself: blocked, it would end us */
    sigdelset(&all, SIGSYS); /* a refused system call, see sandbox/sandbox_calls.c */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; rc == 0 && p->n_threads < n; p->n_threads += rc == 0)
        rc = pthread_create(&p->threads[p->n_threads], NULL, jobs_thread, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_from_errno(rc);
}

int jobs_new(unsigned n, size_t max_queue, void (*begin)(void), struct jobs **ret)
{
    if (n == 0)
        return -ERR_INVAL;
    struct jobs *p = calloc(1, sizeof(*p) + n * sizeof(p->threads[0]));
    if (!p)
        return -ERR_NOMEM;
    p->begin = begin;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->has_work, NULL);
    fair_queue_init(&p->queue, max_queue);
    hash_random(p->key, sizeof(p->key));
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
    pthread_mutex_lock(&p->mutex);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->has_work);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    for (struct job *j = jobs_pop(p); j; j = jobs_pop(p))
        job_drop(j);
    fair_queue_fini(&p->queue);
    pthread_cond_destroy(&p->has_work);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

int jobs_post(struct jobs *p, struct job *j)
{
    int err = -ERR_BUSY;
    j->mail.fn = job_mail_done;
    j->mail.drop = job_mail_drop;
    list_init(&j->mail.link);
    pthread_mutex_lock(&p->mutex);
    if (!p->is_stopping)
        err = fair_queue_push(&p->queue, &j->place, j->source);
    if (err == 0)
        pthread_cond_signal(&p->has_work);
    pthread_mutex_unlock(&p->mutex);
    return err;
}

bool jobs_withdraw(struct jobs *p, struct job *j)
{
    pthread_mutex_lock(&p->mutex);
    bool was_waiting = fair_queue_remove(&p->queue, &j->place);
    pthread_mutex_unlock(&p->mutex);
    return was_waiting;
}

uint64_t jobs_source(const struct jobs *p, struct str name)
{
    uint64_t source = hash_sip(p->key, name);
    return source != FAIR_SOURCE_OWN ? source : 1;
}

size_t jobs_pending(struct jobs *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t n = p->queue.n + p->n_running;
    pthread_mutex_unlock(&p->mutex);
    return n;
}
