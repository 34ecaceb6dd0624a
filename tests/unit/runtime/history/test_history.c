/* SPDX-License-Identifier: ISC */
/* The rings of samples: differences, minutes, wrapping, backends that come and go. */
#include "runtime/history/history.h"

#include <sys/stat.h>

#include "tests/unit/runtime/control_case.h"

#define T0 1700000000000
#define MEMBERS 200

/* References are kept here; members of the pool borrow them. */
static struct backend *all[MEMBERS];

static struct plane plane;
static struct history *history;
static uint64_t now_ms;

static int begin(void **state)
{
    plane_begin(&plane);
    now_ms = T0;
    return history_new(plane.control, NULL, &history);
}

static int end(void **state)
{
    history_free(history);
    for (size_t i = 0; i < MEMBERS; i++)
        backend_unref(STEAL(all[i]));
    plane_end(&plane);
    return 0;
}

static void take(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        history_take(history, now_ms += 1000);
}

static void count(enum proto_id p, enum counter which, int64_t n)
{
    counter_add(&plane.worker_counters, p, which, n);
}

static const struct history_sample *newest(const struct history_series *s, bool is_minutes)
{
    uint64_t at;
    assert_true(history_count(history, s, is_minutes) > 0);
    const struct history_sample *sample = history_get(history, s, is_minutes, 0, &at);
    if (!is_minutes)
        assert_int_equal(at, now_ms);
    return sample;
}

static void test_differences(void **state)
{
    const struct history_series *total = history_total(history);
    assert_int_equal(history_count(history, total, false), 0);
    count(PROTO_IMAP, COUNTER_SESSIONS, 5);
    count(PROTO_IMAP, COUNTER_LOGINS, 7);
    count(PROTO_POP3, COUNTER_LOGINS, 1);
    count(PROTO_POP3, COUNTER_LOGIN_FAILURES, 2);
    count(PROTO_IMAP, COUNTER_IN_BYTES, 100);
    count(PROTO_IMAP, COUNTER_OUT_BYTES, 5000000000);
    take(1);
    assert_int_equal(newest(total, false)->sessions, 5);
    assert_int_equal(newest(total, false)->logins, 8);
    assert_int_equal(newest(total, false)->failures, 2);
    assert_int_equal(newest(total, false)->in, 100);
    assert_int_equal(newest(total, false)->out, 5000000000);
    assert_int_equal(newest(history_proto(history, PROTO_IMAP), false)->logins, 7);
    assert_int_equal(newest(history_proto(history, PROTO_POP3), false)->logins, 1);
    assert_int_equal(newest(history_proto(history, PROTO_SMTP), false)->logins, 0);
    count(PROTO_IMAP, COUNTER_SESSIONS, -2);
    count(PROTO_IMAP, COUNTER_LOGINS, 1);
    take(1);
    assert_int_equal(newest(total, false)->sessions, 3);
    assert_int_equal(newest(total, false)->logins, 1);
    assert_int_equal(newest(total, false)->out, 0);
    assert_int_equal(history_count(history, total, false), 2);
}

static void test_minutes(void **state)
{
    const struct history_series *total = history_total(history);
    uint64_t at;
    for (int i = 0; i < 60; i++) {
        count(PROTO_IMAP, COUNTER_LOGINS, 2);
        count(PROTO_IMAP, COUNTER_SESSIONS, 1);
        take(1);
        assert_int_equal(history_count(history, total, true), i == 59);
    }
    assert_int_equal(newest(total, true)->logins, 120);
    assert_int_equal(newest(total, true)->sessions, 60);
    (void)history_get(history, total, true, 0, &at);
    assert_int_equal(at, T0 + 60000);
    take(60);
    assert_int_equal(newest(total, true)->logins, 0);
    assert_int_equal(newest(total, true)->sessions, 60);
}

/* After two days and more the rings hold the newest 1,200 seconds and 2,880 minutes. */
static void test_wrap(void **state)
{
    const struct history_series *total = history_total(history);
    uint64_t at;
    for (unsigned i = 0; i < 2900 * 60; i++) {
        count(PROTO_IMAP, COUNTER_LOGINS, 1);
        take(1);
    }
    assert_int_equal(history_count(history, total, false), HISTORY_SECONDS);
    assert_int_equal(history_count(history, total, true), HISTORY_MINUTES);
    for (size_t back = 0; back < HISTORY_SECONDS; back++) {
        assert_int_equal(history_get(history, total, false, back, &at)->logins, 1);
        assert_int_equal(at, now_ms - back * 1000);
    }
    for (size_t back = 0; back < HISTORY_MINUTES; back++) {
        assert_int_equal(history_get(history, total, true, back, &at)->logins, 60);
        assert_int_equal(at, now_ms - back * 60000);
    }
}

