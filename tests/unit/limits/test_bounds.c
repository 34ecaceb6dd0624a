/* SPDX-License-Identifier: ISC */
/* What floods cost, and many workers at once: memory is bounded, no limit is passed. */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/limits/limits_case.h"

/* ---- bounded memory ---- */

static struct addr nth(uint32_t i)
{
    struct addr a = addr("10.0.0.0");
    a.ip[13] = (uint8_t)(i >> 16);
    a.ip[14] = (uint8_t)(i >> 8);
    a.ip[15] = (uint8_t)i;
    return a;
}

/* Was it counted? */
static bool connect_addr(struct fixture *f, const struct addr *a)
{
    struct limit_verdict v;
    limits_connect(&f->limits, &f->config, a, f->now.ms, &v);
    return v.is_counted;
}

/* 100,000 addresses, each with a failed login: the table stays under its cap and keeps the newest.
 */
static void test_flood(void **state)
{
    struct fixture f;
    begin(&f);
    limits_fini(&f.limits);
    limits_init(&f.limits, 1, 1000, f.now.ms);
    f.config.failures_before_ban = 5;
    f.config.login_rate_per_minute = 10;
    size_t most = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        const struct addr a = nth(i);
        assert_true(connect_addr(&f, &a));
        (void)fail_as(&f, &a, NULL, 0, 0);
        limits_disconnect(&f.limits, &f.config, &a, f.now.ms);
        most = limits_count(&f.limits).sources > most ? limits_count(&f.limits).sources : most;
        if (i % 100 == 0)
            advance(&f, 10);
    }
    assert_true(most <= 1001); /* one of them is connected */
    const struct addr oldest = nth(0), newest = nth(99999), first_kept = nth(99000);
    assert_null(source(&f, &oldest));
    assert_int_equal(failures_of(&f, &newest), 1);
    assert_non_null(source(&f, &first_kept));
    advance(&f, 600000);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    assert_int_equal(f.limits.sources[0].n_idle, 0);
    end(&f);
}

static size_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* A million addresses, each of which fails, in less time than any of it is forgotten in: the memory
 * is that of the cap, and is given back when it is over. */
static void test_million(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.failures_before_ban = 5;
    f.config.login_rate_per_minute = 10;
    size_t before = heap_bytes(), most = 0;
    for (uint32_t i = 0; i < 1000000; i++) {
        const struct addr a = nth(i);
        assert_true(connect_addr(&f, &a));
        (void)fail_as(&f, &a, NULL, i, 0);
        limits_disconnect(&f.limits, &f.config, &a, f.now.ms);
        if (i % 10000 == 0 || i == LIMITS_IDLE_MAX + 1)
            most = heap_bytes() - before > most ? heap_bytes() - before : most;
    }
    assert_int_equal(limits_count(&f.limits).sources, LIMITS_IDLE_MAX);
    assert_true(most < LIMITS_IDLE_MAX * (size_t)400);
    advance(&f, 600000);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    assert_true(heap_bytes() <= before + 4096);
    end(&f);
}

/* Of addresses with nothing but a session little is kept: a hundred bytes each. */
static void test_session_is_small(void **state)
{
    struct fixture f;
    begin(&f);
    size_t before = heap_bytes();
    for (uint32_t i = 0; i < 100000; i++) {
        const struct addr a = nth(i);
        (void)connect_addr(&f, &a);
        assert_null(source(&f, &a)->past);
    }
    assert_true(heap_bytes() - before < 100000 * (size_t)100);
    end(&f);
}

/* What an address with sessions did is forgotten in time, too. */
static void test_past_ends(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    f.config.failures_before_ban = 5;
    connect_from(&f, "192.0.2.1");
    (void)fail_from(&f, "192.0.2.1", 1);
    assert_int_equal(failures_of(&f, &a), 1);
    advance(&f, 600000);
    advance(&f, 1000);
    assert_int_equal(failures_of(&f, &a), 0);
    assert_null(source(&f, &a)->past);
    assert_int_equal(source(&f, &a)->sessions, 1);
    disconnect_from(&f, "192.0.2.1");
    assert_null(source(&f, &a));
    end(&f);
}

/* Those with sessions are never forgotten, however many others come by. */
static void test_flood_keeps_sessions(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    limits_fini(&f.limits);
    limits_init(&f.limits, 1, 10, f.now.ms);
    f.config.failures_before_ban = 5;
    f.config.sessions_per_ip = 1;
    connect_from(&f, "192.0.2.1");
    (void)fail_from(&f, "192.0.2.1", 0);
    for (uint32_t i = 0; i < 1000; i++) {
        const struct addr other = nth(i);
        (void)fail_as(&f, &other, NULL, 0, 0);
    }
    assert_int_equal(failures_of(&f, &a), 1);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_ADDRESS_SESSIONS);
    end(&f);
}

/* A flood that gets itself banned stays under the cap of bans, and the operators' ones stay. */
static void test_flood_of_bans(void **state)
{
    struct fixture f;
    begin(&f);
    f.limits.bans.max_automatic = 500;
    f.config.failures_before_ban = 1;
    set_ban(&f, "192.0.2.1", NULL);
    for (uint32_t i = 0; i < 100000; i++) {
        const struct addr a = nth(i);
        assert_non_null(fail_as(&f, &a, NULL, 0, 0).ban);
    }
    assert_int_equal(rules_count(&f.limits.bans), 501);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_BAN);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    end(&f);
}

/* ---- walks ---- */

