/* SPDX-License-Identifier: ISC */
/* Counting sessions and logins, and judging by what is counted. */
#include "limits/limits_priv.h"

#include "base/hash.h"

/* ---- stripes ---- */

bool limits_are_counted(const struct addr *a)
{
    return a->family == AF_INET || a->family == AF_INET6;
}

/* Nobody who does not know the key of the hashes can fill one stripe alone. Tables look at the low
 * bits of the hash. */
static size_t limits_stripe(const struct limits *l, uint64_t hash)
{
    return (hash >> 48) % l->n_stripes;
}

struct limit_sources *limits_lock_sources(struct limits *l, const struct limit_from *a)
{
    struct limit_sources *t = &l->sources[limits_stripe(l, a->hash)];
    pthread_mutex_lock(&t->lock);
    return t;
}

struct limit_users *limits_lock_users(struct limits *l, const struct hashed_key *user)
{
    struct limit_users *t = &l->users[limits_stripe(l, user->hash)];
    pthread_mutex_lock(&t->lock);
    return t;
}

/* ---- what is kept ---- */

void limits_keep_source(struct limits *l, struct limit_sources *t, struct limit_source *s,
                        const struct config_limits *c, uint64_t now_ms)
{
    uint64_t until = 0;
    if (s->past)
        until = limit_past_keep_until(s->past, c, limits_login_rate(l, c, &s->addr), now_ms);
    limit_source_settle(t, s, until, now_ms);
}

void limits_settle_source(struct limits *l, struct limit_sources *t, struct limit_source *s,
                          const struct config_limits *c, uint64_t now_ms)
{
    limits_keep_source(l, t, s, c, now_ms);
    pthread_mutex_unlock(&t->lock);
}

/* ---- life ---- */

void limits_init(struct limits *l, size_t n_stripes, size_t max_idle, uint64_t now_ms)
{
    *l = (struct limits){.n_stripes = n_stripes};
    for (size_t i = 0; i < n_stripes; i++) {
        limit_sources_init(&l->sources[i], (max_idle + n_stripes - 1) / n_stripes, now_ms);
        limit_users_init(&l->users[i]);
    }
    rules_init(&l->bans, LIMITS_BANS_MAX, now_ms);
    rules_init(&l->overrides, LIMITS_BANS_MAX, now_ms);
    pthread_mutex_init(&l->guesses_lock, NULL);
    guesses_init(&l->guesses, GUESSES_MAX);
    hash_random(l->share_key, sizeof(l->share_key));
}

void limits_set_share_key(struct limits *l, const uint8_t key[16])
{
    memcpy(l->share_key, key, sizeof(l->share_key));
    memcpy(l->guesses.key, key, sizeof(l->guesses.key));
}

void limits_fini(struct limits *l)
{
    for (size_t i = 0; i < l->n_stripes; i++) {
        limit_sources_fini(&l->sources[i]);
        limit_users_fini(&l->users[i]);
    }
    rules_fini(&l->bans);
    rules_fini(&l->overrides);
    guesses_fini(&l->guesses);
    pthread_mutex_destroy(&l->guesses_lock);
}

/* ---- what is in force ---- */

uint64_t limits_max_sessions(struct limits *l, const struct config_limits *c, const struct addr *a)
{
    uint64_t own = rules_values_of_addr(&l->overrides, a).sessions;
    if (own != RULE_KEEP)
        return own;
    return config_limits_trust(c, a) ? 0 : c->sessions_per_ip;
}

uint64_t limits_login_rate(struct limits *l, const struct config_limits *c, const struct addr *a)
{
    uint64_t own = rules_values_of_addr(&l->overrides, a).login_rate;
    if (own != RULE_KEEP)
        return own;
    return config_limits_trust(c, a) ? 0 : c->login_rate_per_minute;
}

