/* SPDX-License-Identifier: ISC */
/* Asking the table, and what follows: words for the client, log, events, and the store. */
#include "runtime/limiter.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "rpc/rows.h"
#include "runtime/state.h"
#include "session/session.h"
#include "store/store.h"

#define LIMITER_TICK_MS 1000

struct limiter {
    struct control *control;
    struct limits limits;
    struct loop_timer tick;
    struct rule_batch *next; /* the daemon's own changes that wait for the ones being written */
    struct list jobs;        /* lists that are being answered */
    uint64_t bans_made;
    bool is_writing, is_ruled;
};

struct list *limiter_jobs(struct limiter *l)
{
    return &l->jobs;
}

struct limits *limiter_limits(struct limiter *l)
{
    return &l->limits;
}

struct rules_time limiter_now(const struct limiter *l)
{
    return (struct rules_time){.ms = loop_now_ms(l->control->host->loop),
                               .wall_ms = clock_wall_ms()};
}

const struct config_limits *limiter_config(const struct limiter *l)
{
    return &control_setup(l->control)->config->limits;
}

void limiter_changed(struct limiter *l)
{
    const struct engine_api *h = l->control->host;
    bool is_ruled = limits_has_rules(&l->limits);
    if (is_ruled == l->is_ruled)
        return;
    l->is_ruled = is_ruled;
    h->set_ruled(h->arg, is_ruled);
}

/* ---- the store ---- */

static struct rules *limiter_rules(struct limiter *l, const char *kind)
{
    return strcmp(kind, RULE_DB_BAN) == 0 ? &l->limits.bans : &l->limits.overrides;
}

/* The rule may be another one by now. */
static void on_rule_stored(void *arg, const char *kind, const struct limit_target *s,
                           uint64_t created_ms)
{
    struct rule *r = rules_find(limiter_rules(arg, kind), s);
    if (r && r->created_ms == created_ms)
        r->is_stored = true;
}

void limiter_stored(struct limiter *l, const struct rule_batch *b)
{
    rule_batch_each(b, on_rule_stored, l);
}

static void limiter_write(struct limiter *l)
{
    struct rule_batch *b = l->next;
    if (l->is_writing || !b)
        return;
    l->is_writing = true;
    l->next = NULL;
    rule_batch_post(b);
}

static void on_written(struct rule_batch *b, int err)
{
    struct limiter *l = rule_batch_control(b)->limiter;
    if (!l)
        return;
    l->is_writing = false;
    if (err == 0)
        limiter_stored(l, b);
    limiter_write(l);
}

/* The batch that the next change goes into; NULL when out of memory. */
static struct rule_batch *limiter_batch(struct limiter *l)
{
    if (!l->next)
        l->next = rule_batch_new(l->control, NULL, on_written);
    return l->next;
}

/* ---- the ends of rules ---- */

static void limiter_gone(struct limiter *l, const char *kind, const struct rule *r)
{
    struct limit_target s;
    struct rule_batch *b = limiter_batch(l);
    rule_subject(r, &s);
    if (!b || rule_batch_remove(b, kind, &s) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-forgotten", KV_ERR("error", -ERR_NOMEM));
    limiter_write(l);
}

static void on_ban_gone(void *arg, const struct rule *r, enum rule_end why)
{
    struct limiter *l = arg;
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX];
    rule_subject(r, &s);
    limit_target_format(name, &s);
    const char *words = why == RULE_EXPIRED ? "over" : "given up for newer ones";
    LOG_EVENT(LOG_LEVEL_INFO, "ban-over", KV_STR("subject", name), KV_STR("reason", words),
              KV_U64("hits", r->hits));
    AUTO_FREE char *text = str_printf("the ban of %s is %s", name, words);
    control_event(l->control, "ban", NULL, NULL, r->user,
                  s.kind == LIMIT_TARGET_ADDRESS ? name : NULL, NULL, text);
    limiter_gone(l, RULE_DB_BAN, r);
}

static void on_override_gone(void *arg, const struct rule *r, enum rule_end why)
{
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX];
    (void)why;
    rule_subject(r, &s);
    limit_target_format(name, &s);
    LOG_EVENT(LOG_LEVEL_INFO, "limit-override-over", KV_STR("subject", name));
    limiter_gone(arg, RULE_DB_OVERRIDE, r);
}

