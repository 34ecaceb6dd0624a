/* SPDX-License-Identifier: ISC */
/* Counting sessions, logins and failures. */
#include "limits/limits.h"

#include "base/hash.h"

#define LIMITS_MINUTE_MS 60000
#define LIMITS_LEVEL_MAX 4000000u /* 4,000 logins a minute, far over any limit, in 1/1000 */
#define LIMITS_DELAY_LEAST_MS 1000

/* What an address did, as long as it counts. */
struct limit_past {
    struct limit_source *source;
    struct list idle; /* of limits.idle */
    struct wheel_timer timer;
    uint32_t failures;
    uint32_t level_milli;       /* logins of the last minute, drained as time goes by; in 1/1000 */
    struct distinct guesses;    /* wrong credentials of the failures */
    struct distinct fails, oks; /* users that failed, and that logged in since the first failed */
    uint64_t level_at_ms, failures_since_ms, users_since_ms, news_ms;
};

/* ---- sources ---- */

/* IPv4 is kept mapped: the bytes tell the families apart. */
static struct str addr_key(const struct addr *key)
{
    return str_n((const char *)key->ip, sizeof(key->ip));
}

static struct str source_key(const void *item)
{
    const struct limit_source *s = item;
    return addr_key(&s->addr);
}

static bool source_is_counted(const struct addr *a)
{
    return a->family == AF_INET || a->family == AF_INET6;
}

const struct limit_source *limits_source(const struct limits *l, const struct addr *a)
{
    struct addr key = addr_limit_key(a);
    return !source_is_counted(a) ? NULL : table_get(&l->sources_by_addr, addr_key(&key));
}

static struct limit_source *source_find(const struct limits *l, const struct addr *a)
{
    return (struct limit_source *)limits_source(l, a);
}

/* NULL when out of memory, or for peers without an address. */
static struct limit_source *source_take(struct limits *l, const struct addr *a)
{
    struct limit_source *s = source_find(l, a);
    if (s || !source_is_counted(a))
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->addr = addr_limit_key(a);
    if (table_add(&l->sources_by_addr, s) < 0) {
        free(s);
        return NULL;
    }
    list_add_tail(&l->sources, &s->link);
    return s;
}

/* NULL when out of memory: then it does not count. */
static struct limit_past *source_past(struct limit_source *s)
{
    if (s->past || !(s->past = calloc(1, sizeof(*s->past))))
        return s->past;
    s->past->source = s;
    list_init(&s->past->idle);
    wheel_timer_init(&s->past->timer);
    return s->past;
}

static void source_awake(struct limits *l, struct limit_source *s)
{
    if (!s->past || list_is_empty(&s->past->idle))
        return;
    list_del(&s->past->idle);
    l->n_idle--;
}

static void source_forget(struct limits *l, struct limit_source *s)
{
    if (!s->past)
        return;
    source_awake(l, s);
    wheel_cancel(&l->wheel, &s->past->timer);
    free(STEAL(s->past));
}

static void source_free(struct limits *l, struct limit_source *s)
{
    source_forget(l, s);
    safe_iters_skip(&l->walks, &s->link);
    list_del(&s->link);
    (void)table_del(&l->sources_by_addr, addr_key(&s->addr));
    free(s);
}

/* ---- the rate: a bucket that leaks one minute's logins in a minute ---- */

static uint32_t level_now(const struct limit_past *p, uint64_t rate, uint64_t now_ms)
{
    if (!p || rate == 0)
        return 0;
    uint64_t since = now_ms > p->level_at_ms ? now_ms - p->level_at_ms : 0;
    if (since >= LIMITS_MINUTE_MS)
        return 0;
    uint64_t leaked = rate * 1000 * since / LIMITS_MINUTE_MS;
    return leaked < p->level_milli ? p->level_milli - (uint32_t)leaked : 0;
}

/* ---- failures: those of a window that begins with the first ---- */

static bool failures_are_over(const struct limit_past *p, const struct config_limits *c,
                              uint64_t now_ms)
{
    return now_ms >= p->failures_since_ms + c->failure_window_ms;
}

static void failures_clear(struct limit_past *p)
{
    p->failures = 0;
    p->guesses = (struct distinct){0};
}

/* Beyond those that are to be expected of as many people. */
static uint32_t failures_count(const struct limit_past *p)
{
    uint32_t n_oks = distinct_count(&p->oks);
    return p->failures > n_oks ? p->failures - n_oks : 0;
}

