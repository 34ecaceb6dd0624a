/* SPDX-License-Identifier: ISC */
/* A table of limits, time that the test moves on, and what clients and operators do. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "limits/limits.h"

struct fixture {
    struct limits limits;
    struct config_limits config;
    struct rules_time now;
};

static inline void begin(struct fixture *f)
{
    *f = (struct fixture){.now = {.ms = 5000000, .wall_ms = 1700000000000},
                          .config = {.ban_ms = 600000, .failure_window_ms = 600000}};
    limits_init(&f->limits, 1, LIMITS_IDLE_MAX, f->now.ms);
}

static inline void end(struct fixture *f)
{
    limits_fini(&f->limits);
}

static inline void advance(struct fixture *f, uint64_t ms)
{
    f->now.ms += ms;
    f->now.wall_ms += ms;
    limits_expire(&f->limits, &f->config, &f->now);
}

static inline struct addr addr(const char *text)
{
    struct addr a = {.family = AF_UNIX};
    if (strcmp(text, "unix:") != 0)
        assert_int_equal(addr_parse(str_of(text), &a), 0);
    return a;
}

static inline enum limit_kind connect_from(struct fixture *f, const char *from)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_connect(&f->limits, &f->config, &a, f->now.ms, &v);
    return v.kind;
}

static inline void disconnect_from(struct fixture *f, const char *from)
{
    const struct addr a = addr(from);
    limits_disconnect(&f->limits, &f->config, &a, f->now.ms);
}

static inline enum limit_kind login(struct fixture *f, const char *from, const char *user,
                                    unsigned max)
{
    struct limit_verdict v;
    const struct addr a = addr(from);
    limits_login(&f->limits, &f->config, &a, user, max, f->now.ms, &v);
    return v.kind;
}

static inline uint32_t failures_of(struct fixture *f, const struct addr *a)
{
    return limits_look_source(&f->limits, &f->config, a, f->now.ms).failures;
}

static inline struct limit_source *source(struct fixture *f, const struct addr *a)
{
    const struct limit_from from = limit_from_of(a);
    return limit_source_find(&f->limits.sources[0], &from);
}

/* A failure, and the ban that the owner of the bans makes of it. */
struct failed {
    uint64_t delay_ms;
    bool is_spraying, is_new_ban, is_guessed_at;
    const struct rule *ban; /* that holds now */
};

static inline struct failed fail_as(struct fixture *f, const struct addr *a, const char *user,
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

static inline struct failed fail_from(struct fixture *f, const char *from, uint32_t credentials)
{
    const struct addr a = addr(from);
    return fail_as(f, &a, NULL, credentials, 2000);
}

static inline void set_override(struct fixture *f, const char *subject, uint64_t sessions,
                                uint64_t rate)
{
    struct rule *r;
    struct rule_spec spec = {.sessions = sessions, .login_rate = rate, .failures = RULE_KEEP};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    assert_int_equal(rules_put(&f->limits.overrides, &spec, &f->now, &r), 0);
}

static inline void set_ban(struct fixture *f, const char *subject, const char *text)
{
    struct rule *r;
    struct rule_spec spec = {.text = text};
    assert_int_equal(limit_target_parse(str_of(subject), &spec.subject), 0);
    assert_int_equal(rules_put(&f->limits.bans, &spec, &f->now, &r), 0);
}