/* ---- log lines about clients ---- */

static void on_lines_left_out(void *arg, const struct log_quota_report *r)
{
    const struct rules_time *now = arg;
    char name[LIMIT_TARGET_TEXT_MAX] = "all";
    struct limit_target s;
    if (r->addr) {
        limit_target_of_addr(&s, r->addr);
        limit_target_format(name, &s);
    }
    LOG_EVENT(LOG_LEVEL_NOTICE, "log-lines-left-out", KV_STR("client", name),
              KV_U64("lines", r->lines), KV_U64("logins", r->logins),
              KV_MS("seconds", now->ms > r->since_ms ? now->ms - r->since_ms : 0));
}

static void limiter_tell_left_out(struct limiter *l, bool is_end)
{
    struct rules_time now = limiter_now(l);
    if (l->control->host->log_quota)
        log_quota_tell(l->control->host->log_quota, is_end, now.ms, on_lines_left_out, &now);
}

static bool limiter_may_log(const struct limiter *l, const struct addr *peer)
{
    const struct config_limits *c = limiter_config(l);
    const struct log_quota_max max = {
        .per_address = config_limits_trust(c, peer) ? 0 : c->log_lines_per_minute,
        .total = c->log_total_per_minute};
    struct log_quota *q = l->control->host->log_quota;
    return !q || log_quota_take(q, peer, true, &max, limiter_now(l).ms);
}

static void on_limiter_tick(struct loop_timer *t)
{
    struct limiter *l = CONTAINER_OF(t, struct limiter, tick);
    const struct rules_time now = limiter_now(l);
    limits_expire(&l->limits, limiter_config(l), &now);
    limiter_changed(l);
    limiter_tell_left_out(l, false);
    loop_timer_set(l->control->host->loop, t, LIMITER_TICK_MS);
}

/* ---- life ---- */

