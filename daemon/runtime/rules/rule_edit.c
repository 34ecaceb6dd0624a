/* SPDX-License-Identifier: ISC */
/* Operators' changes of bans and overrides. */
#include "runtime/rules/rule_edit.h"

static void rule_edit_fini(struct rule_edit *u)
{
    rule_batch_free(u->batch);
    free(u->subjects);
}

static struct rules *rule_edit_rules(const struct rule_edit *u)
{
    struct limits *l = limit_service_limits(request_control(u->request)->limit_service);
    return strcmp(u->kind, RULE_DB_BAN) == 0 ? &l->bans : &l->overrides;
}

/* What was done counts at once; that it will be gone after a restart has to be said. */
static void on_ruled(struct rule_batch *b, int err)
{
    struct request *r = rule_batch_request(b);
    struct limit_service *l = rule_batch_control(b)->limit_service;
    if (err == 0) {
        limit_service_stored(l, b);
        request_done(r, r->count, true, NULL);
        return;
    }
    request_fail(r, -ERR_PARTIAL, NULL, "in force, but only until a restart: %s", err_text(err));
}

static int rule_edit_read(struct rule_edit *u, const json_t *list)
{
    size_t i;
    json_t *v;
    u->subjects = calloc(json_array_size(list) + 1, sizeof(*u->subjects));
    if (!u->subjects)
        return -ERR_NOMEM;
    json_array_foreach ((json_t *)list, i, v) {
        struct str text = str_n(json_string_value(v), json_string_length(v));
        if (limit_target_parse(text, &u->subjects[i]) < 0) {
            request_fail(u->request, -ERR_BAD_PARAM, NULL,
                         "\"%.*s\" is no address, network (without host bits) or user",
                         STR_ARG(text));
            return -ERR_BAD_PARAM;
        }
        u->n++;
    }
    return 0;
}

int rule_edit_begin(struct request *r, const char *kind, struct rule_edit *ret)
{
    struct rule_edit u = {.request = r, .kind = kind};
    if (request_has(r, "for") && request_number(r, "for", 0) == 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "for is longer than 0; without it there is no end");
        return -ERR_BAD_PARAM;
    }
    if (request_is_over(r, request_number(r, "for", 0)))
        return -ERR_CANCELLED;
    int err = rule_edit_read(&u, request_list(r, "subject"));
    if (err == -ERR_NOMEM)
        request_fail(r, err, NULL, NULL);
    else if (err == 0 && !(u.batch = rule_batch_new(request_control(r), r, on_ruled)))
        err = -ERR_NOMEM;
    if (err < 0) {
        rule_edit_fini(&u);
        return err;
    }
    *ret = u;
    return 0;
}

/* One that has an end would end later. One that is not stored gets another chance. */
static bool rule_edit_is_so(const struct rule *r, const struct rule_spec *spec)
{
    return r && !r->is_automatic && r->is_stored && r->until_ms == 0 && spec->until_ms == 0 &&
           r->sessions == spec->sessions && r->login_rate == spec->login_rate &&
           r->failures == spec->failures && str_eq(str_of(r->text), str_of(spec->text));
}

bool rule_edit_put(struct rule_edit *u, struct rule_spec *spec)
{
    struct rule *rule;
    struct request *r = u->request;
    const struct rules_time now = limit_service_now(request_control(r)->limit_service);
    uint64_t life_ms = request_number(r, "for", 0);
    spec->by = r->peer.user;
    spec->created_ms = now.wall_ms;
    spec->until_ms = request_until_ms(r, life_ms);
    if (rule_edit_is_so(rules_find(rule_edit_rules(u), &spec->subject), spec))
        return false;
    int err = rules_put(rule_edit_rules(u), spec, &now, &rule);
    if (err == 0) {
        u->count++;
        err = rule_batch_put(u->batch, u->kind, rule, NULL);
    }
    u->err = u->err < 0 ? u->err : err;
    return err == 0;
}

bool rule_edit_remove(struct rule_edit *u, const struct limit_target *s)
{
    struct rules *rules = rule_edit_rules(u);
    struct rule *rule = rules_find(rules, s);
    if (!rule)
        return false;
    limit_service_lifts(request_control(u->request)->limit_service, rule);
    rules_remove(rules, rule);
    u->count++;
    int err = rule_batch_remove(u->batch, u->kind, s);
    u->err = u->err < 0 ? u->err : err;
    return true;
}

void rule_edit_end(struct rule_edit *u)
{
    struct request *r = u->request;
    struct rule_batch *b = STEAL(u->batch);
    r->count = u->count;
    if (u->err < 0) {
        rule_batch_free(b);
        request_fail(r, u->err, NULL, NULL);
    } else if (u->count == 0) {
        rule_batch_free(b);
        request_done(r, 0, false, "nothing to do");
    } else {
        rule_batch_post(b);
    }
    rule_edit_fini(u);
}

void rule_edit_abort(struct rule_edit *u, int err, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        (void)!buf_vprintf(&text, fmt, ap);
        va_end(ap);
    }
    rule_edit_fini(u);
    if (err < 0)
        request_fail(u->request, err, NULL, "%.*s", STR_ARG(buf_str(&text)));
}

json_t *rule_edit_row(const struct rule *r, const struct rules_time *now)
{
    struct limit_target s;
    char name[LIMIT_TARGET_TEXT_MAX];
    json_t *row = json_object();
    rule_subject(r, &s);
    limit_target_format(name, &s);
    request_set_text(row, "subject", name);
    request_set_text(row, "kind", limit_target_kind_name(r->kind));
    request_set_number(row, "until", r->until_ms);
    if (r->until_ms)
        request_put_number(row, "left",
                           r->until_ms > now->wall_ms ? r->until_ms - now->wall_ms : 0);
    return row;
}