uint64_t limits_failures(struct limits *l, const struct config_limits *c, const struct addr *a)
{
    uint64_t own = rules_values_of_addr(&l->overrides, a).failures;
    if (own != RULE_KEEP)
        return own;
    if (config_limits_trust(c, a))
        return 0;
    return c->failures_before_ban ? c->failures_before_ban : RULE_KEEP;
}

uint64_t limits_max_failures(struct limits *l, const struct config_limits *c, const struct addr *a)
{
    uint64_t most = limits_failures(l, c, a);
    return most == RULE_KEEP ? 0 : most;
}

uint64_t limits_max_user_sessions(struct limits *l, const struct config_limits *c, const char *user,
                                  unsigned own_max)
{
    uint64_t own = rules_values_of_user(&l->overrides, user).sessions;
    if (own != RULE_KEEP)
        return own;
    return own_max ? own_max : c->sessions_per_user;
}

/* ---- judging ---- */

/* The text is written only where there are words: most verdicts have none. */
static void verdict_none(struct limit_verdict *ret)
{
    ret->kind = LIMIT_NONE;
    ret->is_counted = ret->is_news = false;
    ret->text[0] = '\0';
}

static bool verdict_ban(struct limits *l, const struct addr *a, const char *user, uint64_t now_ms,
                        struct limit_verdict *ret)
{
    struct rule_hit hit;
    if (!rules_hit(&l->bans, a, user, now_ms, &hit))
        return false;
    ret->kind = LIMIT_BAN;
    ret->is_news = hit.is_news;
    (void)str_copy(ret->text, sizeof(ret->text), str_of(hit.text));
    return true;
}

/* Of all nodes of a fleet. */
static uint64_t sessions_of_all(uint32_t here, const struct limit_near *near)
{
    return (uint64_t)here + (near ? near->sessions : 0);
}

static void verdict_source(struct limit_source *s, enum limit_kind kind, const char *text,
                           uint64_t now_ms, struct limit_verdict *ret)
{
    struct limit_past *p = limit_source_past(s);
    if (p)
        p->refused++;
    ret->kind = kind;
    ret->is_news = !p || rule_is_news(&p->news_ms, now_ms);
    (void)str_copy(ret->text, sizeof(ret->text), str_of(text));
}

void limits_connect(struct limits *l, const struct config_limits *c, const struct addr *a,
                    uint64_t now_ms, struct limit_verdict *ret)
{
    verdict_none(ret);
    if (verdict_ban(l, a, NULL, now_ms, ret) || !limits_are_counted(a))
        return;
    uint64_t max = limits_max_sessions(l, c, a);
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_take(t, &from);
    if (!s) {
        pthread_mutex_unlock(&t->lock);
        return;
    }
    if (limit_past_is_banned(s->past, now_ms)) {
        ret->kind = LIMIT_BAN;
    } else if (max && sessions_of_all(s->sessions, s->near) >= max) {
        verdict_source(s, LIMIT_ADDRESS_SESSIONS, "Too many connections from your address.", now_ms,
                       ret);
    } else {
        s->sessions++;
        ret->is_counted = true;
        if (limits_is_near(limits_nodes(&l->n_nodes), s->sessions, max))
            (void)limit_near_take(&t->near, &t->n_near, &s->near, s);
    }
    limits_settle_source(l, t, s, c, now_ms);
}

void limits_disconnect(struct limits *l, const struct config_limits *c, const struct addr *a,
                       uint64_t now_ms)
{
    if (!limits_are_counted(a))
        return;
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_find(t, &from);
    if (!s || s->sessions == 0) {
        pthread_mutex_unlock(&t->lock);
        return;
    }
    s->sessions--;
    limits_settle_source(l, t, s, c, now_ms);
}