/* What ended while the daemon was down leaves the store too. */
static void on_rule_loaded(void *arg, const char *kind, const struct rule_spec *spec)
{
    struct limiter *l = arg;
    const struct rules_time now = {.ms = clock_ms(), .wall_ms = clock_wall_ms()};
    struct rule *r;
    if (spec->until_ms && spec->until_ms <= now.wall_ms) {
        if (!limiter_batch(l) || rule_batch_remove(l->next, kind, &spec->subject) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-forgotten", KV_ERR("error", -ERR_NOMEM));
    } else if (rules_put(limiter_rules(l, kind), spec, &now, &r) < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-loaded", KV_ERR("error", -ERR_NOMEM));
    } else {
        r->is_stored = true;
    }
}

int limiter_new(struct control *c, struct limiter **ret, char **ret_error)
{
    struct limiter *l = calloc(1, sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->control = c;
    list_init(&l->jobs);
    limits_init(&l->limits, LIMITS_IDLE_MAX, clock_ms());
    l->limits.bans.gone = on_ban_gone;
    l->limits.overrides.gone = on_override_gone;
    l->limits.bans.arg = l->limits.overrides.arg = l;
    loop_timer_init(&l->tick, on_limiter_tick);
    int err = rule_db_load(c, on_rule_loaded, l);
    if (err < 0) {
        *ret_error = str_printf("bans cannot be read: %s", err_text(err));
        limiter_free(l);
        return err;
    }
    limiter_changed(l);
    limiter_write(l);
    loop_timer_set(c->host->loop, &l->tick, LIMITER_TICK_MS);
    *ret = l;
    return 0;
}

static void limiter_flush(struct limiter *l, const char *kind)
{
    LIST_FOREACH (it, &limiter_rules(l, kind)->all) {
        struct rule *r = LIST_ITEM(it, struct rule, link);
        int err = r->is_stored ? 0 : rule_db_put(l->control, kind, r);
        if (err < 0) {
            LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_ERR("error", err));
            return;
        }
    }
}

void limiter_free(struct limiter *l)
{
    if (!l)
        return;
    loop_timer_cancel(l->control->host->loop, &l->tick);
    limiter_tell_left_out(l, true);
    rows_drop(&l->jobs);
    rule_batch_free(l->next);
    limiter_flush(l, RULE_DB_BAN);
    limiter_flush(l, RULE_DB_OVERRIDE);
    limits_fini(&l->limits);
    free(l);
}

void limiter_figures(const struct limiter *l, struct limiter_figures *ret)
{
    *ret = (struct limiter_figures){
        .bans = rules_count(&l->limits.bans),
        .automatic_bans = l->limits.bans.n_automatic,
        .overrides = rules_count(&l->limits.overrides),
        .sources = l->limits.sources_by_addr.count,
        .users = l->limits.users_by_name.count,
        .bans_made = l->bans_made,
        .log_lines_left_out =
            l->control->host->log_quota ? log_quota_left_out(l->control->host->log_quota) : 0,
    };
}

/* ---- what accept and the workers ask ---- */

static const char *const limit_reasons[] = {
    [LIMIT_NONE] = "none",
    [LIMIT_BAN] = "banned",
    [LIMIT_ADDRESS_SESSIONS] = "sessions of the address",
    [LIMIT_USER_SESSIONS] = "sessions of the user",
    [LIMIT_RATE] = "login rate of the address",
};

static void limiter_log(const struct limit_verdict *v, const char *event, const struct addr *peer,
                        const char *user)
{
    char ip[ADDR_TEXT_MAX];
    addr_format_ip(ip, peer);
    LOG_EVENT(LOG_LEVEL_NOTICE, event, KV_STR("client", ip), KV_STR("user", user),
              KV_STR("reason", limit_reasons[v->kind]));
}

static void limiter_say(const struct limit_verdict *v, struct session_verdict *ret)
{
    *ret = (struct session_verdict){.is_refused = v->kind != LIMIT_NONE,
                                    .is_counted = v->is_counted,
                                    .kind = v->kind == LIMIT_BAN ? REPLY_BANNED : REPLY_LIMIT};
    (void)str_copy(ret->text, sizeof(ret->text), str_of(v->text));
}

void control_admit_client(struct control *c, const struct addr *peer, bool is_forced,
                          struct session_verdict *ret)
{
    struct limiter *l = c->limiter;
    const struct rules_time now = limiter_now(l);
    struct limit_verdict v = limits_connect(&l->limits, limiter_config(l), peer, is_forced, &now);
    if (v.is_news)
        limiter_log(&v, "client-refused", peer, NULL);
    limiter_say(&v, ret);
}

void control_admit_login(struct control *c, const struct addr *peer, const char *user,
                         unsigned own_max, struct session_verdict *ret)
{
    struct limiter *l = c->limiter;
    const struct rules_time now = limiter_now(l);
    struct limit_verdict v = limits_login(&l->limits, limiter_config(l), peer, user, own_max, &now);
    if (v.kind != LIMIT_NONE && limiter_may_log(l, peer))
        limiter_log(&v, "login-refused", peer, user);
    limiter_say(&v, ret);
}

bool control_count_login(struct control *c, const struct addr *peer, const char *user)
{
    struct limiter *l = c->limiter;
    const struct rules_time now = limiter_now(l);
    return limits_count_login(&l->limits, limiter_config(l), peer, user, &now) == 0;
}

void control_release(struct control *c, const struct addr *peer, const char *user)
{
    struct limiter *l = c->limiter;
    const struct rules_time now = limiter_now(l);
    if (peer)
        limits_disconnect(&l->limits, limiter_config(l), peer, &now);
    if (user)
        limits_logout(&l->limits, user);
}

/* A ban for failures: said in the log, to those who watch, and kept. */
static void limiter_announce(struct limiter *l, const struct limit_failure *f,
                             const struct addr *peer)
{
    const struct config_limits *c = limiter_config(l);
    struct rule *ban = f->ban;
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX], ip[ADDR_TEXT_MAX], length[32];
    rule_subject(ban, &s);
    limit_target_format(name, &s);
    addr_format_ip(ip, peer);
    units_human_duration(length, c->ban_ms);
    l->bans_made++;
    LOG_EVENT(LOG_LEVEL_NOTICE, "banned", KV_STR("subject", name), KV_STR("client", ip),
              KV_U64(f->is_spraying ? "users" : "failures", f->n), KV_MS("seconds", c->ban_ms));
    AUTO_FREE char *reason =
        str_printf(f->is_spraying ? "failed logins of %u users" : "%u failed logins", f->n);
    AUTO_FREE char *text = str_printf("%s is banned%s%s after %s", name, c->ban_ms ? " for " : "",
                                      c->ban_ms ? length : "", reason ? reason : "failures");
    control_event(l->control, "ban", NULL, NULL, NULL, ip, NULL, text);
    struct rule_batch *b = limiter_batch(l);
    if (!b || rule_batch_put(b, RULE_DB_BAN, ban, reason) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_ERR("error", -ERR_NOMEM));
    limiter_write(l);
    limiter_changed(l);
}

