/* SPDX-License-Identifier: ISC */
/* Sessions and logins of addresses and users: counts, rates, overrides, who is exempt. */
#include "tests/unit/limits/limits_case.h"

/* ---- sessions ---- */

static void test_sessions_per_address(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.sessions_per_ip = 2;
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_ADDRESS_SESSIONS);
    assert_int_equal(connect_from(&f, "192.0.2.2"), LIMIT_NONE);
    disconnect_from(&f, "192.0.2.1");
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    disconnect_from(&f, "192.0.2.1");
    disconnect_from(&f, "192.0.2.1");
    disconnect_from(&f, "192.0.2.2");
    disconnect_from(&f, "192.0.2.2"); /* one too many does no harm */
    assert_int_equal(limits_count(&f.limits).sources, 0);
    end(&f);
}

/* A host has the whole /64 for itself. */
static void test_v6_by_64(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.sessions_per_ip = 1;
    assert_int_equal(connect_from(&f, "2001:db8:0:1::1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "2001:db8:0:1:ffff::2"), LIMIT_ADDRESS_SESSIONS);
    assert_int_equal(connect_from(&f, "2001:db8:0:2::1"), LIMIT_NONE);
    disconnect_from(&f, "2001:db8:0:1::99");
    assert_int_equal(connect_from(&f, "2001:db8:0:1::3"), LIMIT_NONE);
    end(&f);
}

static void test_trusted(void **state)
{
    struct fixture f;
    struct addr_net net;
    begin(&f);
    assert_int_equal(addr_net_parse(STR("10.0.0.0/8"), &net), 0);
    f.config = (struct config_limits){.sessions_per_ip = 1,
                                      .login_rate_per_minute = 1,
                                      .failures_before_ban = 1,
                                      .failures_before_delay = 1,
                                      .ban_ms = 1000,
                                      .failure_window_ms = 1000,
                                      .trusted = {.v = &net, .n = 1}};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(connect_from(&f, "10.1.1.1"), LIMIT_NONE);
        assert_int_equal(connect_from(&f, "unix:"), LIMIT_NONE);
        assert_int_equal(login(&f, "10.1.1.1", "alice", 0), LIMIT_NONE);
        assert_null(fail_from(&f, "10.1.1.1", 0).ban);
        assert_int_equal(fail_from(&f, "unix:", 0).delay_ms, 2000);
    }
    set_ban(&f, "10.1.1.1", NULL); /* an operator's word counts for them too */
    assert_int_equal(connect_from(&f, "10.1.1.1"), LIMIT_BAN);
    end(&f);
}

static void test_sessions_per_user(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.sessions_per_user = 2;
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.2", "alice", 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.3", "alice", 0), LIMIT_USER_SESSIONS);
    assert_int_equal(login(&f, "192.0.2.3", "alice", 3), LIMIT_NONE); /* the entry says 3 */
    assert_int_equal(login(&f, "192.0.2.3", "alice", 3), LIMIT_USER_SESSIONS);
    assert_int_equal(login(&f, "192.0.2.3", "bob", 1), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.3", "bob", 1), LIMIT_USER_SESSIONS);
    limits_logout(&f.limits, "bob");
    limits_logout(&f.limits, "bob");
    assert_int_equal(login(&f, "192.0.2.3", "bob", 1), LIMIT_NONE);
    assert_int_equal(limits_count(&f.limits).users, 2);
    limits_logout(&f.limits, "bob");
    assert_false(limits_look_user(&f.limits, "bob").is_known);
    /* no name, no limit */
    assert_int_equal(login(&f, "192.0.2.3", NULL, 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.3", "", 0), LIMIT_NONE);
    end(&f);
}

static void test_overrides(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.sessions_per_ip = 1;
    f.config.sessions_per_user = 1;
    set_override(&f, "192.0.2.0/24", 2, RULE_KEEP);
    set_override(&f, "alice", 0, RULE_KEEP);
    set_override(&f, "bob", 2, RULE_KEEP);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_ADDRESS_SESSIONS);
    assert_int_equal(connect_from(&f, "192.0.2.2"), LIMIT_NONE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(login(&f, "192.0.2.1", "alice", 1), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "bob", 1), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "bob", 1), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "bob", 1), LIMIT_USER_SESSIONS);
    end(&f);
}

/* ---- rate ---- */

static void test_rate(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.login_rate_per_minute = 6;
    for (int i = 0; i < 6; i++)
        assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_RATE);
    assert_int_equal(limits_look_user(&f.limits, "alice").sessions, 6);
    assert_int_equal(login(&f, "192.0.2.2", "alice", 0), LIMIT_NONE);
    advance(&f, 10000); /* a sixth of a minute is worth one login */
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_RATE);
    advance(&f, 60000);
    assert_int_equal(limits_count(&f.limits).sources, 0); /* nothing left to remember */
    for (int i = 0; i < 6; i++)
        assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_RATE);
    f.config.login_rate_per_minute = 0; /* a reload takes the limit away */
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_NONE);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_per_address),
        cmocka_unit_test(test_v6_by_64),
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_sessions_per_user),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
