/* SPDX-License-Identifier: ISC */
/* Limits over several nodes: who is told of, what others have counts, and nothing of it stays. */
#include "base/buf.h"
#include "limits/limit_elsewhere.h"
#include "tests/unit/limits/limits_case.h"

struct parts {
    struct limit_part v[8];
    size_t n;
};

static void on_part(void *arg, const struct limit_part *p)
{
    struct parts *parts = arg;
    if (parts->n < ARRAY_LEN(parts->v))
        parts->v[parts->n] = *p;
    parts->n++;
}

static struct parts near_of(struct fixture *f)
{
    struct parts parts = {.n = 0};
    for (size_t i = 0; i < LIMITS_NEAR_STRIPES(&f->limits); i++)
        limits_near_each(&f->limits, &f->config, i, f->now.ms, on_part, &parts);
    return parts;
}

static void start(struct fixture *f)
{
    begin(f);
    f->config.sessions_per_ip = f->config.sessions_per_user = 12;
    f->config.failures_before_ban = 9;
    limits_set_nodes(&f->limits, 3, true);
}

/* All that others have of one address or user. */
static void others_have(struct fixture *f, struct limit_others *o, enum limit_share_kind kind,
                        const char *name, uint32_t sessions, uint32_t failures)
{
    struct limit_part p = {.kind = kind, .sessions = sessions, .failures = failures};
    (void)str_copy(p.name, sizeof(p.name), str_of(name));
    limit_others_begin(o);
    assert_int_equal(limit_others_add(o, &p), 0);
    limit_others_end(o, &f->limits, &f->config, f->now.ms);
}

static void others_have_nothing(struct fixture *f, struct limit_others *o)
{
    limit_others_begin(o);
    limit_others_end(o, &f->limits, &f->config, f->now.ms);
}

static void test_who_is_near(void **state)
{
    struct fixture f;
    start(&f);
    connect_from(&f, "192.0.2.1");
    (void)fail_from(&f, "192.0.2.1", 0);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    assert_int_equal(near_of(&f).n, 0); /* one session and one failure are harmless */
    connect_from(&f, "192.0.2.1");
    struct parts parts = near_of(&f);
    assert_int_equal(parts.n, 1);
    assert_string_equal(parts.v[0].name, "192.0.2.1");
    assert_int_equal(parts.v[0].kind, LIMIT_SHARE_ADDRESS);
    assert_int_equal(parts.v[0].sessions, 2);
    assert_int_equal(parts.v[0].failures, 1);
    assert_int_equal(parts.v[0].weight, 166);
    (void)fail_from(&f, "2001:db8:0:1::5", 0);
    (void)fail_from(&f, "2001:db8:0:1::6", 0);
    assert_int_equal(login(&f, "192.0.2.2", "alice", 0), LIMIT_NONE);
    parts = near_of(&f);
    assert_int_equal(parts.n, 3);
    assert_string_equal(parts.v[1].name, "2001:db8:0:1::");
    assert_int_equal(parts.v[1].failures, 2);
    assert_string_equal(parts.v[2].name, "alice");
    assert_int_equal(parts.v[2].sessions, 2);
    /* and is no more */
    disconnect_from(&f, "192.0.2.1");
    limits_logout(&f.limits, "alice");
    advance(&f, 600000);
    assert_int_equal(near_of(&f).n, 0);
    disconnect_from(&f, "192.0.2.1");
    limits_logout(&f.limits, "alice");
    assert_int_equal(limits_count(&f.limits).sources, 0);
    assert_int_equal(limits_count(&f.limits).users, 0);
    end(&f);
}

