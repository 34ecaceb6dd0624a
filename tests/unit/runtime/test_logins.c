/* SPDX-License-Identifier: ISC */
/* Last logins: batches into the store, what waits at the end, and a store that does not take them.
 */
#include "runtime/logins.h"

#include "control_case.h"

#include <semaphore.h>

static struct plane plane;
static struct logins *logins;

static void add_user(const char *name)
{
    const struct store_user u = {.name = (char *)name, .is_stored = true};
    assert_int_equal(store_user_put(plane.host.store, &u, STORE_ADD, 1), 0);
}

static uint64_t last_login(const char *name)
{
    struct store_user u = {0};
    assert_int_equal(store_user_get(plane.host.store, name, &u), 0);
    uint64_t at = u.last_login_ms;
    store_user_fini(&u);
    return at;
}

static int begin(void **state)
{
    plane_begin(&plane);
    add_user("alice");
    add_user("bob");
    return logins_new(plane.control, &logins);
}

static int end(void **state)
{
    plane_end(&plane);
    return 0;
}

static bool alice_has_2000(struct plane *p)
{
    (void)p;
    return last_login("alice") == 2000;
}

static void test_batch(void **state)
{
    logins_note(logins, "alice", 1000);
    logins_note(logins, "bob", 1500);
    logins_note(logins, "alice", 2000);
    logins_note(logins, "alice", 1900); /* late mail of another worker */
    logins_note(logins, "nobody", 1000);
    plane_run(&plane, alice_has_2000);
    assert_int_equal(last_login("bob"), 1500);
    logins_free(logins);
}

static void test_flush_at_end(void **state)
{
    logins_note(logins, "alice", 3000);
    logins_free(logins);
    assert_int_equal(last_login("alice"), 3000);
}

/* Job threads that wait, so that a batch stays under way. */
static sem_t go;

static void busy_run(struct job *j)
{
    (void)j;
    sem_wait(&go);
}

static void busy_done(struct job *j, void *owner)
{
    (void)owner;
    free(j);
}

static void keep_busy(void)
{
    assert_int_equal(sem_init(&go, 0, 0), 0);
    for (int i = 0; i < PLANE_JOB_THREADS; i++) {
        struct job *j = calloc(1, sizeof(*j));
        assert_non_null(j);
        *j = (struct job){
            .reply = loop_mailbox(plane.host.loop), .run = busy_run, .done = busy_done};
        assert_int_equal(jobs_post(plane.object.rpc.jobs, j), 0);
    }
}

static void let_go(void)
{
    for (int i = 0; i < PLANE_JOB_THREADS; i++)
        sem_post(&go);
}

static bool is_under_way(struct plane *p)
{
    return !list_is_empty(&p->object.rpc.works);
}

/* A batch that is being written at the end is written, whether its job still runs or not. */
static void test_end_under_way(void **state)
{
    keep_busy();
    logins_note(logins, "alice", 4000);
    plane_run(&plane, is_under_way);
    logins_note(logins, "bob", 4001);
    logins_free(logins);
    let_go();
    assert_int_equal(last_login("alice"), 4000);
    assert_int_equal(last_login("bob"), 4001);
}

static void test_end_after_jobs(void **state)
{
    keep_busy();
    logins_note(logins, "alice", 5000);
    plane_run(&plane, is_under_way);
    let_go();
    jobs_free(plane.object.rpc.jobs);
    plane.object.rpc.jobs = NULL;
    logins_free(logins);
    assert_int_equal(last_login("alice"), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_batch, begin, end),
        cmocka_unit_test_setup_teardown(test_flush_at_end, begin, end),
        cmocka_unit_test_setup_teardown(test_end_under_way, begin, end),
        cmocka_unit_test_setup_teardown(test_end_after_jobs, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
