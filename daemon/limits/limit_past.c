/* SPDX-License-Identifier: ISC */
/* What an address did before: counted, and forgotten in time. */
#include "limits/limit_past.h"

#include "limits/rules.h"

#define LIMITS_MINUTE_MS 60000
#define LIMITS_LEVEL_MAX 4000000u /* 4,000 logins a minute, far over any limit, in 1/1000 */

/* ---- the rate: a bucket that leaks one minute's logins in a minute ---- */

uint32_t limit_past_level(const struct limit_past *p, uint64_t rate, uint64_t now_ms)
{
    if (!p || rate == 0)
        return 0;
    uint64_t since = now_ms > p->level_at_ms ? now_ms - p->level_at_ms : 0;
    if (since >= LIMITS_MINUTE_MS)
        return 0;
    uint64_t leaked = rate * 1000 * since / LIMITS_MINUTE_MS;
    return leaked < p->level_milli ? p->level_milli - (uint32_t)leaked : 0;
}

void limit_past_add_login(struct limit_past *p, uint32_t level, uint64_t now_ms)
{
    p->level_milli = level < LIMITS_LEVEL_MAX ? level + 1000 : level;
    p->level_at_ms = now_ms;
}

/* ---- failures: those of a window that begins with the first ---- */

static bool failures_are_over(const struct limit_past *p, const struct config_limits *c,
                              uint64_t now_ms)
{
    return now_ms >= p->failures_since_ms + c->failure_window_ms;
}

static bool users_are_over(const struct limit_past *p, const struct config_limits *c,
                           uint64_t now_ms)
{
    return p->users_since_ms == 0 || now_ms >= p->users_since_ms + c->spray_window_ms;
}

/* Beyond those that are to be expected of as many people. */
static uint32_t failures_count(const struct limit_past *p)
{
    uint32_t n_oks = distinct_count(&p->oks);
    return p->failures > n_oks ? p->failures - n_oks : 0;
}

void limit_past_clear_failures(struct limit_past *p)
{
    p->failures = 0;
    p->guesses = (struct distinct){0};
}

struct limit_past_failure limit_past_fail(struct limit_past *p, const struct config_limits *c,
                                          const uint32_t *user, uint32_t credentials,
                                          uint64_t now_ms)
{
    const struct limit_near *near = p->source->near;
    struct limit_past_failure f = {0};
    if (p->failures == 0 || failures_are_over(p, c, now_ms)) {
        limit_past_clear_failures(p);
        p->failures_since_ms = now_ms;
    }
    /* A repeat of the same credentials is no further guess. Of hundreds of credentials (the phones
     * of an office after a change of passwords) some look like repeats of others, until nothing can
     * be told and all count. */
    if (credentials == 0 || distinct_add(&p->guesses, credentials) || distinct_is_full(&p->guesses))
        p->failures++;
    if (user && c->users_before_ban > 0) {
        if (users_are_over(p, c, now_ms)) {
            p->fails = p->oks = (struct distinct){0};
            p->users_since_ms = now_ms ? now_ms : 1;
        }
        bool is_other = distinct_add(&p->fails, *user);
        f.users = distinct_count_with(&p->fails, near ? &near->failed : NULL);
        f.is_spraying = is_other && f.users >= c->users_before_ban &&
                        f.users > distinct_count_with(&p->oks, near ? &near->welcome : NULL);
    }
    f.failures = failures_count(p);
    return f;
}

uint32_t limit_past_failures(const struct limit_past *p, const struct config_limits *c,
                             uint64_t now_ms)
{
    return !p || failures_are_over(p, c, now_ms) ? 0 : failures_count(p);
}

uint32_t limit_past_users(const struct limit_past *p, const struct config_limits *c,
                          uint64_t now_ms)
{
    return !p || users_are_over(p, c, now_ms) ? 0 : distinct_count(&p->fails);
}

/* ---- what is kept ---- */

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t limit_past_keep_until(const struct limit_past *p, const struct config_limits *c,
                               uint64_t rate, uint64_t now_ms)
{
    uint64_t until = p->ban_due_ms;
    if (p->failures > 0 && !failures_are_over(p, c, now_ms))
        until = latest(until, p->failures_since_ms + c->failure_window_ms);
    if (limit_past_level(p, rate, now_ms) > 0)
        until = latest(until, p->level_at_ms + LIMITS_MINUTE_MS);
    if (c->users_before_ban > 0 && !users_are_over(p, c, now_ms))
        until = latest(until, p->users_since_ms + c->spray_window_ms);
    if (p->source->sessions > 0 && p->news_ms)
        until = latest(until, p->news_ms + RULE_NEWS_MS);
    if (p->source->sessions > 0 && p->refused > 0) /* for operators, as long as it is there */
        until = latest(until, now_ms + LIMITS_MINUTE_MS);
    return until;
}
