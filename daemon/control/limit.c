/* SPDX-License-Identifier: ISC */
/* limit list, show, set, clear. */
#include "control/handlers.h"
#include "rpc/rows.h"
#include "runtime/rule_edit.h"

/* ---- rows ---- */

static void limit_put_override(json_t *row, const struct rule *r, const struct rules_time *now)
{
    (void)json_object_set_new(row, "override", json_boolean(r != NULL));
    if (!r)
        return;
    request_set_number(row, "until", r->until_ms);
    if (r->until_ms)
        request_put_number(row, "left",
                           r->until_ms > now->wall_ms ? r->until_ms - now->wall_ms : 0);
}

static void limit_put_addr(json_t *row, struct control *c, const struct addr *a)
{
    const struct config_limits *config = limiter_config(c->limiter);
    const struct rules_time now = limiter_now(c->limiter);
    const struct limits *l = limiter_limits(c->limiter);
    const struct limit_source *s = limits_source(l, a);
    uint32_t failures = limit_source_failures(s, config, &now);
    uint64_t configured = control_setup(c)->config->timeouts.failure_delay_ms;
    request_put_number(row, "sessions", s ? s->sessions : 0);
    request_put_number(row, "max_sessions", limits_max_sessions(l, config, a));
    request_put_number(row, "logins", limit_source_logins(l, s, config, &now));
    request_put_number(row, "login_rate", limits_login_rate(l, config, a));
    request_put_number(row, "failures", failures);
    request_put_number(row, "failed_users", limit_source_users(s, config, &now));
    request_put_number(row, "max_failures", limits_max_failures(l, config, a));
    request_set_number(row, "delay", limits_delay(config, failures + 1, configured) - configured);
    request_put_number(row, "refused", s ? s->refused : 0);
    (void)json_object_set_new(row, "trusted", json_boolean(config_limits_trust(config, a)));
    limit_put_override(row, rules_match_addr(&l->overrides, a), &now);
}

static void limit_put_user(json_t *row, struct control *c, const char *user)
{
    const struct config_limits *config = limiter_config(c->limiter);
    const struct rules_time now = limiter_now(c->limiter);
    const struct limits *l = limiter_limits(c->limiter);
    const struct limit_user *u = limits_user(l, user);
    unsigned own = u ? u->own_max : 0;
    request_put_number(row, "sessions", u ? u->sessions : 0);
    request_put_number(row, "max_sessions", limits_max_user_sessions(l, config, user, own));
    request_put_number(row, "refused", u ? u->refused : 0);
    const struct guess *g = guesses_find(&l->guesses, user);
    if (g) {
        request_put_number(row, "failures", distinct_count(&g->passwords));
        request_put_number(row, "addresses", distinct_count(&g->addresses));
    }
    limit_put_override(row, rules_match_user(&l->overrides, user), &now);
}

static json_t *limit_row(const struct limit_target *s)
{
    char name[LIMIT_TARGET_TEXT_MAX];
    json_t *row = json_object();
    limit_target_format(name, s);
    request_set_text(row, "subject", name);
    request_set_text(row, "kind", limit_target_kind_name(s->kind));
    return row;
}

static json_t *limit_source_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct limit_source *source = LIST_ITEM(node, struct limit_source, link);
    struct limit_target s;
    limit_target_of_addr(&s, &source->addr);
    json_t *row = limit_row(&s);
    limit_put_addr(row, c, &source->addr);
    return row;
}

static json_t *limit_user_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct limit_user *u = LIST_ITEM(node, struct limit_user, link);
    struct limit_target s = {.kind = LIMIT_TARGET_USER};
    (void)str_copy(s.user, sizeof(s.user), str_of(u->name));
    json_t *row = limit_row(&s);
    limit_put_user(row, c, u->name);
    return row;
}

/* Those without a session, who are listed before. */
static json_t *limit_guess_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct guess *g = LIST_ITEM(node, struct guess, link);
    struct limit_target s = {.kind = LIMIT_TARGET_USER};
    if (limits_user(limiter_limits(c->limiter), g->user))
        return NULL;
    (void)str_copy(s.user, sizeof(s.user), str_of(g->user));
    json_t *row = limit_row(&s);
    limit_put_user(row, c, g->user);
    return row;
}

static struct addr limit_addr(const struct limit_target *s)
{
    struct addr a = {.family = s->net.family};
    memcpy(a.ip, s->net.ip, sizeof(a.ip));
    return a;
}

/* Does it stand for one entry of the table? */
static bool limit_is_single(const struct limit_target *s)
{
    bool is_v6_host = s->net.family == AF_INET6 && s->net.bits == 64;
    return s->kind == LIMIT_TARGET_ADDRESS || (s->kind == LIMIT_TARGET_NETWORK && is_v6_host);
}