static void test_walk(void **state)
{
    struct fixture f;
    struct safe_iter w;
    const char *const from[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
    begin(&f);
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        connect_from(&f, from[i]);
    safe_iter_begin(&w, &f.limits.sources[0].walks, &f.limits.sources[0].all);
    const struct list *node = safe_iter_next(&w);
    assert_true(LIST_ITEM(node, struct limit_source, link)->addr.ip[15] == 1);
    disconnect_from(&f, "192.0.2.1"); /* what was seen goes, and what comes next too */
    disconnect_from(&f, "192.0.2.2");
    node = safe_iter_next(&w);
    assert_true(LIST_ITEM(node, struct limit_source, link)->addr.ip[15] == 3);
    assert_null(safe_iter_next(&w));
    safe_iter_end(&w);
    end(&f);
}

/* ---- threads ---- */

#define CROWD_THREADS 4
#define CROWD_ROUNDS 20000

struct crowd {
    struct fixture f;
    atomic_uint clients, users; /* admitted now */
    atomic_uint most_clients, most_users, refused;
    atomic_bool is_over;
};

static void crowd_most(atomic_uint *most, unsigned n)
{
    unsigned seen = atomic_load(most);
    while (n > seen && !atomic_compare_exchange_weak(most, &seen, n))
        ;
}

/* Everybody counts before it gives back: what is counted here is never more than the table has. */
static void *crowd_member(void *arg)
{
    struct crowd *c = arg;
    struct fixture *f = &c->f;
    const struct addr a = addr("192.0.2.1");
    for (unsigned i = 0; i < CROWD_ROUNDS; i++) {
        struct limit_verdict client, user;
        struct limit_failure failure;
        limits_connect(&f->limits, &f->config, &a, f->now.ms, &client);
        if (!client.is_counted) {
            atomic_fetch_add(&c->refused, 1);
            continue;
        }
        crowd_most(&c->most_clients, atomic_fetch_add(&c->clients, 1) + 1);
        limits_login(&f->limits, &f->config, &a, "alice", 0, f->now.ms, &user);
        if (user.is_counted)
            crowd_most(&c->most_users, atomic_fetch_add(&c->users, 1) + 1);
        else
            limits_fail(&f->limits, &f->config, &a, "bob", i, 0, f->now.ms, &failure);
        limits_welcome(&f->limits, &a, "alice");
        if (user.is_counted) {
            atomic_fetch_sub(&c->users, 1);
            limits_logout(&f->limits, "alice");
        }
        atomic_fetch_sub(&c->clients, 1);
        limits_disconnect(&f->limits, &f->config, &a, f->now.ms);
    }
    return NULL;
}

/* The owner's thread meanwhile: rules come and go, lists are walked, what is over goes. */
static void crowd_own(struct crowd *c)
{
    struct fixture *f = &c->f;
    struct limit_target other;
    assert_int_equal(limit_target_parse(STR("198.51.100.1"), &other), 0);
    for (unsigned i = 0; !atomic_load(&c->is_over); i++) {
        set_ban(f, "198.51.100.1", "words");
        set_override(f, "198.51.100.0/24", 7, RULE_KEEP);
        (void)limits_look_user(&f->limits, "alice");
        (void)limits_count(&f->limits);
        limits_expire(&f->limits, &f->config, &f->now);
        rules_remove(&f->limits.bans, rules_find(&f->limits.bans, &other));
    }
}

static void *crowd_run(void *arg)
{
    struct crowd *c = arg;
    pthread_t threads[CROWD_THREADS];
    for (size_t i = 0; i < CROWD_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, c), 0);
    for (size_t i = 0; i < CROWD_THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&c->is_over, true);
    return NULL;
}

/* Workers at a limit at once: never one too many, and nothing is left over. */
static void test_crowd(void **state)
{
    static struct crowd c;
    pthread_t thread;
    begin(&c.f);
    limits_fini(&c.f.limits);
    limits_init(&c.f.limits, LIMITS_STRIPES, LIMITS_IDLE_MAX, c.f.now.ms);
    c.f.config.sessions_per_ip = 3;
    c.f.config.sessions_per_user = 2;
    c.f.config.passwords_before_delay = 5;
    c.f.config.spray_window_ms = 1000;
    assert_int_equal(pthread_create(&thread, NULL, crowd_run, &c), 0);
    crowd_own(&c);
    pthread_join(thread, NULL);
    assert_in_range(atomic_load(&c.most_clients), 1, 3);
    assert_in_range(atomic_load(&c.most_users), 1, 2);
    advance(&c.f, 600000);
    assert_int_equal(limits_count(&c.f.limits).sources, 0);
    assert_int_equal(limits_count(&c.f.limits).users, 0);
    end(&c.f);
}

/* A flood of 10 million addresses fills every stripe to its share, no more. */
static void test_stripes_share(void **state)
{
    struct fixture f;
    begin(&f);
    limits_fini(&f.limits);
    limits_init(&f.limits, LIMITS_STRIPES, 1600, f.now.ms);
    f.config.failures_before_ban = 5;
    for (uint32_t i = 0; i < 100000; i++) {
        const struct addr a = nth(i);
        (void)fail_as(&f, &a, NULL, i, 0);
    }
    assert_int_equal(limits_count(&f.limits).sources, 1600);
    for (size_t i = 0; i < LIMITS_STRIPES; i++)
        assert_int_equal(f.limits.sources[i].n_idle, 100);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flood),         cmocka_unit_test(test_flood_keeps_sessions),
        cmocka_unit_test(test_million),       cmocka_unit_test(test_session_is_small),
        cmocka_unit_test(test_past_ends),     cmocka_unit_test(test_flood_of_bans),
        cmocka_unit_test(test_walk),          cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_stripes_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
