/* SPDX-License-Identifier: ISC */
/* Sessions of two engines count as one: told, changed, taken back, and never more than there are.
 */
#include "limits/limit_share.h"
#include "tests/unit/limits/limits_case.h"

/* The engine that finishes, and the one that serves. */
struct pair {
    struct fixture old, new;
    struct limit_telling telling;
    struct limit_heard heard;
    size_t n_told;
};

static void pair_begin(struct pair *p, size_t n_stripes)
{
    *p = (struct pair){0};
    begin(&p->old);
    begin(&p->new);
    limits_fini(&p->old.limits);
    limits_init(&p->old.limits, n_stripes, LIMITS_IDLE_MAX, p->old.now.ms);
}

static void pair_end(struct pair *p)
{
    limit_telling_fini(&p->telling);
    limit_heard_fini(&p->heard, &p->new.limits, &p->new.config, p->new.now.ms);
    end(&p->old);
    end(&p->new);
}

static void on_changed(void *arg, enum limit_share_kind kind, const char *name, uint32_t sessions)
{
    struct pair *p = arg;
    p->n_told++;
    assert_int_equal(limit_heard_take(&p->heard, &p->new.limits, &p->new.config, kind, name,
                                      sessions, p->new.now.ms),
                     0);
}

/* How many changes were told. */
static size_t tell(struct pair *p)
{
    p->n_told = 0;
    assert_int_equal(limit_telling_step(&p->telling, &p->old.limits, on_changed, p), 0);
    return p->n_told;
}

static uint32_t of_user(struct pair *p, const char *user)
{
    return limits_look_user(&p->new.limits, user).sessions;
}

static uint32_t of_address(struct pair *p, const char *text)
{
    const struct addr a = addr(text);
    return limits_look_source(&p->new.limits, &p->new.config, &a, p->new.now.ms).sessions;
}

static enum limit_kind log_in(struct fixture *f, const char *from, const char *user)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_login(&f->limits, &f->config, &a, user, 0, f->now.ms, &v);
    return v.kind;
}

static void test_counts_of_both(void **state)
{
    struct pair p;
    pair_begin(&p, LIMITS_STRIPES);
    p.new.config.sessions_per_user = 3;
    p.new.config.sessions_per_ip = 3;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(connect_from(&p.old, "192.0.2.1"), LIMIT_NONE);
        assert_int_equal(log_in(&p.old, "192.0.2.1", "anna"), LIMIT_NONE);
    }
    assert_int_equal(connect_from(&p.old, "2001:db8::1"), LIMIT_NONE);
    assert_int_equal(log_in(&p.old, "2001:db8::1", "bob"), LIMIT_NONE);
    assert_int_equal(tell(&p), 4);
    assert_int_equal(tell(&p), 0); /* nothing is new */
    assert_int_equal(of_user(&p, "anna"), 2);
    assert_int_equal(of_address(&p, "192.0.2.1"), 2);
    assert_int_equal(of_address(&p, "2001:db8::2"), 1); /* of the same /64 */
    /* One more is let in by the engine that serves, and no other. */
    assert_int_equal(connect_from(&p.new, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(log_in(&p.new, "192.0.2.1", "anna"), LIMIT_NONE);
    assert_int_equal(connect_from(&p.new, "192.0.2.1"), LIMIT_ADDRESS_SESSIONS);
    assert_int_equal(log_in(&p.new, "192.0.2.9", "anna"), LIMIT_USER_SESSIONS);
    /* One ends there. */
    limits_logout(&p.old.limits, "anna");
    disconnect_from(&p.old, "192.0.2.1");
    assert_int_equal(tell(&p), 2);
    assert_int_equal(of_user(&p, "anna"), 2);
    assert_int_equal(log_in(&p.new, "192.0.2.9", "anna"), LIMIT_NONE);
    /* The last ones end. */
    limits_logout(&p.old.limits, "anna");
    limits_logout(&p.old.limits, "bob");
    disconnect_from(&p.old, "192.0.2.1");
    disconnect_from(&p.old, "2001:db8::1");
    assert_int_equal(tell(&p), 4);
    assert_int_equal(of_user(&p, "anna"), 2); /* its own */
    assert_int_equal(of_user(&p, "bob"), 0);
    assert_int_equal(of_address(&p, "192.0.2.1"), 1);
    assert_int_equal(p.telling.known.count, 0);
    assert_int_equal(p.heard.known.count, 0);
    pair_end(&p);
}

/* An engine that is gone takes its sessions along, and leaves the own ones. */
static void test_engine_gone(void **state)
{
    struct pair p;
    pair_begin(&p, 1);
    assert_int_equal(connect_from(&p.old, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(log_in(&p.old, "192.0.2.1", "anna"), LIMIT_NONE);
    assert_int_equal(log_in(&p.new, "192.0.2.1", "anna"), LIMIT_NONE);
    assert_int_equal(tell(&p), 2);
    assert_int_equal(of_user(&p, "anna"), 2);
    limit_heard_fini(&p.heard, &p.new.limits, &p.new.config, p.new.now.ms);
    assert_int_equal(of_user(&p, "anna"), 1);
    assert_int_equal(of_address(&p, "192.0.2.1"), 0);
    assert_int_equal(limits_count(&p.new.limits).sources, 0);
    pair_end(&p);
}

/* Many are told in steps, a stripe at least; a turn has an end. */
static void test_steps(void **state)
{
    struct pair p;
    char name[32];
    size_t n, told = 0, steps = 0;
    enum { USERS = 40000 };
    pair_begin(&p, LIMITS_STRIPES);
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(name, sizeof(name), "user%d", i);
        assert_int_equal(log_in(&p.old, "192.0.2.1", name), LIMIT_NONE);
    }
    do {
        n = tell(&p);
        assert_true(n < LIMIT_SHARE_STEP + 2 * USERS / LIMITS_STRIPES);
        told += n;
        steps++;
    } while (p.telling.round == 0);
    assert_int_equal(told, USERS);
    assert_true(steps > 5);
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(name, sizeof(name), "user%d", i);
        limits_logout(&p.old.limits, name);
    }
    while (p.telling.known.count > 0)
        (void)tell(&p);
    assert_int_equal(p.heard.known.count, 0);
    assert_int_equal(limits_count(&p.new.limits).users, 0);
    pair_end(&p);
}

/* What comes over the wire is not trusted. */
static void test_nonsense(void **state)
{
    struct pair p;
    char longer[300];
    pair_begin(&p, 1);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    static const struct {
        char kind;
        const char *name;
    } bad[] = {{'a', "anna"}, {'a', ""}, {'u', ""}, {'x', "anna"}, {'\0', "anna"}, {'a', "::g"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(limit_heard_take(&p.heard, &p.new.limits, &p.new.config,
                                          (enum limit_share_kind)bad[i].kind, bad[i].name, 7,
                                          p.new.now.ms),
                         -ERR_PROTOCOL);
    assert_int_equal(limit_heard_take(&p.heard, &p.new.limits, &p.new.config, LIMIT_SHARE_USER,
                                      longer, 7, p.new.now.ms),
                     -ERR_PROTOCOL);
    assert_int_equal(limit_heard_take(&p.heard, &p.new.limits, &p.new.config, LIMIT_SHARE_USER,
                                      "nobody", 0, p.new.now.ms),
                     0);
    assert_int_equal(p.heard.known.count, 0);
    assert_int_equal(limits_count(&p.new.limits).users, 0);
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_of_both),
        cmocka_unit_test(test_engine_gone),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