/* ---- backends ---- */

static struct pool_member members[MEMBERS];
static struct pool pool;

static void use_members(size_t first, size_t n)
{
    char name[8];
    memset(members, 0, sizeof(members));
    for (size_t i = 0; i < n; i++) {
        struct backend **b = &all[first + i];
        snprintf(name, sizeof(name), "b%zu", first + i);
        if (!*b)
            *b = backend_registry_get(plane.host.registry, "main", name, NULL);
        assert_non_null(*b);
        members[i].backend = *b;
    }
    pool = (struct pool){.members = members, .n_members = n};
    plane.pools = (struct pools){.v = &pool, .n = 1};
}

static void test_backends(void **state)
{
    take(3);
    use_members(1, 2);
    atomic_store(&members[0].backend->logins, 40); /* before anybody looked */
    take(1);
    const struct history_series *b1 = history_backend(history, "b1");
    assert_non_null(b1);
    assert_ptr_equal(history_backend(history, "main/b1"), b1);
    assert_null(history_backend(history, "other/b1"));
    assert_null(history_backend(history, "b3"));
    assert_int_equal(history_count(history, b1, false), 1);
    assert_int_equal(newest(b1, false)->logins, 0);
    atomic_fetch_add(&members[0].backend->logins, 3);
    atomic_fetch_add(&members[0].backend->login_failures, 1);
    atomic_fetch_add(&members[0].backend->connect_failures, 2);
    atomic_fetch_add(&members[0].backend->sessions, 2);
    atomic_fetch_add(&members[0].backend->out_bytes, 1000);
    take(1);
    assert_int_equal(newest(b1, false)->logins, 3);
    assert_int_equal(newest(b1, false)->failures, 3);
    assert_int_equal(newest(b1, false)->sessions, 2);
    assert_int_equal(newest(b1, false)->out, 1000);
    assert_int_equal(newest(history_backend(history, "b2"), false)->logins, 0);
    use_members(2, 1); /* b1 is taken out and empties: it is watched on */
    atomic_fetch_sub(&all[1]->sessions, 1);
    take(1);
    assert_int_equal(newest(b1, false)->sessions, 1);
}

/* More backends than places: the first ones keep theirs, those of gone ones are used again. */
static void test_places(void **state)
{
    use_members(0, MEMBERS);
    take(2);
    assert_non_null(history_backend(history, "b127"));
    assert_null(history_backend(history, "b128"));
    use_members(100, 100);
    take(1);
    assert_non_null(history_backend(history, "b199"));
    assert_non_null(history_backend(history, "b127"));
    const struct history_series *late = history_backend(history, "b199");
    assert_int_equal(history_count(history, late, false), 1);
}

/* ---- the file ---- */

static char path[256];

/* As the control plane ends: no job runs any more. The loop does not run, no timer takes samples.
 */
static void close_history(void)
{
    jobs_free(plane.object.rpc.jobs);
    list_init(&plane.object.rpc.works); /* what was dropped is in no list */
    history_free(history);
    assert_int_equal(jobs_new(PLANE_JOB_THREADS, 100, NULL, &plane.object.rpc.jobs), 0);
}

static void open_file(void)
{
    now_ms = clock_wall_ms() / 1000 * 1000 + 500 -
             1000 * 1000; /* the times to come are of the past, too */
    snprintf(path, sizeof(path), "%s.history", plane.path);
    history_free(history);
    assert_int_equal(history_new(plane.control, path, &history), 0);
}

/* The engine is another one: it counts from zero again. */
static void restart(void)
{
    close_history();
    memset(&plane.worker_counters, 0, sizeof(plane.worker_counters));
    for (size_t i = 0; i < MEMBERS; i++)
        if (all[i])
            atomic_store(&all[i]->logins, 0);
    assert_int_equal(history_new(plane.control, path, &history), 0);
}

static void drop_file(void)
{
    close_history();
    assert_int_equal(history_new(plane.control, NULL, &history), 0);
    assert_int_equal(unlink(path), 0);
}