static bool users_are_over(const struct limit_past *p, const struct config_limits *c,
                           uint64_t now_ms)
{
    return p->users_since_ms == 0 || now_ms >= p->users_since_ms + c->spray_window_ms;
}

/* ---- what is kept ---- */

/* When nothing of it will count any more; now or earlier = already so. */
static uint64_t past_keep_until(const struct limits *l, const struct limit_past *p,
                                const struct config_limits *c, uint64_t now_ms)
{
    const struct limit_source *s = p->source;
    uint64_t until = 0;
    if (p->failures > 0 && !failures_are_over(p, c, now_ms))
        until = p->failures_since_ms + c->failure_window_ms;
    if (level_now(p, limits_login_rate(l, c, &s->addr), now_ms) > 0 &&
        until < p->level_at_ms + LIMITS_MINUTE_MS)
        until = p->level_at_ms + LIMITS_MINUTE_MS;
    if (c->users_before_ban > 0 && !users_are_over(p, c, now_ms) &&
        until < p->users_since_ms + c->spray_window_ms)
        until = p->users_since_ms + c->spray_window_ms;
    if (s->sessions > 0 && p->news_ms && until < p->news_ms + LIMITS_NEWS_MS)
        until = p->news_ms + LIMITS_NEWS_MS;
    return until;
}

/* After each change: what is over is forgotten, and a source without sessions and past, too. */
static void source_settle(struct limits *l, struct limit_source *s, const struct config_limits *c,
                          uint64_t now_ms)
{
    uint64_t until = s->past ? past_keep_until(l, s->past, c, now_ms) : 0;
    if (until > now_ms)
        wheel_set(&l->wheel, &s->past->timer, until);
    else
        source_forget(l, s);
    if (s->sessions > 0) {
        source_awake(l, s);
        return;
    }
    if (!s->past) {
        source_free(l, s);
        return;
    }
    if (list_is_empty(&s->past->idle)) {
        list_add_tail(&l->idle, &s->past->idle);
        l->n_idle++;
    }
    if (l->n_idle > l->max_idle)
        source_free(l, LIST_ITEM(l->idle.next, struct limit_past, idle)->source);
}

/* ---- users ---- */

static struct str user_key(const void *item)
{
    return str_of(((const struct limit_user *)item)->name);
}

static struct limit_user *user_find(const struct limits *l, const char *name)
{
    return table_get(&l->users_by_name, str_of(name));
}

const struct limit_user *limits_user(const struct limits *l, const char *user)
{
    return user_find(l, user);
}

static struct limit_user *user_take(struct limits *l, const char *name)
{
    struct limit_user *u = user_find(l, name);
    size_t n = strlen(name);
    if (u || !(u = calloc(1, sizeof(*u) + n + 1)))
        return u;
    memcpy(u->name, name, n + 1);
    if (table_add(&l->users_by_name, u) < 0) {
        free(u);
        return NULL;
    }
    list_add_tail(&l->users, &u->link);
    return u;
}

static void user_settle(struct limits *l, struct limit_user *u)
{
    if (u->sessions > 0)
        return;
    safe_iters_skip(&l->walks, &u->link);
    list_del(&u->link);
    (void)table_del(&l->users_by_name, str_of(u->name));
    free(u);
}

/* ---- life ---- */

void limits_init(struct limits *l, size_t max_idle, uint64_t now_ms)
{
    *l = (struct limits){
        .max_idle = max_idle, .sources_by_addr.key = source_key, .users_by_name.key = user_key};
    list_init(&l->sources);
    list_init(&l->users);
    list_init(&l->idle);
    list_init(&l->walks);
    wheel_init(&l->wheel, now_ms);
    rules_init(&l->bans, LIMITS_BANS_MAX, now_ms);
    rules_init(&l->overrides, LIMITS_BANS_MAX, now_ms);
    guesses_init(&l->guesses, GUESSES_MAX);
    hash_random(l->key, sizeof(l->key));
}

void limits_fini(struct limits *l)
{
    LIST_FOREACH_SAFE (it, &l->sources) {
        struct limit_source *s = LIST_ITEM(it, struct limit_source, link);
        free(s->past);
        free(s);
    }
    LIST_FOREACH_SAFE (it, &l->users)
        free(LIST_ITEM(it, struct limit_user, link));
    table_fini(&l->sources_by_addr);
    table_fini(&l->users_by_name);
    rules_fini(&l->bans);
    rules_fini(&l->overrides);
    guesses_fini(&l->guesses);
}

bool limits_has_rules(const struct limits *l)
{
    return rules_count(&l->bans) > 0 || rules_count(&l->overrides) > 0;
}

