/* SPDX-License-Identifier: ISC */
/* State that each engine keeps in memory, from the one that serves to those that finish. */
#include "peers/peer_state.h"

#include "base/log/log.h"
#include "peers/ask.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"

#define PEER_STATE_RULES 256 /* of one message */

static struct control *state_control(const struct peer_engine *e)
{
    return e->owner;
}

/* ---- backends ---- */

static void tell_backends(struct peer_engine *e)
{
    const struct pools *pools = control_snapshot(state_control(e))->pools;
    json_t *list = json_array();
    for (size_t i = 0; i < pools->n; i++)
        for (size_t k = 0; k < pools->v[i].n_members; k++) {
            struct backend *b = pools->v[i].members[k].backend;
            char reason[BACKEND_REASON_MAX];
            backend_admin_reason(b, reason);
            (void)json_array_append_new(list, json_pack("[s, s, s, I, o]", b->pool, b->name,
                                                        backend_admin_name(atomic_load(&b->admin)),
                                                        (json_int_t)atomic_load(&b->admin_since_ms),
                                                        request_json(str_of(reason))));
        }
    json_pipe_send(e->pipe, "backends", json_pack("{s:o}", "all", list));
}

int peer_state_backends(struct control *c, struct peer_engine *e, const json_t *params)
{
    const json_t *list = json_object_get(params, "all");
    (void)e;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        const char *pool = json_string_value(json_array_get(v, 0));
        const char *name = json_string_value(json_array_get(v, 1));
        const char *word = json_string_value(json_array_get(v, 2));
        const char *reason = json_string_value(json_array_get(v, 4));
        uint64_t since = (uint64_t)json_integer_value(json_array_get(v, 3));
        enum backend_admin admin;
        if (!pool || !name || !word || backend_admin_find(word, &admin) < 0)
            return -ERR_PROTOCOL;
        const struct pool_member *m = pools_member(control_snapshot(c)->pools, pool, name, NULL);
        if (m && atomic_load(&m->backend->admin) != admin) /* else this engine never had it */
            backend_set_admin(m->backend, admin, since, reason && *reason ? reason : NULL);
    }
    sessions_wake(c, NULL);
    return 0;
}

/* ---- bans and overrides ---- */

static json_t *peer_rule_json(const struct limit_target *target, const struct rule *r)
{
    char name[LIMIT_TARGET_TEXT_MAX];
    limit_target_format(name, target);
    if (!r)
        return json_pack("{s:s}", "target", name);
    json_t *m =
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "target", name, "automatic",
                  (int)r->is_automatic, "created", (json_int_t)r->created_ms, "until",
                  (json_int_t)r->until_ms, "sessions", (json_int_t)r->sessions, "login_rate",
                  (json_int_t)r->login_rate, "failures", (json_int_t)r->failures);
    request_set_text(m, "text", r->text);
    request_set_text(m, "by", r->by);
    return m;
}

static void send_rules(struct peer_engine *e, bool is_ban, json_t *list, bool is_first)
{
    json_pipe_send(
        e->pipe, "rules",
        json_pack("{s:b, s:b, s:o}", "bans", (int)is_ban, "first", (int)is_first, "rules", list));
}

/* All of a kind: they take the place of what was there. */
static void tell_table(struct peer_engine *e, const struct rules *rules, bool is_ban)
{
    json_t *list = json_array();
    bool is_first = true;
    LIST_FOREACH (it, &rules->all) {
        const struct rule *r = LIST_ITEM(it, struct rule, link);
        struct limit_target target;
        rule_subject(r, &target);
        (void)json_array_append_new(list, peer_rule_json(&target, r));
        if (json_array_size(list) < PEER_STATE_RULES)
            continue;
        send_rules(e, is_ban, list, is_first);
        is_first = false;
        list = json_array();
    }
    send_rules(e, is_ban, list, is_first);
}

static void tell_all_rules(struct peer_engine *e)
{
    const struct limits *l = limit_service_limits(state_control(e)->limit_service);
    tell_table(e, &l->bans, true);
    tell_table(e, &l->overrides, false);
}

/* Those that the request names, as they are now; without names all. */
static void tell_rules(struct peer_engine *e, const struct request *r)
{
    const struct limits *l = limit_service_limits(state_control(e)->limit_service);
    const json_t *names = request_list(r, "subject");
    json_t *bans, *overrides;
    if (json_array_size(names) == 0 || json_array_size(names) > PEER_STATE_RULES) {
        tell_all_rules(e);
        return;
    }
    bans = json_array();
    overrides = json_array();
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *v = json_array_get(names, i);
        struct limit_target target;
        if (limit_target_parse(str_n(json_string_value(v), json_string_length(v)), &target) < 0)
            continue;
        (void)json_array_append_new(bans, peer_rule_json(&target, rules_find(&l->bans, &target)));
        (void)json_array_append_new(overrides,
                                    peer_rule_json(&target, rules_find(&l->overrides, &target)));
    }
    send_rules(e, true, bans, false);
    send_rules(e, false, overrides, false);
}