/* A login for the rate; false: one too many. */
static bool source_take_rate(struct limit_source *s, uint64_t rate, uint64_t now_ms,
                             struct limit_verdict *ret)
{
    if (rate == 0)
        return true;
    uint32_t level = limit_past_level(s->past, rate, now_ms);
    if (level + 1000 > rate * 1000) {
        verdict_source(s, LIMIT_RATE, "Too many logins from your address, try again later.", now_ms,
                       ret);
        return false;
    }
    struct limit_past *p = limit_source_past(s);
    if (p)
        limit_past_add_login(p, level, now_ms);
    return true;
}

/* May one more login come from there? */
static bool limits_admit_from(struct limits *l, const struct config_limits *c, const struct addr *a,
                              uint64_t now_ms, struct limit_verdict *ret)
{
    if (!limits_are_counted(a))
        return true;
    uint64_t rate = limits_login_rate(l, c, a);
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = rate ? limit_source_take(t, &from) : limit_source_find(t, &from);
    if (!s) {
        pthread_mutex_unlock(&t->lock);
        return true;
    }
    bool is_banned = limit_past_is_banned(s->past, now_ms);
    if (is_banned)
        ret->kind = LIMIT_BAN;
    bool may = !is_banned && source_take_rate(s, rate, now_ms, ret);
    limits_settle_source(l, t, s, c, now_ms);
    return may;
}

void limits_login(struct limits *l, const struct config_limits *c, const struct addr *a,
                  const char *user, unsigned own_max, uint64_t now_ms, struct limit_verdict *ret)
{
    verdict_none(ret);
    if (verdict_ban(l, a, user, now_ms, ret))
        return;
    if (!user || !*user) {
        (void)limits_admit_from(l, c, a, now_ms, ret);
        return;
    }
    uint64_t max = limits_max_user_sessions(l, c, user, own_max);
    const struct hashed_key name = hashed_key_of(str_of(user));
    struct limit_users *t = limits_lock_users(l, &name);
    struct limit_user *u = limit_user_take(t, &name);
    if (u)
        u->own_max = own_max;
    if (u && max && sessions_of_all(u->sessions, u->near) >= max) {
        u->refused++;
        ret->kind = LIMIT_USER_SESSIONS;
        (void)str_copy(ret->text, sizeof(ret->text), STR("Too many connections of this user."));
    } else if (limits_admit_from(l, c, a, now_ms, ret) && u) {
        u->sessions++;
        ret->is_counted = true;
        if (limits_is_near(limits_nodes(&l->n_nodes_users), u->sessions, max))
            (void)limit_near_take(&t->near, &t->n_near, &u->near, u);
    }
    if (u)
        limit_user_settle(t, u);
    pthread_mutex_unlock(&t->lock);
}