/* ---- what is in force ---- */

uint64_t limits_max_sessions(const struct limits *l, const struct config_limits *c,
                             const struct addr *a)
{
    const struct rule *r = rules_match_addr(&l->overrides, a);
    if (r && r->sessions != RULE_KEEP)
        return r->sessions;
    return config_limits_trust(c, a) ? 0 : c->sessions_per_ip;
}

uint64_t limits_login_rate(const struct limits *l, const struct config_limits *c,
                           const struct addr *a)
{
    const struct rule *r = rules_match_addr(&l->overrides, a);
    if (r && r->login_rate != RULE_KEEP)
        return r->login_rate;
    return config_limits_trust(c, a) ? 0 : c->login_rate_per_minute;
}

/* Without an override, and without a configured number: delays only, RULE_KEEP. */
static uint64_t limits_failures(const struct limits *l, const struct config_limits *c,
                                const struct addr *a)
{
    const struct rule *r = rules_match_addr(&l->overrides, a);
    if (r && r->failures != RULE_KEEP)
        return r->failures;
    if (config_limits_trust(c, a))
        return 0;
    return c->failures_before_ban ? c->failures_before_ban : RULE_KEEP;
}

uint64_t limits_max_failures(const struct limits *l, const struct config_limits *c,
                             const struct addr *a)
{
    uint64_t most = limits_failures(l, c, a);
    return most == RULE_KEEP ? 0 : most;
}

uint64_t limits_max_user_sessions(const struct limits *l, const struct config_limits *c,
                                  const char *user, unsigned own_max)
{
    const struct rule *r = rules_match_user(&l->overrides, user);
    if (r && r->sessions != RULE_KEEP)
        return r->sessions;
    return own_max ? own_max : c->sessions_per_user;
}

uint32_t limit_source_failures(const struct limit_source *s, const struct config_limits *c,
                               const struct rules_time *now)
{
    const struct limit_past *p = s ? s->past : NULL;
    return !p || failures_are_over(p, c, now->ms) ? 0 : failures_count(p);
}

uint32_t limit_source_users(const struct limit_source *s, const struct config_limits *c,
                            const struct rules_time *now)
{
    const struct limit_past *p = s ? s->past : NULL;
    return !p || users_are_over(p, c, now->ms) ? 0 : distinct_count(&p->fails);
}

uint32_t limit_source_logins(const struct limits *l, const struct limit_source *s,
                             const struct config_limits *c, const struct rules_time *now)
{
    return s ? (level_now(s->past, limits_login_rate(l, c, &s->addr), now->ms) + 999) / 1000 : 0;
}

/* n failures, of which `free` do not slow the answers down; 0 = none ever does. */
static uint64_t delay_grown(uint32_t free, uint32_t n, uint64_t delay_ms)
{
    if (free == 0 || n <= free)
        return delay_ms;
    uint32_t over = n - free;
    uint64_t first = delay_ms < LIMITS_DELAY_LEAST_MS ? LIMITS_DELAY_LEAST_MS : delay_ms;
    uint64_t most = delay_ms > LIMITS_DELAY_MAX_MS ? delay_ms : LIMITS_DELAY_MAX_MS;
    uint64_t grown = over < 16 ? first << over : most;
    return grown < most ? grown : most;
}

uint64_t limits_delay(const struct config_limits *c, uint32_t failures, uint64_t delay_ms)
{
    return delay_grown(c->failures_before_delay, failures, delay_ms);
}

/* ---- judging ---- */

static bool news_is_due(uint64_t *last_ms, uint64_t now_ms)
{
    if (*last_ms && now_ms < *last_ms + LIMITS_NEWS_MS)
        return false;
    *last_ms = now_ms ? now_ms : 1;
    return true;
}

static struct limit_verdict verdict_ban(struct rule *ban, const struct rules_time *now)
{
    ban->hits++;
    return (struct limit_verdict){
        .kind = LIMIT_BAN, .is_news = news_is_due(&ban->hit_ms, now->ms), .text = ban->text};
}

static struct limit_verdict verdict_source(struct limit_source *s, enum limit_kind kind,
                                           const char *text, const struct rules_time *now)
{
    struct limit_past *p = source_past(s);
    s->refused++;
    return (struct limit_verdict){
        .kind = kind, .is_news = !p || news_is_due(&p->news_ms, now->ms), .text = text};
}

