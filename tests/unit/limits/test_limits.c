/* SPDX-License-Identifier: ISC */
/* Limits with a clock of the test's own: sessions, rates, failures, bans, overrides, and a flood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "limits/limits.h"

struct fixture {
    struct limits limits;
    struct config_limits config;
    struct rules_time now;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.now = {.ms = 5000000, .wall_ms = 1700000000000},
                          .config = {.ban_ms = 600000, .failure_window_ms = 600000}};
    limits_init(&f->limits, 1, LIMITS_IDLE_MAX, f->now.ms);
}

static void end(struct fixture *f)
{
    limits_fini(&f->limits);
}

static void advance(struct fixture *f, uint64_t ms)
{
    f->now.ms += ms;
    f->now.wall_ms += ms;
    limits_expire(&f->limits, &f->config, &f->now);
}

static struct addr addr(const char *text)
{
    struct addr a = {.family = AF_UNIX};
    if (strcmp(text, "unix:") != 0)
        assert_int_equal(addr_parse(str_of(text), &a), 0);
    return a;
}

static enum limit_kind connect_from(struct fixture *f, const char *from)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_connect(&f->limits, &f->config, &a, f->now.ms, &v);
    return v.kind;
}

static void disconnect_from(struct fixture *f, const char *from)
{
    const struct addr a = addr(from);
    limits_disconnect(&f->limits, &f->config, &a, f->now.ms);
}

static enum limit_kind login(struct fixture *f, const char *from, const char *user, unsigned max)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_login(&f->limits, &f->config, &a, user, max, f->now.ms, &v);
    return v.kind;
}

static uint32_t failures_of(struct fixture *f, const struct addr *a)
{
    return limits_look_source(&f->limits, &f->config, a, f->now.ms).failures;
}

static struct limit_source *source(struct fixture *f, const struct addr *a)
{
    return limit_source_find(&f->limits.sources[0], a);
}

/* A failure, and the ban that the owner of the bans makes of it. */
struct failed {
    uint64_t delay_ms;
    bool is_spraying, is_new_ban, is_guessed_at;
    const struct rule *ban; /* that holds now */
};

static struct failed fail_as(struct fixture *f, const struct addr *a, const char *user,
                             uint32_t credentials, uint64_t delay_ms)
{
    struct limit_failure r;
    struct rule *made;
    limits_fail(&f->limits, &f->config, a, user, credentials, delay_ms, f->now.ms, &r);
    struct failed ret = {
        .delay_ms = r.delay_ms, .is_spraying = r.is_spraying, .is_guessed_at = r.is_guessed_at};
    if (r.is_ban_due)
        ret.is_new_ban = limits_ban(&f->limits, &f->config, a, &f->now, &made);
    ret.ban = r.is_banned ? rules_match_addr(&f->limits.bans, a) : NULL;
    assert_true(r.is_banned == (ret.ban != NULL));
    return ret;
}

static struct failed fail_from(struct fixture *f, const char *from, uint32_t credentials)
{
    const struct addr a = addr(from);
    return fail_as(f, &a, NULL, credentials, 2000);
}

static void set_override(struct fixture *f, const char *subject, uint64_t sessions, uint64_t rate)
{
    struct rule *r;
    struct rule_spec spec = {.sessions = sessions, .login_rate = rate, .failures = RULE_KEEP};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    assert_int_equal(rules_put(&f->limits.overrides, &spec, &f->now, &r), 0);
}

static void set_ban(struct fixture *f, const char *subject, const char *text)
{
    struct rule *r;
    struct rule_spec spec = {.text = text};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    assert_int_equal(rules_put(&f->limits.bans, &spec, &f->now, &r), 0);
}

/* ---- sessions ---- */

static void test_sessions_per_address(void **state)
{
    struct fixture f;
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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

/* ---- failures ---- */

static void test_delay_grows(void **state)
{
    static const uint64_t delays[] = {2000, 2000, 2000, 4000, 8000, 15000, 15000};
    struct fixture f;
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
        cmocka_unit_test(test_sessions_per_address),
        cmocka_unit_test(test_v6_by_64),
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_sessions_per_user),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_rate),
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
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_flood_keeps_sessions),
        cmocka_unit_test(test_million),
        cmocka_unit_test(test_session_is_small),
        cmocka_unit_test(test_past_ends),
        cmocka_unit_test(test_flood_of_bans),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_stripes_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
