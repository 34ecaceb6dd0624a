/* SPDX-License-Identifier: ISC */
/* Failed logins: delays, bans, guesses at many users and at one, and when they are forgotten. */
#include "base/hash.h"
#include "tests/unit/limits/limits_case.h"

/* ---- failures ---- */

static void test_delay_grows(void **state)
{
    static const uint64_t delays[] = {2000, 2000, 2000, 4000, 8000, 15000, 15000};
    struct fixture f;
    begin(&f);
    f.config.failures_before_delay = 3;
    for (size_t i = 0; i < ARRAY_LEN(delays); i++)
        assert_int_equal(fail_from(&f, "192.0.2.1", 0).delay_ms, delays[i]);
    assert_int_equal(fail_from(&f, "192.0.2.2", 0).delay_ms, 2000);
    for (int i = 0; i < 100; i++) /* no overflow */
        assert_int_equal(fail_from(&f, "192.0.2.1", 0).delay_ms, 15000);
    advance(&f, 600000);
    assert_int_equal(fail_from(&f, "192.0.2.1", 0).delay_ms, 2000);
    /* without a configured delay it begins with a second; a long configured one is never cut */
    assert_int_equal(limits_delay(&f.config, 4, 0), 2000);
    assert_int_equal(limits_delay(&f.config, 99, 30000), 30000);
    end(&f);
}

static void test_ban(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    f.config.failures_before_ban = 3;
    connect_from(&f, "192.0.2.1");
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    struct failed third = fail_from(&f, "192.0.2.1", 0);
    assert_non_null(third.ban);
    assert_true(third.is_new_ban);
    assert_true(third.ban->is_automatic);
    assert_int_equal(third.ban->until_ms, f.now.wall_ms + 600000);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_BAN);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_BAN); /* it was connected before */
    assert_int_equal(third.ban->hits, 2);
    assert_int_equal(failures_of(&f, &a), 0);
    for (int i = 0; i < 2; i++)
        assert_false(fail_from(&f, "192.0.2.1", 0).is_new_ban);
    advance(&f, 600000);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    end(&f);
}

/* A mail program with an old password must not lock its whole office out. */
static void test_repeats_count_once(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    f.config.failures_before_ban = 20;
    for (int i = 0; i < 100; i++)
        assert_null(fail_from(&f, "192.0.2.1", 7).ban);
    assert_int_equal(failures_of(&f, &a), 1);
    for (uint32_t i = 1; i <= DISTINCT_EXACT; i++) /* 7 is known */
        (void)fail_from(&f, "192.0.2.1", i);
    assert_int_equal(failures_of(&f, &a), DISTINCT_EXACT);
    for (uint32_t i = 1; i <= DISTINCT_EXACT; i++)
        (void)fail_from(&f, "192.0.2.1", i);
    assert_int_equal(failures_of(&f, &a), DISTINCT_EXACT);
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 100; i < 106; i++)
            (void)fail_from(&f, "192.0.2.1", i);
    (void)fail_from(&f, "192.0.2.1", 7); /* is not forgotten for them */
    assert_int_equal(failures_of(&f, &a), DISTINCT_EXACT + 6);
    end(&f);
}

/* Two hundred phones of an office with passwords of yesterday try every minute. */
static void test_many_repeats_count_once(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    f.config.failures_before_ban = 300;
    for (uint32_t round = 0; round < 9; round++)
        for (uint32_t i = 1; i <= 200; i++)
            assert_null(fail_from(&f, "192.0.2.1", (uint32_t)hash_mix(i)).ban);
    assert_in_range(failures_of(&f, &a), 100, 200);
    /* but whoever tries more than can be told apart is not let go on */
    bool is_banned = false;
    for (uint32_t i = 1000; i < 3000 && !is_banned; i++)
        is_banned = fail_from(&f, "192.0.2.1", (uint32_t)hash_mix(i)).ban != NULL;
    assert_true(is_banned);
    end(&f);
}

static struct failed fail_user_from(struct fixture *f, const char *from, unsigned user,
                                    uint32_t credentials)
{
    const struct addr a = addr(from);
    char name[32];
    snprintf(name, sizeof(name), "user%u", user);
    return fail_as(f, &a, name, credentials, 2000);
}

static void welcome(struct fixture *f, const char *from, unsigned user)
{
    const struct addr a = addr(from);
    char name[32];
    snprintf(name, sizeof(name), "user%u", user);
    limits_welcome(&f->limits, &a, name);
}

