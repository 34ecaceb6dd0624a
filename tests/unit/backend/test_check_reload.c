/* SPDX-License-Identifier: ISC */
/* Health checks across reloads, by hand, and shared with other proxies. */
#include "check_case.h"

/* ---- reloads ---- */

static bool has_begun(void *arg)
{
    return ((struct check_case *)arg)->imap.connections > 0;
}

/* What was found stays with the name; what ran goes on. */
static void test_reload_keeps(void **state)
{
    struct check_case *t = *state;
    configure_and_check(t);
    SERVE(&t->imap, imap_bye);
    (void)check(t);
    (void)check(t);
    struct pool_edit edit = {.pool = "main", .name = "b1", .weight = 5};
    configure(t, &edit, 1);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t); /* the third in a row */
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    serve(&t->imap, NULL, 0);
    t->imap.connections = 0;
    t->is_answered = false;
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    configure(t, NULL, 0);
    script_close(&t->imap);
    conn_close(&t->imap.conn);
    run_until(t->loop, is_answered, t);
    assert_int_equal(t->result.failure, BACK_FAIL_CLOSED);
    assert_int_equal(t->imap.connections, 1);
}

/* A check of an address that is no longer the backend's begins anew at the new one. */
static void test_reload_moves(void **state)
{
    struct check_case *t = *state;
    struct script other = {0};
    SERVE(&other, imap_good);
    script_start(&other, t->loop);
    serve(&t->imap, NULL, 0);
    configure(t, NULL, 0);
    t->is_answered = false;
    assert_int_equal(check_now(t->checks, "main", "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    struct pool_edit edit = {
        .pool = "main", .name = "b1", .weight = -1, .ports = {[PROTO_IMAP] = other.port}};
    configure(t, &edit, 1);
    run_until(t->loop, is_answered, t);
    assert_int_equal(t->result.failure, BACK_FAIL_NONE);
    assert_int_equal(other.connections, 1);
    assert_int_equal(t->b1->health, BACKEND_UP);
    script_stop(&other);
}

static void test_removed_while_checked(void **state)
{
    struct check_case *t = *state;
    serve(&t->imap, NULL, 0);
    configure(t, NULL, 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    struct pool_edit edit = {.pool = "main", .name = "b1", .weight = -1, .is_removed = true};
    struct pools *p = pools_case_build(&t->c, &edit, 1);
    checks_configure(t->checks, p);
    pools_unref(p);
    assert_true(t->is_answered);
    assert_int_equal(t->result.err, -ERR_NO_BACKEND);
    assert_false(t->b1->is_checked);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), -ERR_NO_BACKEND);
}

static void test_turned_off(void **state)
{
    struct check_case *t = *state;
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    SERVE(&t->pop3, hang_up);
    configure_and_check(t);
    for (unsigned i = 0; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_POP3);
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(t->b1->down_protocols, 0);
}

/* ---- by hand ---- */

static unsigned answers;

static void count_answer(void *arg, const struct check_result *r)
{
    answers += r->err == *(int *)arg;
}

static bool are_three(void *arg)
{
    (void)arg;
    return answers == 3;
}

static void test_joined(void **state)
{
    struct check_case *t = *state;
    int want = 0;
    answers = 0;
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    run_until(t->loop, are_three, NULL);
    assert_int_equal(t->imap.connections, 1);
}

static void test_shutdown(void **state)
{
    struct check_case *t = *state;
    int want = -ERR_SHUTDOWN;
    answers = 0;
    configure(t, NULL, 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    checks_free(STEAL(t->checks));
    assert_int_equal(answers, 2);
    checks_free(NULL);
}

/* ---- shared with other proxies ---- */

static unsigned n_asked, n_well, n_ill;

static bool on_ask(void *arg, const char *pool, const char *backend, enum proto_id proto,
                   uint64_t interval_ms)
{
    struct check_case *t = arg;
    assert_string_equal(pool, "main");
    assert_string_equal(backend, "b1");
    assert_int_equal(proto, PROTO_IMAP);
    assert_int_equal(interval_ms, t->pool->check.interval_ms);
    n_asked++;
    return true;
}

static void on_tell(void *arg, const char *pool, const char *backend, enum proto_id proto,
                    uint64_t interval_ms, const struct check_finding *f)
{
    (void)arg;
    (void)pool;
    (void)backend;
    (void)proto;
    (void)interval_ms;
    n_well += f != NULL;
    n_ill += f == NULL;
    if (f) {
        assert_string_equal(f->by, "px1");
        assert_string_equal(f->capabilities, "IMAP4rev1 IDLE");
    }
}

static bool is_asked(void *arg)
{
    (void)arg;
    return n_asked > 0;
}

static void wait_for_ask(struct check_case *t)
{
    n_asked = 0;
    run_until(t->loop, is_asked, t);
}

static bool is_told_well(void *arg)
{
    (void)arg;
    return n_well > 0;
}

static bool is_told_ill(void *arg)
{
    (void)arg;
    return n_ill >= 3;
}

static unsigned n_connections;

static bool has_connected(void *arg)
{
    return ((struct check_case *)arg)->imap.connections > n_connections;
}

static void test_shared(void **state)
{
    struct check_case *t = *state;
    struct check_sharing sharing = {.arg = t, .name = "px1", .ask = on_ask, .tell = on_tell};
    struct check_finding found = {
        .by = "px2", .number = 5, .took_us = 1500, .capabilities = "IMAP4rev1 ID"};
    char text[BACKEND_CAPS_MAX], by[BACKEND_BY_MAX];
    n_well = n_ill = 0;
    t->pool->check.interval_ms = 1;
    checks_share(t->checks, &sharing);
    configure(t, NULL, 0);
    wait_for_ask(t);
    /* what another one found counts as one's own */
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, &found);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->check_us, 1500);
    backend_capabilities(t->b1, PROTO_IMAP, text);
    assert_string_equal(text, "IMAP4rev1 ID");
    backend_checked_by(t->b1, by);
    assert_string_equal(by, "px2");
    assert_int_equal(t->imap.connections, 0);
    /* nobody has asked: nothing happens */
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, NULL);
    checks_heard(t->checks, "main", "b1", PROTO_POP3, &found);
    checks_heard(t->checks, "main", "b9", PROTO_IMAP, &found);
    assert_int_equal(t->imap.connections, 0);
    /* an older finding is none, and nobody knows one: it is checked here, and told */
    wait_for_ask(t);
    found.number = 4;
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, &found);
    run_until(t->loop, is_told_well, t);
    backend_checked_by(t->b1, by);
    assert_string_equal(by, "px1");
    assert_int_equal(n_ill, 0);
    /* who finds it ill does not ask again before it is well */
    wait_for_ask(t);
    SERVE(&t->imap, imap_bye);
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, NULL);
    n_asked = 0;
    run_until(t->loop, is_down, t);
    run_until(t->loop, is_told_ill, t);
    assert_int_equal(n_asked, 0);
    SERVE(&t->imap, imap_good);
    run_until(t->loop, is_up, t);
    /* the others are gone while one waits for their answer: each for itself */
    wait_for_ask(t);
    checks_share(t->checks, NULL);
    n_well = 0;
    n_connections = t->imap.connections;
    run_until(t->loop, has_connected, t);
    assert_int_equal(n_well, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK_TEST(test_reload_keeps),
        CHECK_TEST(test_reload_moves),
        CHECK_TEST(test_removed_while_checked),
        CHECK_TEST(test_turned_off),
        CHECK_TEST(test_joined),
        CHECK_TEST(test_shutdown),
        CHECK_TEST(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