/* Without limits, in trusted networks, and where there is one node only nobody is told of. */
static void test_who_never_is(void **state)
{
    struct fixture f;
    struct addr_net net;
    start(&f);
    assert_int_equal(addr_net_parse(STR("192.0.2.0/24"), &net), 0);
    f.config.trusted = (struct config_nets){.v = &net, .n = 1};
    for (int i = 0; i < 20; i++) {
        connect_from(&f, "192.0.2.1");
        (void)fail_from(&f, "192.0.2.1", 0);
    }
    assert_int_equal(near_of(&f).n, 0);
    f.config.sessions_per_ip = 0;
    for (int i = 0; i < 20; i++)
        connect_from(&f, "198.51.100.1");
    assert_int_equal(near_of(&f).n, 0);
    f.config.sessions_per_ip = 12;
    limits_set_nodes(&f.limits, 1, true);
    for (int i = 0; i < 11; i++)
        connect_from(&f, "198.51.100.2");
    assert_int_equal(near_of(&f).n, 0);
    /* users only where they are counted nowhere else */
    limits_set_nodes(&f.limits, 3, false);
    for (int i = 0; i < 11; i++)
        (void)login(&f, "192.0.2.1", "alice", 0);
    assert_int_equal(near_of(&f).n, 0);
    end(&f);
}

static void test_sessions_of_others_count(void **state)
{
    struct fixture f;
    struct limit_others o = {0};
    start(&f);
    others_have(&f, &o, LIMIT_SHARE_ADDRESS, "192.0.2.1", 11, 0);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_ADDRESS_SESSIONS);
    assert_int_equal(connect_from(&f, "192.0.2.2"), LIMIT_NONE);
    const struct addr a = addr("192.0.2.1");
    struct limit_source_facts facts = limits_look_source(&f.limits, &f.config, &a, f.now.ms);
    assert_int_equal(facts.sessions, 1);
    assert_int_equal(facts.sessions_elsewhere, 11);
    /* what is common is told, be it a single one */
    assert_int_equal(near_of(&f).n, 1);
    others_have(&f, &o, LIMIT_SHARE_USER, "alice", 12, 0);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE); /* the others had them no more */
    assert_int_equal(login(&f, "192.0.2.2", "alice", 0), LIMIT_USER_SESSIONS);
    assert_int_equal(login(&f, "192.0.2.2", "alice", 20), LIMIT_NONE); /* by its entry */
    assert_int_equal(limits_look_user(&f.limits, "alice").sessions_elsewhere, 12);
    others_have_nothing(&f, &o);
    assert_int_equal(login(&f, "192.0.2.2", "alice", 0), LIMIT_NONE);
    limit_others_fini(&o, &f.limits, &f.config, f.now.ms);
    end(&f);
}

static void test_failures_of_others_count(void **state)
{
    struct fixture f;
    struct limit_others o = {0};
    start(&f);
    f.config.failures_before_delay = 7;
    others_have(&f, &o, LIMIT_SHARE_ADDRESS, "192.0.2.1", 0, 6);
    assert_int_equal(fail_from(&f, "192.0.2.1", 0).delay_ms, 2000);
    assert_int_equal(fail_from(&f, "192.0.2.1", 0).delay_ms, 4000);
    struct failed third = fail_from(&f, "192.0.2.1", 0);
    assert_true(third.is_new_ban);
    assert_null(fail_from(&f, "192.0.2.2", 0).ban);
    limit_others_fini(&o, &f.limits, &f.config, f.now.ms);
    end(&f);
}

/* What others had is forgotten, with the entries that were there for it alone. */
static void test_nothing_stays(void **state)
{
    struct fixture f;
    struct limit_others o = {0};
    start(&f);
    for (int i = 0; i < 100; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "192.0.2.%d", i);
        others_have(&f, &o, LIMIT_SHARE_ADDRESS, name, 5, 5);
        others_have(&f, &o, LIMIT_SHARE_USER, name, 5, 0);
        (void)near_of(&f);
    }
    others_have_nothing(&f, &o);
    (void)near_of(&f);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    assert_int_equal(limits_count(&f.limits).users, 0);
    assert_int_equal(o.known.count, 0);
    /* one that is known for its failures stays while they count */
    others_have(&f, &o, LIMIT_SHARE_ADDRESS, "192.0.2.1", 5, 0);
    (void)fail_from(&f, "192.0.2.1", 0);
    others_have_nothing(&f, &o);
    (void)near_of(&f);
    assert_int_equal(limits_count(&f.limits).sources, 1);
    advance(&f, 600000);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    limit_others_fini(&o, &f.limits, &f.config, f.now.ms);
    end(&f);
}

