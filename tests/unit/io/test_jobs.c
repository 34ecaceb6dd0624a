/* SPDX-License-Identifier: ISC */
/* Job threads: order, answers on the right thread, a full queue, and an end with work left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "io/jobs.h"

struct note {
    struct job job;
    int number;
    pthread_t ran_on;
    sem_t *started, *go; /* NULL = run at once */
};

struct seen {
    int n;
    int order[256];
    bool was_elsewhere;
};

static _Atomic int dropped;
static _Atomic int ran;

static void note_run(struct job *j)
{
    struct note *n = CONTAINER_OF(j, struct note, job);
    n->ran_on = pthread_self();
    if (n->started)
        sem_post(n->started);
    if (n->go)
        sem_wait(n->go);
    atomic_fetch_add(&ran, 1);
}

static void note_done(struct job *j, void *owner)
{
    struct note *n = CONTAINER_OF(j, struct note, job);
    struct seen *s = owner;
    if (s->n < 256)
        s->order[s->n] = n->number;
    s->n++;
    s->was_elsewhere = !pthread_equal(n->ran_on, pthread_self());
    free(n);
}

static void note_drop(struct job *j)
{
    atomic_fetch_add(&dropped, 1);
    free(CONTAINER_OF(j, struct note, job));
}

static struct note *note_new(int number, struct mailbox *reply)
{
    struct note *n = calloc(1, sizeof(*n));
    assert_non_null(n);
    n->number = number;
    n->job = (struct job){.reply = reply, .run = note_run, .done = note_done, .drop = note_drop};
    return n;
}

/* Threads, and where they answer. */
struct rig {
    struct mailbox *box;
    struct jobs *jobs;
    struct seen seen;
    sem_t started, go;
};

static void rig_begin(struct rig *r, unsigned n_threads, unsigned max)
{
    *r = (struct rig){0};
    atomic_store(&dropped, 0);
    atomic_store(&ran, 0);
    sem_init(&r->started, 0, 0);
    sem_init(&r->go, 0, 0);
    assert_int_equal(mailbox_new(&r->box), 0);
    assert_int_equal(jobs_new(n_threads, max, NULL, &r->jobs), 0);
}

static void rig_end(struct rig *r)
{
    jobs_free(r->jobs);
    mailbox_free(r->box);
    sem_destroy(&r->started);
    sem_destroy(&r->go);
}

static void rig_post(struct rig *r, int number)
{
    assert_int_equal(jobs_post(r->jobs, &note_new(number, r->box)->job), 0);
}

/* A thread is busy with job 0 from now on, until rig.go is posted. */
static struct note *rig_keep_busy(struct rig *r)
{
    struct note *slow = note_new(0, r->box);
    slow->started = &r->started;
    slow->go = &r->go;
    assert_int_equal(jobs_post(r->jobs, &slow->job), 0);
    sem_wait(&r->started);
    return slow;
}