void limits_logout(struct limits *l, const char *user)
{
    const struct hashed_key name = hashed_key_of(str_of(user));
    struct limit_users *t = limits_lock_users(l, &name);
    struct limit_user *u = limit_user_find(t, &name);
    if (u && u->sessions > 0) {
        u->sessions--;
        limit_user_settle(t, u);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- sessions of other engines ---- */

static uint32_t sessions_shifted(uint32_t sessions, int64_t by)
{
    int64_t n = (int64_t)sessions + by;
    return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void limits_shift_source(struct limits *l, const struct config_limits *c, const struct addr *a,
                         int64_t by, uint64_t now_ms)
{
    if (!limits_are_counted(a))
        return;
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_take(t, &from);
    if (!s) {
        pthread_mutex_unlock(&t->lock);
        return;
    }
    s->sessions = sessions_shifted(s->sessions, by);
    limits_settle_source(l, t, s, c, now_ms);
}

void limits_shift_user(struct limits *l, const char *user, int64_t by)
{
    const struct hashed_key name = hashed_key_of(str_of(user));
    struct limit_users *t = limits_lock_users(l, &name);
    struct limit_user *u = limit_user_take(t, &name);
    if (u) {
        u->sessions = sessions_shifted(u->sessions, by);
        limit_user_settle(t, u);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- time passes ---- */

static void sources_expire(struct limits *l, struct limit_sources *t, const struct config_limits *c,
                           uint64_t now_ms)
{
    struct list expired;
    list_init(&expired);
    pthread_mutex_lock(&t->lock);
    wheel_advance(&t->wheel, now_ms, &expired);
    LIST_FOREACH_SAFE (it, &expired) {
        struct limit_source *s = CONTAINER_OF(it, struct limit_past, timer.link)->source;
        uint64_t rate = limits_login_rate(l, c, &s->addr);
        list_del(it);
        limit_source_settle(t, s, limit_past_keep_until(s->past, c, rate, now_ms), now_ms);
    }
    pthread_mutex_unlock(&t->lock);
}

void limits_expire(struct limits *l, const struct config_limits *c, const struct rules_time *now)
{
    for (size_t i = 0; i < l->n_stripes; i++)
        sources_expire(l, &l->sources[i], c, now->ms);
    rules_expire(&l->bans, now);
    rules_expire(&l->overrides, now);
    pthread_mutex_lock(&l->guesses_lock);
    guesses_expire(&l->guesses, c->spray_window_ms, now->ms);
    pthread_mutex_unlock(&l->guesses_lock);
}

/* ---- looking ---- */

struct limit_source_facts limits_look_source(struct limits *l, const struct config_limits *c,
                                             const struct addr *a, uint64_t now_ms)
{
    struct limit_source_facts f = {0};
    if (!limits_are_counted(a))
        return f;
    uint64_t rate = limits_login_rate(l, c, a);
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    const struct limit_source *s = limit_source_find(t, &from);
    const struct limit_past *p = s ? s->past : NULL;
    if (s)
        f = (struct limit_source_facts){.is_known = true,
                                        .sessions = s->sessions,
                                        .sessions_elsewhere = s->near ? s->near->sessions : 0,
                                        .failures_elsewhere = s->near ? s->near->failures : 0};
    if (p) {
        f.refused = p->refused;
        f.logins = (limit_past_level(p, rate, now_ms) + 999) / 1000;
        f.failures = limit_past_failures(p, c, now_ms);
        f.users = limit_past_users(p, c, now_ms);
    }
    if (s && s->near) {
        static const struct distinct none = {0};
        f.users = distinct_count_with(p && f.users > 0 ? &p->fails : &none, &s->near->failed);
    }
    pthread_mutex_unlock(&t->lock);
    return f;
}

struct limit_user_facts limits_look_user(struct limits *l, const char *user)
{
    struct limit_user_facts f = {0};
    const struct hashed_key name = hashed_key_of(str_of(user));
    struct limit_users *t = limits_lock_users(l, &name);
    const struct limit_user *u = limit_user_find(t, &name);
    if (u)
        f = (struct limit_user_facts){.is_known = true,
                                      .sessions = u->sessions,
                                      .refused = u->refused,
                                      .own_max = u->own_max,
                                      .sessions_elsewhere = u->near ? u->near->sessions : 0};
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_lock(&l->guesses_lock);
    const struct guess *g = guesses_find(&l->guesses, user);
    f.n_passwords = g ? guess_passwords(g) : 0;
    f.n_addresses = g ? guess_addresses(g) : 0;
    pthread_mutex_unlock(&l->guesses_lock);
    return f;
}

struct limits_count limits_count(struct limits *l)
{
    struct limits_count n = {0};
    for (size_t i = 0; i < l->n_stripes; i++) {
        pthread_mutex_lock(&l->sources[i].lock);
        n.sources += l->sources[i].by_addr.count;
        pthread_mutex_unlock(&l->sources[i].lock);
        pthread_mutex_lock(&l->users[i].lock);
        n.users += l->users[i].by_name.count;
        pthread_mutex_unlock(&l->users[i].lock);
    }
    pthread_mutex_lock(&l->guesses_lock);
    n.guesses = l->guesses.by_user.count;
    pthread_mutex_unlock(&l->guesses_lock);
    return n;
}
