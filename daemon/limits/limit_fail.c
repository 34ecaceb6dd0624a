/* SPDX-License-Identifier: ISC */
/* Failed logins: counted for the address and for the user, answered the later the more there are,
 * and what makes an address due for a ban. */
#include "base/hash.h"
#include "limits/limits_priv.h"

#define LIMITS_DELAY_LEAST_MS 1000

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

void limits_welcome(struct limits *l, const struct addr *a, const char *user)
{
    if (!limits_are_counted(a))
        return;
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    const struct limit_source *s = limit_source_find(t, &from);
    if (s && s->past)
        (void)distinct_add(&s->past->oks, (uint32_t)hash_sip(l->share_key, str_of(user)));
    pthread_mutex_unlock(&t->lock);
}

/* Wrong passwords of one user, wherever they come from. */
static void fail_user(struct limits *l, const struct config_limits *c, const struct addr *a,
                      const char *user, uint32_t credentials, uint64_t delay_ms, uint64_t now_ms,
                      struct limit_failure *ret)
{
    if (!user || !*user || credentials == 0 || c->passwords_before_delay == 0)
        return;
    pthread_mutex_lock(&l->guesses_lock);
    guesses_expire(&l->guesses, c->spray_window_ms, now_ms);
    const struct guess *before = guesses_find(&l->guesses, user);
    bool was_known = before && guess_passwords(before) > c->passwords_before_delay;
    const struct guess *e = guesses_add(&l->guesses, user, credentials, a, now_ms);
    if (e) {
        ret->n_passwords = guess_passwords(e);
        ret->n_addresses = guess_addresses(e);
        if (limits_is_near(limits_nodes(&l->n_nodes), distinct_count(&e->passwords),
                           c->passwords_before_delay))
            guesses_set_near(&l->guesses, user, true);
    }
    pthread_mutex_unlock(&l->guesses_lock);
    uint64_t grown_ms = delay_grown(c->passwords_before_delay, ret->n_passwords, delay_ms);
    if (grown_ms > ret->delay_ms)
        ret->delay_ms = grown_ms;
    ret->is_guessed_at = ret->n_passwords > c->passwords_before_delay && !was_known;
}

static void fail_source(struct limits *l, const struct config_limits *c, const struct addr *a,
                        const char *user, uint32_t credentials, uint64_t delay_ms, uint64_t now_ms,
                        struct limit_failure *ret)
{
    uint64_t most = limits_failures(l, c, a);
    bool is_on =
        c->failures_before_delay > 0 || most != RULE_KEEP || (user && c->users_before_ban > 0);
    if (!is_on || most == 0 || !limits_are_counted(a))
        return;
    const struct limit_from from = limit_from_of(a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_take(t, &from);
    struct limit_past *p = s ? limit_source_past(s) : NULL;
    uint32_t others = s && s->near ? s->near->failures : 0, count = 0;
    if (p) {
        uint32_t hash = user && *user ? (uint32_t)hash_sip(l->share_key, str_of(user)) : 0;
        struct limit_past_failure f =
            limit_past_fail(p, c, user && *user ? &hash : NULL, credentials, now_ms);
        count = f.failures > UINT32_MAX - others ? UINT32_MAX : f.failures + others;
        ret->is_spraying = f.is_spraying;
        ret->n = f.is_spraying ? f.users : p->failures + others;
        ret->delay_ms = limits_delay(c, count, delay_ms);
        unsigned n_nodes = limits_nodes(&l->n_nodes);
        if (limits_is_near(n_nodes, f.failures, limits_first_failures(c, most)) ||
            limits_is_near(n_nodes, distinct_count(&p->fails), c->users_before_ban))
            (void)limit_near_take(&t->near, &t->n_near, &s->near, s);
    }
    if (p && (ret->is_spraying || count >= most)) {
        struct rule_hit hit = {0};
        ret->is_banned = true;
        if (!rules_hit(&l->bans, a, NULL, now_ms, &hit) && !limit_past_is_banned(s->past, now_ms)) {
            ret->is_ban_due = true;
            p->ban_due_ms = now_ms + LIMITS_BAN_DUE_MS;
        }
        (void)str_copy(ret->text, sizeof(ret->text), str_of(hit.text));
        limit_past_clear_failures(p);
    }
    if (s)
        limits_settle_source(l, t, s, c, now_ms);
    else
        pthread_mutex_unlock(&t->lock);
}

void limits_fail(struct limits *l, const struct config_limits *c, const struct addr *a,
                 const char *user, uint32_t credentials, uint64_t delay_ms, uint64_t now_ms,
                 struct limit_failure *ret)
{
    *ret = (struct limit_failure){.delay_ms = delay_ms};
    fail_source(l, c, a, user, credentials, delay_ms, now_ms, ret);
    fail_user(l, c, a, user, credentials, delay_ms, now_ms, ret);
}

static bool forget_user(struct limits *l, const char *user)
{
    const struct hashed_key name = hashed_key_of(str_of(user));
    struct limit_users *t = limits_lock_users(l, &name);
    struct limit_user *u = limit_user_find(t, &name);
    bool was_refused = u && u->refused > 0;
    if (u)
        u->refused = 0;
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_lock(&l->guesses_lock);
    bool was_guessed = guesses_forget(&l->guesses, user);
    pthread_mutex_unlock(&l->guesses_lock);
    return was_guessed || was_refused;
}

bool limits_forget(struct limits *l, const struct config_limits *c,
                   const struct limit_target *subject, uint64_t now_ms)
{
    struct addr a = {.family = subject->net.family};
    memcpy(a.ip, subject->net.ip, sizeof(a.ip));
    if (subject->kind == LIMIT_TARGET_USER)
        return forget_user(l, subject->user);
    if (!limits_are_counted(&a))
        return false;
    const struct limit_from from = limit_from_of(&a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = limit_source_find(t, &from);
    bool was_known = s && s->past;
    if (!was_known) {
        pthread_mutex_unlock(&t->lock);
        return false;
    }
    limit_source_forget(t, s);
    limits_settle_source(l, t, s, c, now_ms);
    return true;
}