struct limit_verdict limits_connect(struct limits *l, const struct config_limits *c,
                                    const struct addr *a, bool is_forced,
                                    const struct rules_time *now)
{
    struct rule *ban = is_forced ? NULL : rules_match_addr(&l->bans, a);
    if (ban)
        return verdict_ban(ban, now);
    struct limit_source *s = source_take(l, a);
    if (!s)
        return (struct limit_verdict){.kind = LIMIT_NONE};
    uint64_t max = is_forced ? 0 : limits_max_sessions(l, c, a);
    if (max && s->sessions >= max) {
        struct limit_verdict v = verdict_source(s, LIMIT_ADDRESS_SESSIONS,
                                                "Too many connections from your address.", now);
        source_settle(l, s, c, now->ms);
        return v;
    }
    s->sessions++;
    source_settle(l, s, c, now->ms);
    return (struct limit_verdict){.kind = LIMIT_NONE, .is_counted = true};
}

void limits_disconnect(struct limits *l, const struct config_limits *c, const struct addr *a,
                       const struct rules_time *now)
{
    struct limit_source *s = source_find(l, a);
    if (!s || s->sessions == 0)
        return;
    s->sessions--;
    source_settle(l, s, c, now->ms);
}

/* A login for the rate; false: one too many. */
static bool limits_take_rate(struct limits *l, const struct config_limits *c, const struct addr *a,
                             bool is_forced, const struct rules_time *now,
                             struct limit_verdict *ret)
{
    uint64_t rate = limits_login_rate(l, c, a);
    struct limit_source *s = rate ? source_take(l, a) : NULL;
    if (!s)
        return true;
    uint32_t level = level_now(s->past, rate, now->ms);
    bool is_over = !is_forced && level + 1000 > rate * 1000;
    struct limit_past *p = is_over ? NULL : source_past(s);
    if (is_over)
        *ret = verdict_source(s, LIMIT_RATE, "Too many logins from your address, try again later.",
                              now);
    if (p) {
        p->level_milli = level < LIMITS_LEVEL_MAX ? level + 1000 : level;
        p->level_at_ms = now->ms;
    }
    source_settle(l, s, c, now->ms);
    return !is_over;
}

struct limit_verdict limits_login(struct limits *l, const struct config_limits *c,
                                  const struct addr *a, const char *user, unsigned own_max,
                                  const struct rules_time *now)
{
    struct limit_verdict v = {.kind = LIMIT_NONE};
    struct rule *ban = rules_match_user(&l->bans, user);
    if (!ban)
        ban = rules_match_addr(&l->bans, a);
    if (ban)
        return verdict_ban(ban, now);
    struct limit_user *u = user && *user ? user_take(l, user) : NULL;
    uint64_t max = limits_max_user_sessions(l, c, user, own_max);
    if (u)
        u->own_max = own_max;
    if (u && max && u->sessions >= max) {
        u->refused++;
        v.kind = LIMIT_USER_SESSIONS;
        v.text = "Too many connections of this user.";
    } else if (limits_take_rate(l, c, a, false, now, &v) && u) {
        u->sessions++;
        v.is_counted = true;
    }
    if (u)
        user_settle(l, u);
    return v;
}

int limits_count_login(struct limits *l, const struct config_limits *c, const struct addr *a,
                       const char *user, const struct rules_time *now)
{
    struct limit_verdict unused;
    struct limit_user *u = user_take(l, user);
    (void)limits_take_rate(l, c, a, true, now, &unused);
    if (!u)
        return -ERR_NOMEM;
    u->sessions++;
    return 0;
}

void limits_logout(struct limits *l, const char *user)
{
    struct limit_user *u = user_find(l, user);
    if (!u || u->sessions == 0)
        return;
    u->sessions--;
    user_settle(l, u);
}

/* ---- failures ---- */

void limits_welcome(struct limits *l, const struct addr *a, const char *user)
{
    struct limit_source *s = source_find(l, a);
    if (s && s->past)
        (void)distinct_add(&s->past->oks, (uint32_t)hash_sip(l->key, str_of(user)));
}

/* Wrong passwords of one user, wherever they come from. */
static void fail_user(struct limits *l, const struct config_limits *c, const struct addr *a,
                      const char *user, uint32_t credentials, uint64_t delay_ms,
                      const struct rules_time *now, struct limit_failure *f)
{
    if (!user || !*user || credentials == 0 || c->passwords_before_delay == 0)
        return;
    guesses_expire(&l->guesses, c->spray_window_ms, now->ms);
    const struct guess *before = guesses_find(&l->guesses, user);
    bool was_known = before && distinct_count(&before->passwords) > c->passwords_before_delay;
    const struct guess *e = guesses_add(&l->guesses, user, credentials, a, now->ms);
    if (!e)
        return;
    uint32_t n = distinct_count(&e->passwords);
    uint64_t grown = delay_grown(c->passwords_before_delay, n, delay_ms);
    if (grown > f->delay_ms)
        f->delay_ms = grown;
    if (n > c->passwords_before_delay && !was_known)
        f->guess = e;
}