/* One try for each user, one every ten minutes: too slow for failures_before_ban. */
static void test_spraying(void **state)
{
    struct fixture f;
    unsigned n = 0;
    begin(&f);
    f.config.failures_before_ban = 5;
    f.config.users_before_ban = 20;
    f.config.spray_window_ms = 86400000;
    struct failed last = {0};
    while (!last.ban && n < 100) {
        last = fail_user_from(&f, "192.0.2.1", n, 1000 + n);
        advance(&f, 600000);
        n++;
    }
    assert_true(last.is_spraying && last.is_new_ban);
    assert_in_range(n, 18, 23);
    /* after the ban the next other user leads to the next one; those known do not */
    advance(&f, 600000);
    assert_null(fail_user_from(&f, "192.0.2.1", 0, 77).ban);
    bool is_banned = false;
    for (unsigned i = 200; i < 205; i++)
        is_banned = is_banned || fail_user_from(&f, "192.0.2.1", i, 1).ban;
    assert_true(is_banned);
    advance(&f, 86400000);
    assert_int_equal(limits_count(&f.limits).sources, 0);
    end(&f);
}

/* Webmail, an office: of many who log in some fail; as many failures do not count. */
static void test_shared_address(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.failures_before_ban = 100;
    f.config.users_before_ban = 50;
    f.config.spray_window_ms = 86400000;
    for (unsigned i = 0; i < 400; i++) {
        assert_null(fail_user_from(&f, "192.0.2.1", i, 1000 + i).ban);
        welcome(&f, "192.0.2.1", i);
        welcome(&f, "192.0.2.1", 10000 + i);
    }
    bool is_banned = false; /* somebody there who has an account is not let go on */
    for (unsigned i = 0; i < 3000 && !is_banned; i++)
        is_banned = fail_user_from(&f, "192.0.2.1", 50000 + i, 50000 + i).ban != NULL;
    assert_true(is_banned);
    end(&f);
}

/* Slow guessing at one user from ever other addresses. */
static void test_guessing(void **state)
{
    struct fixture f;
    unsigned news = 0;
    char ip[32];
    begin(&f);
    f.config.passwords_before_delay = 10;
    f.config.spray_window_ms = 86400000;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(ip, sizeof(ip), "198.51.100.%u", i);
        struct failed r = fail_user_from(&f, ip, 1, 1000 + i);
        assert_null(r.ban);
        assert_true(i >= 8 || r.delay_ms == 2000);
        assert_true(i < 20 || r.delay_ms == 15000);
        news += r.is_guessed_at;
        advance(&f, 60000);
    }
    assert_int_equal(news, 1);
    const struct limit_user_facts g = limits_look_user(&f.limits, "user1");
    assert_in_range(g.n_passwords, 36, 44);
    assert_in_range(g.n_addresses, 34, 46);
    assert_int_equal(fail_user_from(&f, "198.51.100.1", 2, 5).delay_ms, 2000); /* others */
    for (int i = 0; i < 100; i++) /* an old password in a phone is no guess */
        assert_int_equal(fail_user_from(&f, "198.51.100.1", 2, 5).delay_ms, 2000);
    struct limit_target s = {.kind = LIMIT_TARGET_USER, .user = "user1"};
    assert_true(limits_forget(&f.limits, &f.config, &s, f.now.ms));
    assert_int_equal(fail_user_from(&f, "198.51.100.1", 1, 5).delay_ms, 2000);
    advance(&f, 86400000);
    assert_int_equal(limits_count(&f.limits).guesses, 0);
    end(&f);
}

/* A million names: the table stays bounded. */
static void test_flood_of_names(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.passwords_before_delay = 10;
    f.config.spray_window_ms = 86400000;
    for (unsigned i = 0; i < 200000; i++)
        (void)fail_user_from(&f, "198.51.100.1", i, i + 1);
    assert_int_equal(limits_count(&f.limits).guesses, GUESSES_MAX);
    assert_null(guesses_find(&f.limits.guesses, "user0"));
    assert_non_null(guesses_find(&f.limits.guesses, "user199999"));
    end(&f);
}

/* Between the failure that leads to a ban and the ban, nobody from there gets in or guesses on; one
 * that is never made is over in time. */
static void test_ban_due(void **state)
{
    struct fixture f;
    struct limit_failure r;
    struct rule *made;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    f.config.failures_before_ban = 2;
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    limits_fail(&f.limits, &f.config, &a, NULL, 1, 2000, f.now.ms, &r);
    assert_false(r.is_banned);
    limits_fail(&f.limits, &f.config, &a, NULL, 2, 2000, f.now.ms, &r);
    assert_true(r.is_banned && r.is_ban_due);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_BAN);
    assert_int_equal(login(&f, "192.0.2.1", "alice", 0), LIMIT_BAN);
    limits_fail(&f.limits, &f.config, &a, NULL, 3, 2000, f.now.ms, &r);
    limits_fail(&f.limits, &f.config, &a, NULL, 4, 2000, f.now.ms, &r);
    assert_true(r.is_banned && !r.is_ban_due); /* one mail is enough */
    advance(&f, LIMITS_BAN_DUE_MS);
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    assert_true(limits_ban(&f.limits, &f.config, &a, &f.now, &made));
    assert_false(limits_ban(&f.limits, &f.config, &a, &f.now, &made));
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_BAN);
    rules_remove(&f.limits.bans, made); /* an operator's word counts at once */
    assert_int_equal(connect_from(&f, "192.0.2.1"), LIMIT_NONE);
    end(&f);
}

