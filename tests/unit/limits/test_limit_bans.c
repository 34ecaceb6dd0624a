/* SPDX-License-Identifier: ISC */
/* Bans for failures of other nodes: which are taken over, and which are lifted. */
#include "tests/unit/limits/limits_case.h"

static struct limit_ban ban_of(const struct fixture *f, const char *subject, uint64_t for_ms)
{
    struct limit_ban b = {.node = "px2",
                          .created_ms = f->now.wall_ms,
                          .until_ms = for_ms ? f->now.wall_ms + for_ms : 0};
    assert_int_equal(limit_target_parse(str_of(subject), &b.subject), 0);
    return b;
}

static int take(struct fixture *f, const char *subject, uint64_t for_ms)
{
    struct rule *r;
    const struct limit_ban b = ban_of(f, subject, for_ms);
    return limits_take_ban(&f->limits, &f->config, &b, &f->now, &r);
}

static void start(struct fixture *f)
{
    begin(f);
    f->config.failures_before_ban = 3;
}

static const struct rule *held(struct fixture *f, const char *from)
{
    const struct addr a = addr(from);
    return rules_match_addr(&f->limits.bans, &a);
}

static void test_taken_over(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    start(&f);
    (void)fail_from(&f, "192.0.2.1", 0);
    assert_int_equal(take(&f, "192.0.2.1", 60000), 0);
    const struct rule *r = held(&f, "192.0.2.1");
    assert_true(r->is_automatic);
    assert_string_equal(r->by, "px2");
    assert_int_equal(r->until_ms, f.now.wall_ms + 60000);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_BAN);
    assert_int_equal(failures_of(&f, &a), 0); /* they do not count for the next one */
    assert_int_equal(take(&f, "2001:db8:1:2::/64", 60000), 0);
    assert_int_equal(connect_from(&f, "2001:db8:1:2::9"), LIMIT_BAN);
    /* the same end */
    advance(&f, 60000);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    end(&f);
}

/* Two nodes that ban the same address agree in the end, whoever hears first. */
static void test_the_later_end_holds(void **state)
{
    struct fixture f;
    start(&f);
    assert_int_equal(take(&f, "192.0.2.1", 60000), 0);
    assert_int_equal(take(&f, "192.0.2.1", 60000), -ERR_EXISTS);
    assert_int_equal(take(&f, "192.0.2.1", 50000), -ERR_EXISTS);
    assert_int_equal(take(&f, "192.0.2.1", 70000), 0);
    assert_int_equal(held(&f, "192.0.2.1")->until_ms, f.now.wall_ms + 70000);
    assert_int_equal(take(&f, "192.0.2.1", 0), 0); /* for ever */
    assert_int_equal(take(&f, "192.0.2.1", 90000), -ERR_EXISTS);
    assert_int_equal(held(&f, "192.0.2.1")->until_ms, 0);
    /* an operator's stays */
    set_ban(&f, "192.0.2.2", "call us");
    assert_int_equal(take(&f, "192.0.2.2", 60000), -ERR_EXISTS);
    assert_false(held(&f, "192.0.2.2")->is_automatic);
    /* one that is over */
    struct limit_ban past = ban_of(&f, "192.0.2.3", 1000);
    struct rule *r;
    advance(&f, 1000);
    assert_int_equal(limits_take_ban(&f.limits, &f.config, &past, &f.now, &r), -ERR_EXISTS);
    end(&f);
}

static void test_not_taken(void **state)
{
    static const char *const others[] = {"192.0.2.0/24", "2001:db8::/32", "2001:db8::1",
                                         "alice@example.org", "0.0.0.0/0"};
    struct fixture f;
    start(&f);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(take(&f, others[i], 60000), -ERR_INVAL);
    /* an override of this node */
    struct rule *r;
    struct rule_spec spec = {.sessions = RULE_KEEP, .login_rate = RULE_KEEP, .failures = 0};
    assert_int_equal(limit_target_parse(STR("192.0.2.0/24"), &spec.subject), 0);
    assert_int_equal(rules_put(&f.limits.overrides, &spec, &f.now, &r), 0);
    assert_int_equal(take(&f, "192.0.2.1", 60000), -ERR_PERM);
    assert_int_equal(take(&f, "198.51.100.1", 60000), 0);
    /* a node that bans nobody for failures; that bans for users only */
    f.config.failures_before_ban = 0;
    assert_int_equal(take(&f, "198.51.100.2", 60000), -ERR_PERM);
    f.config.users_before_ban = 5;
    assert_int_equal(take(&f, "198.51.100.2", 60000), 0);
    /* a trusted network */
    struct addr_net net;
    assert_int_equal(addr_net_parse(STR("198.51.100.3/32"), &net), 0);
    f.config.trusted = (struct config_nets){.v = &net, .n = 1};
    assert_int_equal(take(&f, "198.51.100.3", 60000), -ERR_PERM);
    end(&f);
}

static void test_lifted(void **state)
{
    struct fixture f;
    start(&f);
    uint64_t first_ms = f.now.wall_ms;
    assert_int_equal(take(&f, "192.0.2.1", 60000), 0);
    assert_true(limits_is_lifted(held(&f, "192.0.2.1"), first_ms));
    assert_false(limits_is_lifted(held(&f, "192.0.2.1"), first_ms - 1)); /* an older one was */
    assert_false(limits_is_lifted(NULL, first_ms));
    set_ban(&f, "192.0.2.2", NULL);
    assert_false(limits_is_lifted(held(&f, "192.0.2.2"), UINT64_MAX)); /* an operator's */
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_the_later_end_holds),
        cmocka_unit_test(test_not_taken),
        cmocka_unit_test(test_lifted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