static void fail_source(struct limits *l, const struct config_limits *c, const struct addr *a,
                        const char *user, uint32_t credentials, uint64_t delay_ms,
                        const struct rules_time *now, struct limit_failure *f)
{
    bool has_user = user && c->users_before_ban > 0;
    uint64_t most = limits_failures(l, c, a);
    bool is_on = c->failures_before_delay > 0 || most != RULE_KEEP || has_user;
    struct limit_source *s = is_on && most > 0 ? source_take(l, a) : NULL;
    struct limit_past *p = s ? source_past(s) : NULL;
    if (s && !p)
        source_settle(l, s, c, now->ms);
    if (!p)
        return;
    if (p->failures == 0 || failures_are_over(p, c, now->ms)) {
        failures_clear(p);
        p->failures_since_ms = now->ms;
    }
    /* A repeat of the same credentials is no further guess. Of hundreds of credentials (the phones
     * of an office after a change of passwords) some look like repeats of others, until nothing can
     * be told and all count. */
    if (credentials == 0 || distinct_add(&p->guesses, credentials) || distinct_is_full(&p->guesses))
        p->failures++;
    if (has_user && *user) {
        if (users_are_over(p, c, now->ms)) {
            p->fails = p->oks = (struct distinct){0};
            p->users_since_ms = now->ms ? now->ms : 1;
        }
        bool is_other = distinct_add(&p->fails, (uint32_t)hash_sip(l->key, str_of(user)));
        uint32_t n = distinct_count(&p->fails);
        f->is_spraying = is_other && n >= c->users_before_ban && n > distinct_count(&p->oks);
    }
    f->n = f->is_spraying ? distinct_count(&p->fails) : p->failures;
    f->delay_ms = limits_delay(c, failures_count(p), delay_ms);
    if (f->is_spraying || failures_count(p) >= most) {
        f->ban = rules_match_addr(&l->bans, a);
        if (!f->ban) {
            struct rule_spec spec = {.is_automatic = true,
                                     .created_ms = now->wall_ms,
                                     .until_ms = c->ban_ms ? now->wall_ms + c->ban_ms : 0};
            limit_target_of_addr(&spec.subject, a);
            f->is_new_ban = rules_put(&l->bans, &spec, now, &f->ban) == 0;
        }
        if (f->ban)
            failures_clear(p);
    }
    source_settle(l, s, c, now->ms);
}

struct limit_failure limits_fail(struct limits *l, const struct config_limits *c,
                                 const struct addr *a, const char *user, uint32_t credentials,
                                 uint64_t delay_ms, const struct rules_time *now)
{
    struct limit_failure f = {.delay_ms = delay_ms};
    fail_source(l, c, a, user, credentials, delay_ms, now, &f);
    fail_user(l, c, a, user, credentials, delay_ms, now, &f);
    return f;
}

bool limits_forget(struct limits *l, const struct config_limits *c,
                   const struct limit_target *subject, const struct rules_time *now)
{
    struct addr a = {.family = subject->net.family};
    memcpy(a.ip, subject->net.ip, sizeof(a.ip));
    if (subject->kind == LIMIT_TARGET_USER) {
        struct limit_user *u = user_find(l, subject->user);
        bool was_refused = u && u->refused > 0;
        if (u)
            u->refused = 0;
        return guesses_forget(&l->guesses, subject->user) || was_refused;
    }
    struct limit_source *s = source_find(l, &a);
    bool was_known = s && (s->past || s->refused > 0);
    if (!was_known)
        return false;
    source_forget(l, s);
    s->refused = 0;
    source_settle(l, s, c, now->ms);
    return true;
}

void limits_expire(struct limits *l, const struct config_limits *c, const struct rules_time *now)
{
    struct list expired;
    list_init(&expired);
    wheel_advance(&l->wheel, now->ms, &expired);
    LIST_FOREACH_SAFE (it, &expired) {
        struct limit_past *p = CONTAINER_OF(it, struct limit_past, timer.link);
        list_del(it);
        source_settle(l, p->source, c, now->ms);
    }
    rules_expire(&l->bans, now);
    rules_expire(&l->overrides, now);
    guesses_expire(&l->guesses, c->spray_window_ms, now->ms);
}
