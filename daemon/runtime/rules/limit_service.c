/* SPDX-License-Identifier: ISC */
/* What follows from limits: bans, log, events, and the store. */
#include "runtime/rules/limit_service.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "base/log/log_quota.h"
#include "base/units.h"
#include "rpc/rows.h"
#include "runtime/state.h"
#include "store/store.h"

#define LIMITER_TICK_MS 1000

struct limit_service {
    struct control *control;
    struct limits limits;
    struct loop_timer tick;
    struct rule_batch *next; /* the daemon's own changes that wait for the ones being written */
    struct list jobs;        /* lists that are being answered */
    uint64_t bans_made;
    bool is_writing;
    void (*made)(struct control *c, const struct rule *ban);
    void (*lifted)(struct control *c, const struct rule *ban);
};

struct list *limit_service_jobs(struct limit_service *l)
{
    return &l->jobs;
}

struct limits *limit_service_limits(struct limit_service *l)
{
    return &l->limits;
}

struct rules_time limit_service_now(const struct limit_service *l)
{
    return (struct rules_time){.ms = loop_now_ms(l->control->host->loop),
                               .wall_ms = clock_wall_ms()};
}

const struct config_limits *limit_service_config(const struct limit_service *l)
{
    return &control_snapshot(l->control)->config->limits;
}

/* ---- the store ---- */

static struct rules *limit_service_rules(struct limit_service *l, const char *kind)
{
    return strcmp(kind, RULE_DB_BAN) == 0 ? &l->limits.bans : &l->limits.overrides;
}

/* The rule may be another one by now. */
static void on_rule_stored(void *arg, const char *kind, const struct limit_target *s,
                           uint64_t created_ms)
{
    struct rule *r = rules_find(limit_service_rules(arg, kind), s);
    if (r && r->created_ms == created_ms)
        r->is_stored = true;
}

void limit_service_stored(struct limit_service *l, const struct rule_batch *b)
{
    rule_batch_each(b, on_rule_stored, l);
}

static void limit_service_write(struct limit_service *l)
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
    struct limit_service *l = rule_batch_control(b)->limit_service;
    if (!l)
        return;
    l->is_writing = false;
    if (err == 0)
        limit_service_stored(l, b);
    limit_service_write(l);
}

/* The batch that the next change goes into; NULL when out of memory. */
static struct rule_batch *limit_service_batch(struct limit_service *l)
{
    if (!l->next)
        l->next = rule_batch_new(l->control, NULL, on_written);
    return l->next;
}

/* ---- the ends of rules ---- */