static void test_window(void **state)
{
    struct fixture f;
    begin(&f);
    f.config.failures_before_ban = 3;
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    advance(&f, 300000);
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    advance(&f, 300000); /* ten minutes after the first one */
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    assert_null(fail_from(&f, "192.0.2.1", 0).ban);
    assert_non_null(fail_from(&f, "192.0.2.1", 0).ban);
    end(&f);
}

static void test_off(void **state)
{
    struct fixture f;
    begin(&f);
    for (int i = 0; i < 1000; i++) {
        struct failed r = fail_from(&f, "192.0.2.1", 0);
        assert_null(r.ban);
        assert_int_equal(r.delay_ms, 2000);
    }
    assert_int_equal(limits_count(&f.limits).sources, 0);
    end(&f);
}

static void test_forget(void **state)
{
    struct fixture f;
    struct limit_target s;
    begin(&f);
    f.config.failures_before_ban = 3;
    (void)fail_from(&f, "2001:db8::1", 0);
    (void)fail_from(&f, "2001:db8::1", 0);
    assert_int_equal(limit_target_parse(STR("2001:db8::2"), &s), 0);
    assert_true(limits_forget(&f.limits, &f.config, &s, f.now.ms));
    assert_false(limits_forget(&f.limits, &f.config, &s, f.now.ms));
    assert_null(fail_from(&f, "2001:db8::1", 0).ban);
    assert_null(fail_from(&f, "2001:db8::1", 0).ban);
    end(&f);
}

/* An override comes before the configuration and before trust, for failures as for the rest. */
static void test_override_of_failures(void **state)
{
    struct fixture f;
    struct rule *r;
    struct addr_net trusted;
    begin(&f);
    f.config.failures_before_delay = 1;
    f.config.failures_before_ban = 2;
    struct rule_spec spec = {.sessions = RULE_KEEP, .login_rate = RULE_KEEP, .failures = 0};
    assert_int_equal(limit_target_parse(STR("192.0.2.0/24"), &spec.subject), 0);
    assert_int_equal(rules_put(&f.limits.overrides, &spec, &f.now, &r), 0);
    for (uint32_t i = 0; i < 10; i++) {
        struct failed one = fail_from(&f, "192.0.2.1", i + 1);
        assert_null(one.ban);
        assert_int_equal(one.delay_ms, 2000);
    }
    const struct addr office = addr("192.0.2.1"), other = addr("198.51.100.1");
    assert_int_equal(limits_max_failures(&f.limits, &f.config, &office), 0);
    assert_int_equal(limits_max_failures(&f.limits, &f.config, &other), 2);
    assert_null(fail_from(&f, "198.51.100.1", 1).ban);
    assert_non_null(fail_from(&f, "198.51.100.1", 2).ban);
    spec.failures = 3;
    assert_int_equal(rules_put(&f.limits.overrides, &spec, &f.now, &r), 0);
    assert_int_equal(addr_net_parse(STR("192.0.2.0/24"), &trusted), 0);
    f.config.trusted = (struct config_nets){&trusted, 1};
    f.config.failures_before_ban = 0;
    assert_null(fail_from(&f, "192.0.2.7", 1).ban);
    assert_null(fail_from(&f, "192.0.2.7", 2).ban);
    assert_non_null(fail_from(&f, "192.0.2.7", 3).ban);
    end(&f);
}

static void test_news(void **state)
{
    struct fixture f;
    const struct addr a = addr("192.0.2.1");
    begin(&f);
    set_ban(&f, "192.0.2.1", "go away");
    struct limit_verdict v;
    limits_connect(&f.limits, &f.config, &a, f.now.ms, &v);
    assert_string_equal(v.text, "go away");
    assert_true(v.is_news);
    limits_connect(&f.limits, &f.config, &a, f.now.ms, &v);
    assert_false(v.is_news);
    advance(&f, RULE_NEWS_MS);
    limits_connect(&f.limits, &f.config, &a, f.now.ms, &v);
    assert_true(v.is_news);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_grows),
        cmocka_unit_test(test_ban),
        cmocka_unit_test(test_repeats_count_once),
        cmocka_unit_test(test_many_repeats_count_once),
        cmocka_unit_test(test_spraying),
        cmocka_unit_test(test_shared_address),
        cmocka_unit_test(test_guessing),
        cmocka_unit_test(test_flood_of_names),
        cmocka_unit_test(test_ban_due),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_override_of_failures),
        cmocka_unit_test(test_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