/* A user at whom is guessed: nobody is locked out for it, but an operator may want to know. */
static void limiter_say_guessed(struct limiter *l, const struct guess *g)
{
    unsigned passwords = distinct_count(&g->passwords), addresses = distinct_count(&g->addresses);
    LOG_EVENT(LOG_LEVEL_NOTICE, "user-guessed-at", KV_STR("user", g->user),
              KV_U64("passwords", passwords), KV_U64("addresses", addresses));
    AUTO_FREE char *text = str_printf("%u wrong passwords from %u address%s", passwords, addresses,
                                      addresses == 1 ? "" : "es");
    control_event(l->control, "guessing", NULL, NULL, g->user, NULL, NULL, text);
}

void control_welcome(struct control *c, const struct addr *peer, const char *user)
{
    limits_welcome(&c->limiter->limits, peer, user);
}

void control_note_failure(struct control *c, const struct addr *peer, const char *user,
                          uint32_t credentials, uint64_t delay_ms, struct session_verdict *ret)
{
    struct limiter *l = c->limiter;
    const struct rules_time now = limiter_now(l);
    char name[256];
    bool is_name = user && user_name_normalise(str_of(user), name) == 0;
    struct limit_failure f = limits_fail(&l->limits, limiter_config(l), peer, is_name ? name : NULL,
                                         credentials, delay_ms, &now);
    *ret = (struct session_verdict){
        .is_refused = f.ban != NULL, .kind = REPLY_BANNED, .delay_ms = f.delay_ms};
    if (f.ban)
        (void)str_copy(ret->text, sizeof(ret->text), str_of(f.ban->text));
    if (f.is_new_ban)
        limiter_announce(l, &f, peer);
    if (f.guess)
        limiter_say_guessed(l, f.guess);
}

/* ---- explaining ---- */

static int explain_ban(const struct rule *ban, struct buf *out)
{
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX], until[25];
    rule_subject(ban, &s);
    limit_target_format(name, &s);
    clock_format(until, ban->until_ms);
    return buf_printf(out, "refused: %s is banned%s%s", name, ban->until_ms ? " until " : "",
                      ban->until_ms ? until : "");
}

static int explain_source(const struct limiter *l, const struct addr *peer, struct buf *out)
{
    const struct config_limits *c = limiter_config(l);
    const struct rules_time now = limiter_now(l);
    const struct limit_source *s = limits_source(&l->limits, peer);
    uint64_t max = limits_max_sessions(&l->limits, c, peer);
    uint64_t rate = limits_login_rate(&l->limits, c, peer);
    if (s && max && s->sessions >= max)
        return buf_printf(out, "refused: the address has %u of %llu sessions", s->sessions,
                          (unsigned long long)max);
    if (s && rate && limit_source_logins(&l->limits, s, c, &now) >= rate)
        return buf_printf(out, "refused: the address has its %llu logins of this minute",
                          (unsigned long long)rate);
    return 0;
}

int limiter_explain(struct limiter *l, const struct addr *peer, const char *user, unsigned own_max,
                    struct buf *out)
{
    const struct rule *ban = rules_match_user(&l->limits.bans, user);
    const struct limit_user *u = limits_user(&l->limits, user);
    uint64_t max = limits_max_user_sessions(&l->limits, limiter_config(l), user, own_max);
    if (!ban && peer)
        ban = rules_match_addr(&l->limits.bans, peer);
    if (ban)
        return explain_ban(ban, out);
    if (u && max && u->sessions >= max)
        return buf_printf(out, "refused: the user has %u of %llu sessions", u->sessions,
                          (unsigned long long)max);
    return peer ? explain_source(l, peer, out) : 0;
}