static void limit_service_gone(struct limit_service *l, const char *kind, const struct rule *r)
{
    struct limit_target s;
    struct rule_batch *b = limit_service_batch(l);
    rule_subject(r, &s);
    if (!b || rule_batch_remove(b, kind, &s) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-forgotten", KV_ERR("error", -ERR_NOMEM));
    limit_service_write(l);
}

static void on_ban_gone(void *arg, const struct rule *r, enum rule_end why)
{
    struct limit_service *l = arg;
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
    limit_service_gone(l, RULE_DB_BAN, r);
}

static void on_override_gone(void *arg, const struct rule *r, enum rule_end why)
{
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX];
    (void)why;
    rule_subject(r, &s);
    limit_target_format(name, &s);
    LOG_EVENT(LOG_LEVEL_INFO, "limit-override-over", KV_STR("subject", name));
    limit_service_gone(arg, RULE_DB_OVERRIDE, r);
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

static void limit_service_tell_left_out(struct limit_service *l, bool is_end)
{
    struct rules_time now = limit_service_now(l);
    if (l->control->host->log_quota)
        log_quota_tell(l->control->host->log_quota, is_end, now.ms, on_lines_left_out, &now);
}

static void on_limit_service_tick(struct loop_timer *t)
{
    struct limit_service *l = CONTAINER_OF(t, struct limit_service, tick);
    const struct rules_time now = limit_service_now(l);
    limits_expire(&l->limits, limit_service_config(l), &now);
    limit_service_tell_left_out(l, false);
    loop_timer_set(l->control->host->loop, t, LIMITER_TICK_MS);
}

/* ---- life ---- */

/* What ended while the daemon was down leaves the store too. */
static void on_rule_loaded(void *arg, const char *kind, const struct rule_spec *spec)
{
    struct limit_service *l = arg;
    const struct rules_time now = {.ms = clock_ms(), .wall_ms = clock_wall_ms()};
    struct rule *r;
    if (spec->until_ms && spec->until_ms <= now.wall_ms) {
        if (!limit_service_batch(l) || rule_batch_remove(l->next, kind, &spec->subject) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-forgotten", KV_ERR("error", -ERR_NOMEM));
    } else if (rules_put(limit_service_rules(l, kind), spec, &now, &r) < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "rule-not-loaded", KV_ERR("error", -ERR_NOMEM));
    } else {
        r->is_stored = true;
    }
}

int limit_service_new(struct control *c, struct limit_service **ret, char **ret_error)
{
    struct limit_service *l = calloc(1, sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->control = c;
    list_init(&l->jobs);
    limits_init(&l->limits, LIMITS_STRIPES, LIMITS_IDLE_MAX, clock_ms());
    l->limits.bans.gone = on_ban_gone;
    l->limits.overrides.gone = on_override_gone;
    l->limits.bans.arg = l->limits.overrides.arg = l;
    loop_timer_init(&l->tick, on_limit_service_tick);
    int err = rule_db_load(c, on_rule_loaded, l);
    if (err < 0) {
        *ret_error = str_printf("bans cannot be read: %s", err_text(err));
        limit_service_stop(l);
        limit_service_free(l);
        return err;
    }
    limit_service_write(l);
    loop_timer_set(c->host->loop, &l->tick, LIMITER_TICK_MS);
    *ret = l;
    return 0;
}

static void limit_service_flush(struct limit_service *l, const char *kind)
{
    LIST_FOREACH (it, &limit_service_rules(l, kind)->all) {
        struct rule *r = LIST_ITEM(it, struct rule, link);
        int err = r->is_stored ? 0 : rule_db_put(l->control, kind, r);
        if (err < 0) {
            LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_ERR("error", err));
            return;
        }
    }
}

void limit_service_stop(struct limit_service *l)
{
    if (!l)
        return;
    loop_timer_cancel(l->control->host->loop, &l->tick);
    limit_service_tell_left_out(l, true);
    rows_drop(&l->jobs);
    rule_batch_free(STEAL(l->next));
    limit_service_flush(l, RULE_DB_BAN);
    limit_service_flush(l, RULE_DB_OVERRIDE);
}

void limit_service_free(struct limit_service *l)
{
    if (!l)
        return;
    limits_fini(&l->limits);
    free(l);
}

void limit_service_figures(struct limit_service *l, struct limit_service_figures *ret)
{
    const struct limits_count n = limits_count(&l->limits);
    *ret = (struct limit_service_figures){
        .bans = rules_count(&l->limits.bans),
        .automatic_bans = l->limits.bans.n_automatic,
        .overrides = rules_count(&l->limits.overrides),
        .sources = n.sources,
        .users = n.users,
        .bans_made = l->bans_made,
        .log_lines_left_out =
            l->control->host->log_quota ? log_quota_left_out(l->control->host->log_quota) : 0,
    };
}

/* ---- what the workers found out ---- */

/* A ban for failures: said in the log, to those who watch, and kept. */
static void limit_service_announce(struct limit_service *l, const struct rule *ban,
                                   const struct addr *peer, bool is_spraying, uint32_t n)
{
    const struct config_limits *c = limit_service_config(l);
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX], ip[ADDR_TEXT_MAX], length[32];
    rule_subject(ban, &s);
    limit_target_format(name, &s);
    addr_format_ip(ip, peer);
    units_human_duration(length, c->ban_ms);
    l->bans_made++;
    if (l->made)
        l->made(l->control, ban);
    LOG_EVENT(LOG_LEVEL_NOTICE, "banned", KV_STR("subject", name), KV_STR("client", ip),
              KV_U64(is_spraying ? "users" : "failures", n), KV_MS("seconds", c->ban_ms));
    AUTO_FREE char *reason =
        str_printf(is_spraying ? "failed logins of %u users" : "%u failed logins", n);
    AUTO_FREE char *text = str_printf("%s is banned%s%s after %s", name, c->ban_ms ? " for " : "",
                                      c->ban_ms ? length : "", reason ? reason : "failures");
    control_event(l->control, "ban", NULL, NULL, NULL, ip, NULL, text);
    struct rule_batch *b = limit_service_batch(l);
    if (!b || rule_batch_put(b, RULE_DB_BAN, ban, reason) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_ERR("error", -ERR_NOMEM));
    limit_service_write(l);
}

void limit_service_on_ban(struct limit_service *l,
                          void (*made)(struct control *c, const struct rule *ban),
                          void (*lifted)(struct control *c, const struct rule *ban))
{
    l->made = made;
    l->lifted = lifted;
}

void limit_service_lifts(struct limit_service *l, const struct rule *ban)
{
    if (l->lifted && ban->is_automatic)
        l->lifted(l->control, ban);
}

void control_ban_due(struct control *c, const struct addr *peer, bool is_spraying, uint32_t n)
{
    struct limit_service *l = c->limit_service;
    const struct rules_time now = limit_service_now(l);
    struct rule *ban;
    if (limits_ban(&l->limits, limit_service_config(l), peer, &now, &ban))
        limit_service_announce(l, ban, peer, is_spraying, n);
}

