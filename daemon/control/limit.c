/* SPDX-License-Identifier: ISC */
/* limit list, show, set, clear. */
#include "rpc/handlers.h"
#include "rpc/rows.h"
#include "runtime/rules/rule_edit.h"

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
    const struct config_limits *config = limit_service_config(c->limit_service);
    const struct rules_time now = limit_service_now(c->limit_service);
    struct limits *l = limit_service_limits(c->limit_service);
    const struct limit_source_facts f = limits_look_source(l, config, a, now.ms);
    uint64_t configured = control_snapshot(c)->config->timeouts.failure_delay_ms;
    request_put_number(row, "sessions", f.sessions);
    request_set_number(row, "elsewhere", f.sessions_elsewhere);
    request_put_number(row, "max_sessions", limits_max_sessions(l, config, a));
    request_put_number(row, "logins", f.logins);
    request_put_number(row, "login_rate", limits_login_rate(l, config, a));
    request_put_number(row, "failures", f.failures);
    request_set_number(row, "failures_elsewhere", f.failures_elsewhere);
    request_put_number(row, "failed_users", f.users);
    request_put_number(row, "max_failures", limits_max_failures(l, config, a));
    uint32_t failures = f.failures + f.failures_elsewhere;
    request_set_number(row, "delay", limits_delay(config, failures + 1, configured) - configured);
    request_put_number(row, "refused", f.refused);
    (void)json_object_set_new(row, "trusted", json_boolean(config_limits_trust(config, a)));
    limit_put_override(row, rules_match_addr(&l->overrides, a), &now);
}