static void test_outlives_the_engine(void **state)
{
    uint64_t at;
    open_file();
    use_members(1, 2);
    for (unsigned i = 0; i < 130; i++) {
        count(PROTO_IMAP, COUNTER_LOGINS, 2);
        count(PROTO_SMTP, COUNTER_OUT_BYTES, 7);
        atomic_fetch_add(&members[1].backend->logins, 1);
        take(1);
        now_ms += i % 2 ? 3 : -3; /* the clock is no clockwork */
    }
    restart();
    const struct history_series *total = history_total(history);
    assert_int_equal(history_count(history, total, false), 130);
    assert_int_equal(history_count(history, total, true), 2);
    for (size_t back = 0; back < 130; back++)
        assert_int_equal(history_get(history, total, false, back, &at)->logins, 2);
    assert_int_equal(history_get(history, total, true, 1, &at)->logins, 120);
    assert_int_equal(newest(history_proto(history, PROTO_SMTP), true)->out, 420);
    /* A backend comes back with its minutes, wherever it stands now. */
    use_members(2, 1);
    count(PROTO_IMAP, COUNTER_LOGINS, 9);
    take(1);
    const struct history_series *b2 = history_backend(history, "b2");
    assert_non_null(b2);
    assert_int_equal(history_count(history, b2, true), 2);
    assert_int_equal(history_get(history, b2, true, 0, &at)->logins, 60);
    assert_int_equal(history_count(history, b2, false), 1);
    assert_int_equal(newest(history_total(history), false)->logins, 9);
    assert_int_equal(history_get(history, history_total(history), false, 1, &at)->logins, 2);
    /* A minute of the new engine ends after sixty seconds of it. */
    take(58);
    assert_int_equal(history_count(history, history_total(history), true), 2);
    take(1);
    assert_int_equal(newest(history_total(history), true)->logins, 9);
    drop_file();
}

/* A full day and night: what is older than the rings does not come back. */
static void test_file_wraps(void **state)
{
    open_file();
    now_ms -= 100ull * 3600 * 1000;
    take(60); /* too old */
    now_ms = clock_wall_ms() - 2000 * 1000;
    for (unsigned i = 0; i < 1900; i++) {
        count(PROTO_POP3, COUNTER_LOGINS, 1);
        take(1);
    }
    restart();
    size_t n = history_count(history, history_total(history), false);
    assert_true(n > 1000 && n <= HISTORY_SECONDS);
    assert_int_equal(history_count(history, history_total(history), true), 31);
    assert_int_equal(newest(history_total(history), true)->logins, 60);
    drop_file();
}

/* Whatever the file holds, the engine starts, and makes use of what is good. */
static void test_bad_files(void **state)
{
    open_file();
    count(PROTO_IMAP, COUNTER_LOGINS, 3);
    take(20);
    close_history();
    FILE *f = fopen(path, "r+e");
    assert_non_null(f);
    /* One damaged byte costs one sample. */
    size_t slot = (size_t)((now_ms / 1000) % HISTORY_SECONDS);
    assert_int_equal(fseek(f, (long)(16 + 8 * HISTORY_BACKENDS_MAX + slot * 40 + 8), SEEK_SET), 0);
    assert_int_equal(fputc(0x55, f), 0x55);
    fclose(f);
    assert_int_equal(history_new(plane.control, path, &history), 0);
    assert_int_equal(history_count(history, history_total(history), false), 19);
    close_history();
    static const char *const contents[] = {"", "x", "mphist1", "mphist9 of another version"};
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(contents[i], f);
        fclose(f);
        assert_int_equal(history_new(plane.control, path, &history), 0);
        assert_int_equal(history_count(history, history_total(history), false), 0);
        history_take(history, clock_wall_ms());
        close_history();
        assert_int_equal(history_new(plane.control, path, &history), 0);
        assert_int_equal(history_count(history, history_total(history), false), 1);
        close_history();
    }
    /* No file at all, and what is none. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(history_new(plane.control, path, &history), 0);
    take(30);
    drop_file();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_differences, begin, end),
        cmocka_unit_test_setup_teardown(test_minutes, begin, end),
        cmocka_unit_test_setup_teardown(test_wrap, begin, end),
        cmocka_unit_test_setup_teardown(test_backends, begin, end),
        cmocka_unit_test_setup_teardown(test_places, begin, end),
        cmocka_unit_test_setup_teardown(test_outlives_the_engine, begin, end),
        cmocka_unit_test_setup_teardown(test_file_wraps, begin, end),
        cmocka_unit_test_setup_teardown(test_bad_files, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