/* Those without an entry, which is listed before. */
static json_t *limit_override_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct rule *r = LIST_ITEM(node, struct rule, link);
    const struct limits *l = limiter_limits(c->limiter);
    const struct rules_time now = limiter_now(c->limiter);
    struct limit_target s;
    rule_subject(r, &s);
    const struct addr a = limit_addr(&s);
    bool is_listed = r->kind == LIMIT_TARGET_USER
                         ? limits_user(l, r->user) || guesses_find(&l->guesses, r->user)
                         : limit_is_single(&s) && limits_source(l, &a);
    if (is_listed)
        return NULL;
    json_t *row = limit_row(&s);
    if (r->sessions != RULE_KEEP)
        request_put_number(row, "max_sessions", r->sessions);
    if (r->login_rate != RULE_KEEP)
        request_put_number(row, "login_rate", r->login_rate);
    if (r->failures != RULE_KEEP)
        request_put_number(row, "max_failures", r->failures);
    limit_put_override(row, r, &now);
    return row;
}

void command_limit_list(struct request *r)
{
    struct control *c = request_control(r);
    struct limiter *limiter = c->limiter;
    struct limits *l = limiter_limits(limiter);
    const struct rows_source sources[] = {
        {&l->walks, &l->sources, limit_source_row, c},
        {&l->walks, &l->users, limit_user_row, c},
        {&l->guesses.walks, &l->guesses.all, limit_guess_row, c},
        {&l->overrides.walks, &l->overrides.all, limit_override_row, c},
    };
    rows_answer(r, limiter_jobs(limiter), sources, ARRAY_LEN(sources));
}

/* ---- show ---- */

static void limit_put_ban(json_t *row, const struct rule *ban)
{
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX];
    if (!ban)
        return;
    rule_subject(ban, &s);
    limit_target_format(name, &s);
    request_set_text(row, "ban", name);
    request_set_number(row, "ban_until", ban->until_ms);
}

void command_limit_show(struct request *r)
{
    struct limit_target s;
    struct control *c = request_control(r);
    const struct limits *l = limiter_limits(c->limiter);
    if (limit_target_parse(str_of(request_text(r, "subject")), &s) < 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "subject has to be an address, a network or a user");
        return;
    }
    json_t *row = limit_row(&s);
    const struct addr a = limit_addr(&s);
    if (s.kind == LIMIT_TARGET_USER) {
        limit_put_user(row, c, s.user);
        limit_put_ban(row, rules_match_user(&l->bans, s.user));
    } else {
        limit_put_addr(row, c, &a);
        limit_put_ban(row, rules_match_addr(&l->bans, &a));
    }
    request_answer(r, row);
}

/* ---- set, clear ---- */

/* IPv6 addresses count by their /64. */
static void limit_widen(struct limit_target *s)
{
    const struct addr a = limit_addr(s);
    if (s->kind == LIMIT_TARGET_ADDRESS && s->net.family == AF_INET6)
        limit_target_of_addr(s, &a);
}

/* What the request does not name stays as an earlier override has it. */
static struct rule_spec limit_spec(const struct request *r, const struct limit_target *s)
{
    const struct rule *old = rules_find(&limiter_limits(request_control(r)->limiter)->overrides, s);
    return (struct rule_spec){
        .subject = *s,
        .sessions = request_number(r, "sessions", old ? old->sessions : RULE_KEEP),
        .login_rate = request_number(r, "login_rate", old ? old->login_rate : RULE_KEEP),
        .failures = request_number(r, "failures", old ? old->failures : RULE_KEEP),
    };
}

void command_limit_set(struct request *r)
{
    struct rule_edit u;
    bool is_of_addresses = request_has(r, "login_rate") || request_has(r, "failures");
    if (!request_has(r, "sessions") && !is_of_addresses) {
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say sessions, login_rate or failures");
        return;
    }
    if (rule_edit_begin(r, RULE_DB_OVERRIDE, &u) < 0)
        return;
    for (size_t i = 0; i < u.n; i++)
        if (is_of_addresses && u.subjects[i].kind == LIMIT_TARGET_USER) {
            rule_edit_abort(&u, -ERR_BAD_PARAM, "login_rate and failures are limits of addresses");
            return;
        }
    for (size_t i = 0; i < u.n; i++) {
        limit_widen(&u.subjects[i]);
        struct rule_spec spec = limit_spec(r, &u.subjects[i]);
        (void)rule_edit_put(&u, &spec);
    }
    rule_edit_end(&u);
}

void command_limit_clear(struct request *r)
{
    struct rule_edit u;
    struct limiter *l = request_control(r)->limiter;
    const struct rules_time now = limiter_now(l);
    uint64_t forgotten = 0;
    if (rule_edit_begin(r, RULE_DB_OVERRIDE, &u) < 0)
        return;
    for (size_t i = 0; i < u.n; i++) {
        struct limit_target *s = &u.subjects[i];
        limit_widen(s);
        bool was_ruled = rule_edit_remove(&u, s);
        bool was_known = limits_forget(limiter_limits(l), limiter_config(l), s, &now);
        forgotten += was_known && !was_ruled;
    }
    if (u.count == 0 && forgotten > 0) {
        rule_edit_abort(&u, 0, NULL);
        request_done(r, forgotten, true, NULL);
        return;
    }
    u.count += forgotten;
    rule_edit_end(&u);
}
