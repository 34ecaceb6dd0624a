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

static void wait_for(struct mailbox *b, struct seen *s, int n)
{
    while (s->n < n) {
        struct pollfd p = {.fd = mailbox_fd(b), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        mailbox_run(b, s);
    }
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&dropped, 0);
    atomic_store(&ran, 0);
    return 0;
}

static void test_order_of_one_thread(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(1, 1000, NULL, &p), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(jobs_post(p, &note_new(i, box)->job), 0);
    wait_for(box, &seen, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen.order[i], i);
    assert_true(seen.was_elsewhere);
    assert_int_equal(jobs_pending(p), 0);
    jobs_free(p);
    mailbox_free(box);
    assert_int_equal(atomic_load(&dropped), 0);
}

/* Two jobs that wait for each other can only end when they run at the same time. */
static void test_parallel(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    sem_t a, b;
    sem_init(&a, 0, 0);
    sem_init(&b, 0, 0);
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(2, 10, NULL, &p), 0);
    struct note *one = note_new(1, box), *two = note_new(2, box);
    one->started = two->go = &a;
    two->started = one->go = &b;
    assert_int_equal(jobs_post(p, &one->job), 0);
    assert_int_equal(jobs_post(p, &two->job), 0);
    wait_for(box, &seen, 2);
    jobs_free(p);
    mailbox_free(box);
    sem_destroy(&a);
    sem_destroy(&b);
}

static void test_full_queue(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    sem_t started, go;
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(1, 2, NULL, &p), 0);
    struct note *slow = note_new(0, box);
    slow->started = &started;
    slow->go = &go;
    assert_int_equal(jobs_post(p, &slow->job), 0);
    sem_wait(&started);
    assert_int_equal(jobs_post(p, &note_new(1, box)->job), 0);
    assert_int_equal(jobs_post(p, &note_new(2, box)->job), 0);
    assert_int_equal(jobs_pending(p), 3);
    struct note *extra = note_new(3, box);
    assert_int_equal(jobs_post(p, &extra->job), -ERR_BUSY);
    sem_post(&go);
    wait_for(box, &seen, 3);
    assert_int_equal(jobs_post(p, &extra->job), 0); /* it stayed ours */
    wait_for(box, &seen, 4);
    assert_int_equal(seen.order[3], 3);
    jobs_free(p);
    mailbox_free(box);
    sem_destroy(&started);
    sem_destroy(&go);
}

static void *post_go(void *arg)
{
    sem_post(arg);
    return NULL;
}

static void test_free_waits_and_drops(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    pthread_t helper;
    sem_t started, go;
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(1, 10, NULL, &p), 0);
    struct note *slow = note_new(0, box);
    slow->started = &started;
    slow->go = &go;
    assert_int_equal(jobs_post(p, &slow->job), 0);
    sem_wait(&started);
    for (int i = 1; i <= 5; i++)
        assert_int_equal(jobs_post(p, &note_new(i, box)->job), 0);
    assert_int_equal(pthread_create(&helper, NULL, post_go, &go), 0);
    jobs_free(p);
    pthread_join(helper, NULL);
    /* The running one always ended; of the others those that a thread took before the stop. */
    assert_true(atomic_load(&ran) >= 1);
    assert_int_equal(atomic_load(&ran) + atomic_load(&dropped), 6);
    wait_for(box, &seen, atomic_load(&ran));
    mailbox_free(box);
    sem_destroy(&started);
    sem_destroy(&go);
}

static void test_closed_mailbox(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(2, 10, NULL, &p), 0);
    mailbox_close(box);
    for (int i = 0; i < 4; i++)
        assert_int_equal(jobs_post(p, &note_new(i, box)->job), 0);
    jobs_free(p);
    assert_int_equal(atomic_load(&dropped), 4);
    mailbox_free(box);
}

static void test_edges(void **state)
{
    (void)state;
    struct jobs *p = NULL;
    assert_int_equal(jobs_new(0, 1, NULL, &p), -ERR_INVAL);
    assert_null(p);
    jobs_free(NULL);
}

/* The sources take turns, whatever the first of them queued before. */
static void test_sources_take_turns(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    sem_t started, go;
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(1, 100, NULL, &p), 0);
    struct note *first = note_new(0, box);
    first->started = &started;
    first->go = &go;
    assert_int_equal(jobs_post(p, &first->job), 0);
    sem_wait(&started);
    uint64_t ids[] = {jobs_source(p, STR("192.0.2.1")), jobs_source(p, STR("192.0.2.2"))};
    assert_int_not_equal(ids[0], ids[1]);
    for (int i = 0; i < 40; i++) { /* the flood is 1..39, the others are 40 and 41 */
        struct note *n = note_new(i < 38 ? i + 1 : i + 2, box);
        n->job.source = ids[i >= 38];
        assert_int_equal(jobs_post(p, &n->job), 0);
    }
    sem_post(&go);
    wait_for(box, &seen, 41);
    static const int expected[] = {0, 1, 40, 2, 41, 3, 4};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(seen.order[i], expected[i]);
    jobs_free(p);
    mailbox_free(box);
}

static void test_withdraw(void **state)
{
    (void)state;
    struct mailbox *box;
    struct jobs *p;
    struct seen seen = {0};
    sem_t started, go;
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    assert_int_equal(mailbox_new(&box), 0);
    assert_int_equal(jobs_new(1, 100, NULL, &p), 0);
    struct note *runs = note_new(0, box), *waits = note_new(1, box);
    runs->started = &started;
    runs->go = &go;
    assert_int_equal(jobs_post(p, &runs->job), 0);
    sem_wait(&started);
    assert_int_equal(jobs_post(p, &waits->job), 0);
    assert_int_equal(jobs_pending(p), 2);
    assert_true(jobs_withdraw(p, &waits->job));
    assert_false(jobs_withdraw(p, &runs->job)); /* too late */
    assert_int_equal(jobs_pending(p), 1);
    sem_post(&go);
    wait_for(box, &seen, 1);
    assert_int_equal(atomic_load(&ran), 1);
    note_drop(&waits->job);
    jobs_free(p);
    mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order_of_one_thread, setup),
        cmocka_unit_test_setup(test_parallel, setup),
        cmocka_unit_test_setup(test_full_queue, setup),
        cmocka_unit_test_setup(test_free_waits_and_drops, setup),
        cmocka_unit_test_setup(test_closed_mailbox, setup),
        cmocka_unit_test_setup(test_edges, setup),
        cmocka_unit_test_setup(test_sources_take_turns, setup),
        cmocka_unit_test_setup(test_withdraw, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