/* ---- what other nodes of the fleet found out ---- */

static void limit_service_tell_taken(struct limit_service *l, const struct limit_ban *b,
                                     const char *what)
{
    char name[LIMIT_TARGET_TEXT_MAX];
    limit_target_format(name, &b->subject);
    AUTO_FREE char *text = str_printf("%s %s by node %s", name, what, b->node);
    LOG_EVENT(LOG_LEVEL_INFO, "ban-taken-over", KV_STR("subject", name), KV_STR("node", b->node),
              KV_STR("detail", what));
    control_event(l->control, "ban", NULL, NULL, NULL, name, NULL, text);
}

bool limit_service_take_ban(struct limit_service *l, const struct limit_ban *b)
{
    const struct rules_time now = limit_service_now(l);
    struct rule *ban;
    if (limits_take_ban(&l->limits, limit_service_config(l), b, &now, &ban) < 0)
        return false;
    if (l->made)
        l->made(l->control, ban);
    limit_service_tell_taken(l, b, "is banned for failed logins");
    struct rule_batch *batch = limit_service_batch(l);
    if (!batch || rule_batch_put(batch, RULE_DB_BAN, ban, NULL) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_ERR("error", -ERR_NOMEM));
    limit_service_write(l);
    return true;
}

bool limit_service_take_lift(struct limit_service *l, const struct limit_ban *b)
{
    struct rule *ban = rules_find(&l->limits.bans, &b->subject);
    if (!limits_is_lifted(ban, b->created_ms))
        return false;
    limit_service_gone(l, RULE_DB_BAN, ban);
    rules_remove(&l->limits.bans, ban);
    limit_service_tell_taken(l, b, "is no longer banned, as it was lifted");
    return true;
}

void control_guessed_at(struct control *c, const char *user, uint32_t passwords, uint32_t addresses)
{
    LOG_EVENT(LOG_LEVEL_NOTICE, "user-guessed-at", KV_STR("user", user),
              KV_U64("passwords", passwords), KV_U64("addresses", addresses));
    AUTO_FREE char *text = str_printf("%u wrong passwords from %u address%s", passwords, addresses,
                                      addresses == 1 ? "" : "es");
    control_event(c, "guessing", NULL, NULL, user, NULL, NULL, text);
}

/* ---- explaining ---- */

static int explain_sessions(const char *whose, uint32_t here, uint32_t elsewhere, uint64_t max,
                            struct buf *out)
{
    int err = buf_printf(out, "refused: the %s has %llu of %llu sessions", whose,
                         (unsigned long long)here + elsewhere, (unsigned long long)max);
    if (err == 0 && elsewhere > 0)
        err = buf_printf(out, ", %u of them at other nodes", elsewhere);
    return err;
}

static int explain_source(struct limit_service *l, const struct addr *peer, struct buf *out)
{
    const struct config_limits *c = limit_service_config(l);
    const struct rules_time now = limit_service_now(l);
    const struct limit_source_facts f = limits_look_source(&l->limits, c, peer, now.ms);
    uint64_t max = limits_max_sessions(&l->limits, c, peer);
    uint64_t rate = limits_login_rate(&l->limits, c, peer);
    if (max && (uint64_t)f.sessions + f.sessions_elsewhere >= max)
        return explain_sessions("address", f.sessions, f.sessions_elsewhere, max, out);
    if (rate && f.logins >= rate)
        return buf_printf(out, "refused: the address has its %llu logins of this minute",
                          (unsigned long long)rate);
    return 0;
}

int limit_service_explain(struct limit_service *l, const struct addr *peer, const char *user,
                          unsigned own_max, struct buf *out)
{
    const struct rule *ban = rules_match_user(&l->limits.bans, user);
    const struct limit_user_facts f = limits_look_user(&l->limits, user);
    uint64_t max = limits_max_user_sessions(&l->limits, limit_service_config(l), user, own_max);
    if (!ban && peer)
        ban = rules_match_addr(&l->limits.bans, peer);
    if (ban) {
        struct limit_target target;
        char name[LIMIT_TARGET_TEXT_MAX], until[25];
        rule_subject(ban, &target);
        limit_target_format(name, &target);
        clock_format(until, ban->until_ms);
        return buf_printf(out, "refused: %s is banned%s%s", name, ban->until_ms ? " until " : "",
                          ban->until_ms ? until : "");
    }
    if (max && (uint64_t)f.sessions + f.sessions_elsewhere >= max)
        return explain_sessions("user", f.sessions, f.sessions_elsewhere, max, out);
    return peer ? explain_source(l, peer, out) : 0;
}