void peer_state_tell_ban(struct peer_engine *e, const struct rule *ban)
{
    struct limit_target target;
    rule_subject(ban, &target);
    send_rules(e, true, json_pack("[o]", peer_rule_json(&target, ban)), false);
}

/* The engine that told it has it in the store. */
static int rule_take(struct rules *rules, const json_t *m, const struct rules_time *now)
{
    const json_t *name = json_object_get(m, "target");
    struct rule_spec spec = {.is_automatic = json_is_true(json_object_get(m, "automatic")),
                             .created_ms = json_number(m, "created"),
                             .until_ms = json_number(m, "until"),
                             .text = json_string_value(json_object_get(m, "text")),
                             .by = json_string_value(json_object_get(m, "by")),
                             .sessions = json_number(m, "sessions"),
                             .login_rate = json_number(m, "login_rate"),
                             .failures = json_number(m, "failures")};
    struct str text = str_n(json_string_value(name), json_string_length(name));
    if (!json_is_string(name) || limit_target_parse(text, &spec.subject) < 0)
        return -ERR_PROTOCOL;
    struct rule *rule = rules_find(rules, &spec.subject);
    if (!json_object_get(m, "created")) {
        if (rule)
            rules_remove(rules, rule);
        return 0;
    }
    int err = rules_put(rules, &spec, now, &rule);
    if (err == 0)
        rule->is_stored = true;
    return err;
}

int peer_state_rules(struct control *c, struct peer_engine *e, const json_t *m)
{
    struct limits *l = limit_service_limits(c->limit_service);
    struct rules *rules = json_is_true(json_object_get(m, "bans")) ? &l->bans : &l->overrides;
    const json_t *list = json_object_get(m, "rules");
    const struct rules_time now = limit_service_now(c->limit_service);
    int err = 0;
    /* Who finishes tells single ones; the whole list is that of who serves. */
    if (json_is_true(json_object_get(m, "first")) && e->role == PEER_ENGINE_NEW)
        while (!list_is_empty(&rules->all))
            rules_remove(rules, LIST_ITEM(rules->all.next, struct rule, link));
    for (size_t i = 0; i < json_array_size(list) && err == 0; i++)
        err = rule_take(rules, json_array_get(list, i), &now);
    return err;
}

/* ---- users, the log ---- */

int peer_state_forget(struct control *c, struct peer_engine *e, const json_t *m)
{
    (void)e;
    c->host->forget_user(c->host->arg, json_string_value(json_object_get(m, "user")));
    return 0;
}

int peer_state_level(struct control *c, struct peer_engine *e, const json_t *m)
{
    const char *name = json_string_value(json_object_get(m, "level"));
    enum log_level level;
    (void)c;
    (void)e;
    if (!name || log_level_parse(name, &level) < 0)
        return -ERR_PROTOCOL;
    (void)log_set_level(-1, level);
    return 0;
}

int peer_state_sync(struct control *c, struct peer_engine *e, const json_t *m)
{
    (void)c;
    json_pipe_send(e->pipe, "synced",
                   json_pack("{s:I, s:i}", "n", (json_int_t)json_number(m, "n"), "w", 0));
    return 0;
}

/* ---- what is told when ---- */

void peer_state_tell(struct peer_engine *e, enum command_reach reach, const struct request *r)
{
    const char *id = request_text(r, "id");
    if (reach == COMMAND_REACH_BACKENDS)
        tell_backends(e);
    else if (reach == COMMAND_REACH_RULES)
        tell_rules(e, r);
    else if (reach == COMMAND_REACH_LEVEL)
        json_pipe_send(e->pipe, "level", json_pack("{s:s}", "level", request_text(r, "level")));
    else if (reach == COMMAND_REACH_OPS && id) /* the other engine may run it */
        json_pipe_send(e->pipe, "cancel", json_pack("{s:s}", "id", id));
    /* Users are forgotten where the change is made, before their sessions are ended. */
}

void peer_state_tell_all(struct peer_engine *e)
{
    json_pipe_send(e->pipe, "forget", json_object());
    tell_backends(e);
    tell_all_rules(e);
}
