/* SPDX-License-Identifier: ISC */
/* Health checks: rise and fall, protocols on their own, what is checked and when. */
#include <sys/resource.h>

#include "base/clock.h"
#include "check_case.h"

/* ---- findings ---- */

static void test_first_good(void **state)
{
    struct check_case *t = *state;
    char caps[BACKEND_CAPS_MAX];
    uint64_t before = clock_wall_ms();
    configure(t, NULL, 0);
    assert_true(t->b1->is_checked);
    run_until(t->loop, is_known, t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->changes, 1);
    assert_int_equal(t->b1->up_since_ms, 0);
    assert_true(t->b1->last_check_ms >= before);
    assert_true(t->b1->check_us > 0);
    backend_capabilities(t->b1, PROTO_IMAP, caps);
    assert_string_equal(caps, "IMAP4rev1 IDLE");
    expect_reason(t, "");
    assert_int_equal(t->pop3.connections, 0); /* nobody speaks it here */
}

static void test_first_bad(void **state)
{
    struct check_case *t = *state;
    SERVE(&t->imap, imap_bye);
    configure_and_wait(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->changes, 1);
    assert_int_equal(t->imap.connections, 1);
    expect_reason(t, "imap: greeting: overloaded");
}

static void test_fall_and_rise(void **state)
{
    struct check_case *t = *state;
    configure_and_check(t);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(check(t), BACK_FAIL_BYE);
        assert_string_equal(t->text, "imap: greeting: overloaded");
        assert_int_equal(t->b1->health, BACKEND_UP);
    }
    SERVE(&t->imap, imap_good); /* one good check begins the row anew */
    assert_int_equal(check(t), BACK_FAIL_NONE);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 1; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->changes, 2);
    SERVE(&t->imap, imap_good);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_true(t->b1->up_since_ms > 0);
    assert_int_equal(t->changes, 3);
    expect_reason(t, "");
}

/* A check without a descriptor finds nothing: neither the first one nor later ones, which break no
 * row either. */
static void test_shortage(void **state)
{
    struct check_case *t = *state;
    struct rlimit all, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = all.rlim_max};
    configure(t, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(check(t), BACK_FAIL_SHORTAGE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(t->b1->health, BACKEND_UNKNOWN);
    assert_int_equal(t->b1->down_protocols, 0);
    assert_non_null(strstr(t->text, "this machine lacks"));
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, imap_bye);
    (void)check(t);
    (void)check(t);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(check(t), BACK_FAIL_SHORTAGE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
}

/* One dead protocol leaves the others to the users. */
static void test_protocols(void **state)
{
    struct check_case *t = *state;
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    configure_and_check(t);
    assert_int_equal(t->b1->down_protocols, 0);
    SERVE(&t->pop3, hang_up);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check(t), BACK_FAIL_CLOSED);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_POP3);
    expect_reason(t, "pop3: greeting: the server closed the connection");
    assert_non_null(strstr(t->text, "imap: ok"));
    assert_non_null(strstr(t->text, "pop3: greeting: the server closed the connection"));
    assert_int_equal(t->changes, 2);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 0; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    SERVE(&t->pop3, pop3_good);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_IMAP);
}

/* Logins on other threads may find it down first: that is told, and good checks must follow. */
static bool has_fallen(void *arg)
{
    return ((struct check_case *)arg)->changes == 2;
}