static void limit_put_user(json_t *row, struct control *c, const char *user)
{
    const struct config_limits *config = limit_service_config(c->limit_service);
    const struct rules_time now = limit_service_now(c->limit_service);
    struct limits *l = limit_service_limits(c->limit_service);
    const struct limit_user_facts f = limits_look_user(l, user);
    request_put_number(row, "sessions", f.sessions);
    request_set_number(row, "elsewhere", f.sessions_elsewhere);
    request_put_number(row, "max_sessions", limits_max_user_sessions(l, config, user, f.own_max));
    request_put_number(row, "refused", f.refused);
    if (f.n_passwords > 0) {
        request_put_number(row, "failures", f.n_passwords);
        request_put_number(row, "addresses", f.n_addresses);
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

static struct addr limit_addr(const struct limit_target *s)
{
    struct addr a = {.family = s->net.family};
    memcpy(a.ip, s->net.ip, sizeof(a.ip));
    return a;
}

_Static_assert(sizeof(struct limit_target) <= ROWS_COPY_BYTES, "a subject is what is copied");

static void limit_copy_source(const struct list *node, void *dst)
{
    limit_target_of_addr(dst, &LIST_ITEM(node, struct limit_source, link)->addr);
}

static void limit_copy_user(struct limit_target *dst, const char *name)
{
    *dst = (struct limit_target){.kind = LIMIT_TARGET_USER};
    (void)str_copy(dst->user, sizeof(dst->user), str_of(name));
}

static void limit_copy_of_user(const struct list *node, void *dst)
{
    limit_copy_user(dst, LIST_ITEM(node, struct limit_user, link)->name);
}

static void limit_copy_of_guess(const struct list *node, void *dst)
{
    limit_copy_user(dst, LIST_ITEM(node, struct guess, link)->user);
}

static json_t *limit_source_row(void *arg, const void *copy)
{
    const struct limit_target *s = copy;
    const struct addr a = limit_addr(s);
    json_t *row = limit_row(s);
    limit_put_addr(row, arg, &a);
    return row;
}

static json_t *limit_user_row(void *arg, const void *copy)
{
    const struct limit_target *s = copy;
    json_t *row = limit_row(s);
    limit_put_user(row, arg, s->user);
    return row;
}

/* Those without a session, who are listed before. */
static json_t *limit_guess_row(void *arg, const void *copy)
{
    const struct control *c = arg;
    const struct limit_target *s = copy;
    if (limits_look_user(limit_service_limits(c->limit_service), s->user).is_known)
        return NULL;
    return limit_user_row(arg, copy);
}

/* Those without an entry, which is listed before. */
static bool limit_is_listed(struct control *c, const struct limit_target *s)
{
    struct limits *l = limit_service_limits(c->limit_service);
    if (s->kind == LIMIT_TARGET_USER) {
        const struct limit_user_facts f = limits_look_user(l, s->user);
        return f.is_known || f.n_passwords > 0;
    }
    const struct rules_time now = limit_service_now(c->limit_service);
    const struct addr a = limit_addr(s);
    /* Does it stand for one entry of the table? */
    bool is_v6_host = s->net.family == AF_INET6 && s->net.bits == 64;
    bool is_single =
        s->kind == LIMIT_TARGET_ADDRESS || (s->kind == LIMIT_TARGET_NETWORK && is_v6_host);
    return is_single &&
           limits_look_source(l, limit_service_config(c->limit_service), &a, now.ms).is_known;
}

static json_t *limit_override_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct rule *r = LIST_ITEM(node, struct rule, link);
    const struct rules_time now = limit_service_now(c->limit_service);
    struct limit_target s;
    rule_subject(r, &s);
    if (limit_is_listed(c, &s))
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
    struct limit_service *limit_service = c->limit_service;
    struct limits *l = limit_service_limits(limit_service);
    struct rows_source v[2 * LIMITS_STRIPES + 2];
    size_t n = 0;
    _Static_assert(ARRAY_LEN(v) <= ROWS_SOURCES_MAX, "all stripes are in one list");
    for (size_t i = 0; i < l->n_stripes; i++)
        v[n++] = (struct rows_source){.walks = &l->sources[i].walks,
                                      .head = &l->sources[i].all,
                                      .arg = c,
                                      .lock = &l->sources[i].lock,
                                      .copy = limit_copy_source,
                                      .copied = limit_source_row};
    for (size_t i = 0; i < l->n_stripes; i++)
        v[n++] = (struct rows_source){.walks = &l->users[i].walks,
                                      .head = &l->users[i].all,
                                      .arg = c,
                                      .lock = &l->users[i].lock,
                                      .copy = limit_copy_of_user,
                                      .copied = limit_user_row};
    v[n++] = (struct rows_source){.walks = &l->guesses.walks,
                                  .head = &l->guesses.all,
                                  .arg = c,
                                  .lock = &l->guesses_lock,
                                  .copy = limit_copy_of_guess,
                                  .copied = limit_guess_row};
    v[n++] = (struct rows_source){.walks = &l->overrides.walks,
                                  .head = &l->overrides.all,
                                  .row = limit_override_row,
                                  .arg = c};
    rows_answer(r, limit_service_jobs(limit_service), v, n);
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
    struct limits *l = limit_service_limits(c->limit_service);
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
        /* What the request does not name stays as an earlier override has it. */
        const struct rule *old = rules_find(
            &limit_service_limits(request_control(r)->limit_service)->overrides, &u.subjects[i]);
        struct rule_spec spec = {
            .subject = u.subjects[i],
            .sessions = request_number(r, "sessions", old ? old->sessions : RULE_KEEP),
            .login_rate = request_number(r, "login_rate", old ? old->login_rate : RULE_KEEP),
            .failures = request_number(r, "failures", old ? old->failures : RULE_KEEP),
        };
        (void)rule_edit_put(&u, &spec);
    }
    rule_edit_end(&u);
}

void command_limit_clear(struct request *r)
{
    struct rule_edit u;
    struct limit_service *l = request_control(r)->limit_service;
    const struct rules_time now = limit_service_now(l);
    uint64_t forgotten = 0;
    if (rule_edit_begin(r, RULE_DB_OVERRIDE, &u) < 0)
        return;
    for (size_t i = 0; i < u.n; i++) {
        struct limit_target *s = &u.subjects[i];
        limit_widen(s);
        bool was_ruled = rule_edit_remove(&u, s);
        bool was_known = limits_forget(limit_service_limits(l), limit_service_config(l), s, now.ms);
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