static void rig_wait(struct rig *r, int n)
{
    while (r->seen.n < n) {
        struct pollfd p = {.fd = mailbox_fd(r->box), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        mailbox_run(r->box, &r->seen);
    }
}

static void test_order_of_one_thread(void **state)
{
    struct rig r;
    rig_begin(&r, 1, 1000);
    for (int i = 0; i < 100; i++)
        rig_post(&r, i);
    rig_wait(&r, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(r.seen.order[i], i);
    assert_true(r.seen.was_elsewhere);
    assert_int_equal(jobs_pending(r.jobs), 0);
    rig_end(&r);
    assert_int_equal(atomic_load(&dropped), 0);
}

/* Two jobs that wait for each other can only end when they run at the same time. */
static void test_parallel(void **state)
{
    struct rig r;
    rig_begin(&r, 2, 10);
    struct note *one = note_new(1, r.box), *two = note_new(2, r.box);
    one->started = two->go = &r.started;
    two->started = one->go = &r.go;
    assert_int_equal(jobs_post(r.jobs, &one->job), 0);
    assert_int_equal(jobs_post(r.jobs, &two->job), 0);
    rig_wait(&r, 2);
    rig_end(&r);
}

static void test_full_queue(void **state)
{
    struct rig r;
    rig_begin(&r, 1, 2);
    (void)rig_keep_busy(&r);
    rig_post(&r, 1);
    rig_post(&r, 2);
    assert_int_equal(jobs_pending(r.jobs), 3);
    struct note *extra = note_new(3, r.box);
    assert_int_equal(jobs_post(r.jobs, &extra->job), -ERR_BUSY);
    sem_post(&r.go);
    rig_wait(&r, 3);
    assert_int_equal(jobs_post(r.jobs, &extra->job), 0); /* it stayed ours */
    rig_wait(&r, 4);
    assert_int_equal(r.seen.order[3], 3);
    rig_end(&r);
}

static void *post_go(void *arg)
{
    sem_post(arg);
    return NULL;
}

static void test_free_waits_and_drops(void **state)
{
    struct rig r;
    pthread_t helper;
    rig_begin(&r, 1, 10);
    (void)rig_keep_busy(&r);
    for (int i = 1; i <= 5; i++)
        rig_post(&r, i);
    assert_int_equal(pthread_create(&helper, NULL, post_go, &r.go), 0);
    jobs_free(STEAL(r.jobs));
    pthread_join(helper, NULL);
    /* The running one always ended; of the others those that a thread took before the stop. */
    assert_true(atomic_load(&ran) >= 1);
    assert_int_equal(atomic_load(&ran) + atomic_load(&dropped), 6);
    rig_wait(&r, atomic_load(&ran));
    rig_end(&r);
}

static void test_closed_mailbox(void **state)
{
    struct rig r;
    rig_begin(&r, 2, 10);
    mailbox_close(r.box);
    for (int i = 0; i < 4; i++)
        rig_post(&r, i);
    jobs_free(STEAL(r.jobs));
    assert_int_equal(atomic_load(&dropped), 4);
    rig_end(&r);
}

static void test_edges(void **state)
{
    struct jobs *p = NULL;
    assert_int_equal(jobs_new(0, 1, NULL, &p), -ERR_INVAL);
    assert_null(p);
    jobs_free(NULL);
}

/* The sources take turns, whatever the first of them queued before. */
static void test_sources_take_turns(void **state)
{
    static const int expected[] = {0, 1, 40, 2, 41, 3, 4};
    struct rig r;
    rig_begin(&r, 1, 100);
    (void)rig_keep_busy(&r);
    uint64_t ids[] = {jobs_source(r.jobs, STR("192.0.2.1")), jobs_source(r.jobs, STR("192.0.2.2"))};
    assert_int_not_equal(ids[0], ids[1]);
    for (int i = 0; i < 40; i++) { /* the flood is 1..39, the others are 40 and 41 */
        struct note *n = note_new(i < 38 ? i + 1 : i + 2, r.box);
        n->job.source = ids[i >= 38];
        assert_int_equal(jobs_post(r.jobs, &n->job), 0);
    }
    sem_post(&r.go);
    rig_wait(&r, 41);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(r.seen.order[i], expected[i]);
    rig_end(&r);
}

static void test_withdraw(void **state)
{
    struct rig r;
    rig_begin(&r, 1, 100);
    struct note *runs = rig_keep_busy(&r), *waits = note_new(1, r.box);
    assert_int_equal(jobs_post(r.jobs, &waits->job), 0);
    assert_int_equal(jobs_pending(r.jobs), 2);
    assert_true(jobs_withdraw(r.jobs, &waits->job));
    assert_false(jobs_withdraw(r.jobs, &runs->job)); /* too late */
    assert_int_equal(jobs_pending(r.jobs), 1);
    sem_post(&r.go);
    rig_wait(&r, 1);
    assert_int_equal(atomic_load(&ran), 1);
    note_drop(&waits->job);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_one_thread), cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_full_queue),          cmocka_unit_test(test_free_waits_and_drops),
        cmocka_unit_test(test_closed_mailbox),      cmocka_unit_test(test_edges),
        cmocka_unit_test(test_sources_take_turns),  cmocka_unit_test(test_withdraw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