/* Pasts of many other addresses do not push out what others have. */
static void test_bounds(void **state)
{
    struct fixture f = {.now = {.ms = 5000000, .wall_ms = 1700000000000},
                        .config = {.failure_window_ms = 600000, .failures_before_ban = 9}};
    struct limit_others o = {0};
    char name[32];
    limits_init(&f.limits, 1, 4, f.now.ms);
    limits_set_nodes(&f.limits, 3, true);
    others_have(&f, &o, LIMIT_SHARE_ADDRESS, "203.0.113.1", 0, 8);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof(name), "192.0.2.%d", i);
        (void)fail_from(&f, i % 2 ? "203.0.113.1" : name, 0);
    }
    assert_true(limits_count(&f.limits).sources <= 6);
    const struct addr a = addr("203.0.113.1");
    assert_int_equal(limits_look_source(&f.limits, &f.config, &a, f.now.ms).failures_elsewhere, 8);
    /* more than a stripe notes are not told of, and forgotten all the same */
    f.config.sessions_per_ip = 12;
    for (int i = 0; i < LIMIT_NEAR_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "10.0.%d.%d", i / 250, i % 250);
        connect_from(&f, name);
        connect_from(&f, name);
    }
    assert_int_equal(near_of(&f).n, LIMIT_NEAR_MAX - 1); /* one is that of the others */
    for (int i = 0; i < LIMIT_NEAR_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "10.0.%d.%d", i / 250, i % 250);
        disconnect_from(&f, name);
        disconnect_from(&f, name);
    }
    (void)near_of(&f);
    assert_true(limits_count(&f.limits).sources <= 6);
    limit_others_fini(&o, &f.limits, &f.config, f.now.ms);
    end(&f);
}

/* What was near before there were other nodes, or by a new limit, is found. */
static void test_scan(void **state)
{
    struct fixture f;
    struct limit_scan scan = {0};
    char name[32];
    start(&f);
    limits_set_nodes(&f.limits, 0, false);
    for (int i = 0; i < 2500; i++) {
        (void)snprintf(name, sizeof(name), "10.0.%d.%d", i / 250, i % 250);
        connect_from(&f, name);
    }
    for (int i = 0; i < 3; i++) {
        connect_from(&f, "10.0.9.249");
        (void)login(&f, "192.0.2.1", "alice", 0);
    }
    assert_int_equal(near_of(&f).n, 0);
    limits_set_nodes(&f.limits, 3, true);
    unsigned steps = 1;
    while (!limit_scan_step(&scan, &f.limits, &f.config, f.now.ms))
        steps++;
    assert_true(steps >= 3 && steps <= 5);
    assert_int_equal(near_of(&f).n, 2);
    /* in the middle of it everything may go */
    (void)limit_scan_step(&scan, &f.limits, &f.config, f.now.ms);
    for (int i = 0; i < 2500; i++) {
        (void)snprintf(name, sizeof(name), "10.0.%d.%d", i / 250, i % 250);
        disconnect_from(&f, name);
    }
    limit_scan_fini(&scan, &f.limits);
    limit_scan_fini(&scan, &f.limits);
    end(&f);
}

/* What one node tells is what the other hears: as if it went over the wire. */
static void tell(struct fixture *from, struct fixture *to, struct limit_others *o)
{
    struct parts parts = near_of(from);
    AUTO_BUF b = BUF_INIT;
    assert_true(parts.n <= ARRAY_LEN(parts.v));
    for (size_t i = 0; i < parts.n; i++)
        assert_int_equal(limit_part_put(&b, &parts.v[i]), 0);
    struct str rest = buf_str(&b);
    limit_others_begin(o);
    for (size_t i = 0; i < parts.n; i++) {
        struct limit_part p;
        assert_int_equal(limit_part_take(&rest, &p), 0);
        assert_int_equal(limit_others_add(o, &p), 0);
    }
    assert_int_equal(rest.n, 0);
    limit_others_end(o, &to->limits, &to->config, to->now.ms);
}