static void test_logins_find_it_down(void **state)
{
    struct check_case *t = *state;
    configure_and_check(t);
    for (unsigned i = 0; i < 3; i++)
        (void)backend_note_login(t->b1, &(struct backend_login){.failure = BACK_FAIL_TIMEOUT,
                                                                .fall = 3,
                                                                .now_ms = loop_now_ms(t->loop),
                                                                .wall_ms = 1,
                                                                .message = "slow"});
    assert_int_equal(t->changes, 1);
    run_until(t->loop, has_fallen, t);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

/* ---- by the clock ---- */

static void test_interval(void **state)
{
    struct check_case *t = *state;
    t->pool->check.interval_ms = 1;
    configure_and_wait(t);
    unsigned before = t->imap.connections;
    SERVE(&t->imap, imap_bye);
    run_until(t->loop, is_down, t);
    assert_true(t->imap.connections >= before + 3);
    before = t->imap.connections;
    SERVE(&t->imap, imap_good);
    run_until(t->loop, is_up, t);
    assert_true(t->imap.connections >= before + 2);
}

static void test_timeout(void **state)
{
    struct check_case *t = *state;
    serve(&t->imap, NULL, 0);
    t->pool->check.timeout_ms = 50;
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    expect_reason(t, "imap: greeting: timed out");
}

static bool has_checked_again(void *arg)
{
    return ((struct check_case *)arg)->imap.connections >= 3;
}

static unsigned looks;

static bool has_looked_long(void *arg)
{
    (void)arg;
    return ++looks > 700; /* of 2 ms at least */
}

/* What an operator took out is left alone until it is taken back in; by hand it can be checked. */
static void test_disabled(void **state)
{
    struct check_case *t = *state;
    configure_and_check(t);
    t->pool->check.interval_ms = 1;
    backend_set_admin(t->b1, BACKEND_DISABLED, 1, NULL);
    configure(t, NULL, 0);
    looks = 0;
    run_until(t->loop, has_looked_long, t);
    assert_int_equal(t->imap.connections, 1);
    SERVE(&t->imap, imap_bye);
    assert_int_equal(check(t), BACK_FAIL_BYE);
    assert_int_equal(t->imap.connections, 2);
    backend_set_admin(t->b1, BACKEND_READY, 1, NULL);
    run_until(t->loop, has_checked_again, t);
    backend_set_admin(t->b1, BACKEND_DRAIN, 1, NULL); /* a drained one is still checked */
    run_until(t->loop, is_down, t);
}

static void test_off(void **state)
{
    struct check_case *t = *state;
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    looks = 0;
    run_until(t->loop, has_looked_long, t);
    assert_int_equal(t->imap.connections, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(check(t), BACK_FAIL_NONE); /* by hand one finding is enough */
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, imap_bye);
    assert_int_equal(check(t), BACK_FAIL_BYE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->b1->down_protocols, 0);
    SERVE(&t->imap, imap_good);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

/* ---- which protocols ---- */

/* Listeners and routes as "name proto [pool]" and "listener proto domain pool", '-' = any; which of
 * the two servers then hear from a check of a backend in pool "main" and in pool "other". */
static void test_used_protocols(void **state)
{
    static const struct {
        struct config_listener listeners[3];
        size_t n_listeners;
        struct config_route routes[3];
        size_t n_routes;
        const char *main_pool, *other;
    } rows[] = {
        {{{.name = "i", .proto = &proto_imap}}, 1, {{0}}, 0, "i", "i"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{0}},
         0,
         "ip",
         "ip"},
        {{{.name = "i", .proto = &proto_imap},
          {.name = "p", .proto = &proto_pop3, .pool = "other"}},
         2,
         {{0}},
         0,
         "i",
         "p"},
        /* a route that takes all of a listener leaves nothing for the default */
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.listener = "p", .pool = "other"}},
         1,
         "i",
         "p"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.proto = &proto_pop3, .pool = "other"}},
         1,
         "i",
         "p"},
        /* a route for some of the users does */
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.domain = "a.test", .listener = "p", .pool = "other"}},
         1,
         "ip",
         "p"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.listener = "p", .pool = "main"}, {.user = "x*", .pool = "other"}},
         2,
         "ip",
         "i"},
    };
    struct check_case *t = *state;
    struct config_pool *other = pools_case_add(&t->c, "other", BALANCE_USER);
    struct config_backend *b = pools_case_member(other, "o1", "127.0.0.1", 100);
    memcpy(b->ports, t->pool->backends[0].ports, sizeof(b->ports));
    t->pool->check.is_on = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int is_other = 0; is_other < 2; is_other++) {
            t->c.config.listeners = (struct config_listener *)rows[i].listeners;
            t->c.config.n_listeners = rows[i].n_listeners;
            t->c.config.routes = (struct config_route *)rows[i].routes;
            t->c.config.n_routes = rows[i].n_routes;
            configure(t, NULL, 0);
            t->imap.connections = t->pop3.connections = 0;
            t->is_answered = false;
            assert_int_equal(check_now(t->checks, NULL, is_other ? "o1" : "b1", on_result, t), 0);
            run_until(t->loop, is_answered, t);
            const char *want = is_other ? rows[i].other : rows[i].main_pool;
            if (t->imap.connections != (strchr(want, 'i') != NULL) ||
                t->pop3.connections != (strchr(want, 'p') != NULL))
                fail_msg("row %zu: want %s, got %u imap %u pop3", i, want, t->imap.connections,
                         t->pop3.connections);
        }
}

static void test_no_listener(void **state)
{
    struct check_case *t = *state;
    t->c.config.n_listeners = 0;
    configure(t, NULL, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), -ERR_UNSUPPORTED);
    assert_int_equal(check_now(t->checks, NULL, "b2", on_result, t), -ERR_NO_BACKEND);
    assert_int_equal(check_now(t->checks, "other", "b1", on_result, t), -ERR_NO_BACKEND);
    assert_false(t->is_answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK_TEST(test_first_good),     CHECK_TEST(test_first_bad),
        CHECK_TEST(test_fall_and_rise),  CHECK_TEST(test_shortage),
        CHECK_TEST(test_protocols),      CHECK_TEST(test_logins_find_it_down),
        CHECK_TEST(test_interval),       CHECK_TEST(test_timeout),
        CHECK_TEST(test_disabled),       CHECK_TEST(test_off),
        CHECK_TEST(test_used_protocols), CHECK_TEST(test_no_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