static const uint8_t share_key[16] = "one key of all..";

static void start_spray(struct fixture *f)
{
    begin(f);
    f->config.failures_before_ban = 0;
    f->config.users_before_ban = 9;
    f->config.passwords_before_delay = 8;
    f->config.spray_window_ms = 3600000;
    limits_set_nodes(&f->limits, 3, true);
    limits_set_share_key(&f->limits, share_key);
}

static struct failed spray(struct fixture *f, unsigned from, unsigned n)
{
    const struct addr a = addr("192.0.2.1");
    struct failed r = {0};
    for (unsigned i = from; i < from + n; i++) {
        char user[16];
        snprintf(user, sizeof(user), "u%u", i);
        r = fail_as(f, &a, user, i + 1, 0);
    }
    return r;
}

/* Users that failed from an address are counted over all nodes, each of them once. */
static void test_spraying(void **state)
{
    struct fixture one, two;
    struct limit_others of_one = {0}, of_two = {0};
    const struct addr a = addr("192.0.2.1");
    start_spray(&one);
    start_spray(&two);
    (void)spray(&one, 0, 1);
    assert_int_equal(near_of(&one).n, 0); /* a single one is nobody's business */
    (void)spray(&one, 1, 4);
    tell(&one, &two, &of_one);
    assert_int_equal(limits_look_source(&two.limits, &two.config, &a, two.now.ms).users, 5);
    assert_null(spray(&two, 0, 5).ban); /* the same ones: an office behind a balancer */
    assert_int_equal(limits_look_source(&two.limits, &two.config, &a, two.now.ms).users, 5);
    assert_null(spray(&two, 5, 3).ban);
    tell(&two, &one, &of_two);
    struct failed last = spray(&one, 8, 1);
    assert_true(last.is_spraying && last.is_new_ban);
    /* of another address nothing follows, and all is over with its window */
    const struct addr b = addr("192.0.2.2");
    assert_null(fail_as(&one, &b, "u1", 1, 0).ban);
    advance(&one, 3600000);
    advance(&two, 3600000);
    tell(&one, &two, &of_one);
    tell(&two, &one, &of_two);
    assert_int_equal(limits_look_source(&two.limits, &two.config, &a, two.now.ms).users, 0);
    limit_others_fini(&of_one, &two.limits, &two.config, two.now.ms);
    limit_others_fini(&of_two, &one.limits, &one.config, one.now.ms);
    end(&one);
    end(&two);
}

/* Many people of one address log in at one node, and some fail at another: no spraying. */
static void test_who_logged_in_elsewhere(void **state)
{
    struct fixture one, two;
    struct limit_others of_one = {0};
    const struct addr a = addr("192.0.2.1");
    start_spray(&one);
    start_spray(&two);
    (void)spray(&one, 0, 2);
    for (unsigned i = 100; i < 130; i++) {
        char user[16];
        snprintf(user, sizeof(user), "u%u", i);
        limits_welcome(&one.limits, &a, user);
    }
    tell(&one, &two, &of_one);
    assert_null(spray(&two, 0, 12).ban);
    limit_others_fini(&of_one, &two.limits, &two.config, two.now.ms);
    end(&one);
    end(&two);
}

/* Wrong passwords of a user, each once, wherever it was tried. */
static void test_guesses(void **state)
{
    struct fixture one, two;
    struct limit_others of_one = {0};
    const struct addr a = addr("192.0.2.1"), b = addr("198.51.100.1");
    start_spray(&one);
    start_spray(&two);
    one.config.users_before_ban = two.config.users_before_ban = 0;
    for (uint32_t i = 1; i <= 6; i++)
        assert_int_equal(fail_as(&one, &a, "alice", i * 7919, 1000).delay_ms, 1000);
    tell(&one, &two, &of_one);
    assert_int_equal(limits_look_user(&two.limits, "alice").n_passwords, 6);
    assert_false(fail_as(&two, &b, "alice", 7919, 1000).is_guessed_at); /* known */
    assert_int_equal(limits_look_user(&two.limits, "alice").n_passwords, 6);
    assert_int_equal(limits_look_user(&two.limits, "alice").n_addresses, 2);
    assert_int_equal(fail_as(&two, &b, "alice", 1000003, 1000).delay_ms, 1000);
    assert_false(fail_as(&two, &b, "alice", 1000033, 1000).is_guessed_at);
    struct failed ninth = fail_as(&two, &b, "alice", 1000037, 1000);
    assert_true(ninth.is_guessed_at && ninth.delay_ms == 2000);
    assert_int_equal(fail_as(&two, &b, "bob", 1000037, 1000).delay_ms, 1000);
    /* forgotten here; what the other node has counts until its window is over */
    struct limit_target s;
    assert_int_equal(limit_target_parse(STR("user:alice"), &s), 0);
    assert_true(limits_forget(&two.limits, &two.config, &s, two.now.ms));
    assert_int_equal(limits_look_user(&two.limits, "alice").n_passwords, 6);
    advance(&two, 3600000);
    assert_int_equal(limits_look_user(&two.limits, "alice").n_passwords, 6);
    advance(&one, 3600000);
    tell(&one, &two, &of_one);
    assert_int_equal(limits_count(&two.limits).guesses, 0);
    assert_int_equal(two.limits.guesses.n_near, 0);
    limit_others_fini(&of_one, &two.limits, &two.config, two.now.ms);
    end(&one);
    end(&two);
}

static void test_bytes(void **state)
{
    const struct limit_part part = {.kind = LIMIT_SHARE_USER,
                                    .name = "alice@example.org",
                                    .sessions = 0x01020304,
                                    .failures = 7};
    struct limit_part back, longest = {.kind = LIMIT_SHARE_ADDRESS};
    AUTO_BUF b = BUF_INIT;
    memset(longest.name, 'x', sizeof(longest.name) - 1);
    assert_int_equal(limit_part_put(&b, &part), 0);
    assert_int_equal(limit_part_put(&b, &longest), 0);
    struct str rest = buf_str(&b);
    assert_int_equal(limit_part_take(&rest, &back), 0);
    assert_string_equal(back.name, part.name);
    assert_int_equal(back.sessions, part.sessions);
    assert_int_equal(back.failures, 7);
    assert_int_equal(limit_part_take(&rest, &back), 0);
    assert_string_equal(back.name, longest.name);
    assert_int_equal(rest.n, 0);
    for (size_t n = 0; n < 2 + strlen(part.name) + 9; n++) {
        rest = str_n(buf_str(&b).p, n);
        assert_int_equal(limit_part_take(&rest, &back), -ERR_PROTOCOL);
    }
    static const struct str bad[] = {STR("x\003abc\0\0\0\0\0\0\0\0"), STR("u\0abc\0\0\0\0\0\0\0\0"),
                                     STR("u\003a\0c\0\0\0\0\0\0\0\0")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        rest = bad[i];
        assert_int_equal(limit_part_take(&rest, &back), -ERR_PROTOCOL);
    }
    /* no address */
    struct limit_others o = {0};
    struct limit_part wrong = {.kind = LIMIT_SHARE_ADDRESS, .name = "no address", .sessions = 5};
    assert_int_equal(limit_others_add(&o, &wrong), -ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_near),
        cmocka_unit_test(test_who_never_is),
        cmocka_unit_test(test_sessions_of_others_count),
        cmocka_unit_test(test_failures_of_others_count),
        cmocka_unit_test(test_nothing_stays),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_spraying),
        cmocka_unit_test(test_who_logged_in_elsewhere),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
