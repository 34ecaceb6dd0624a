/* SPDX-License-Identifier: ISC */
/* Rules as JSON, and the jobs that write them. */
#include "runtime/rules/rule_db.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/container/array.h"
#include "base/log/log.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

struct rule_change {
    const char *kind; /* static */
    char *json;       /* NULL = remove */
    char *audit;      /* NULL */
    uint64_t created_ms;
    struct limit_target subject;
};

struct rule_batch {
    struct work work;
    void (*done)(struct rule_batch *b, int err);
    struct rule_change *changes;
    size_t n, cap;
};

/* ---- a rule as JSON ---- */

static char *rule_json(const struct rule *r)
{
    json_t *row = json_object();
    request_put_number(row, "created", r->created_ms);
    request_set_number(row, "until", r->until_ms);
    request_set_text(row, "text", r->text);
    request_set_text(row, "by", r->by);
    if (r->is_automatic)
        (void)json_object_set_new(row, "automatic", json_true());
    if (r->sessions != RULE_KEEP)
        request_put_number(row, "sessions", r->sessions);
    if (r->login_rate != RULE_KEEP)
        request_put_number(row, "login_rate", r->login_rate);
    if (r->failures != RULE_KEEP)
        request_put_number(row, "failures", r->failures);
    return json_text_take(row);
}

static uint64_t rule_number(const json_t *row, const char *name, uint64_t other)
{
    const json_t *v = json_object_get(row, name);
    return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v)
                                                            : other;
}

/* Texts are borrowed from the row. */
static int rule_read(const json_t *row, const char *name, struct rule_spec *ret)
{
    *ret = (struct rule_spec){
        .is_automatic = json_is_true(json_object_get(row, "automatic")),
        .created_ms = rule_number(row, "created", 0),
        .until_ms = rule_number(row, "until", 0),
        .text = json_string_value(json_object_get(row, "text")),
        .by = json_string_value(json_object_get(row, "by")),
        .sessions = rule_number(row, "sessions", RULE_KEEP),
        .login_rate = rule_number(row, "login_rate", RULE_KEEP),
        .failures = rule_number(row, "failures", RULE_KEEP),
    };
    return json_is_object(row) ? limit_target_parse(str_of(name), &ret->subject) : -ERR_SYNTAX;
}

/* ---- writing ---- */

static int change_audit(struct store *store, const char *name, const struct rule_change *x)
{
    const struct store_audit row = {.at_ms = clock_wall_ms(),
                                    .uid = (uint32_t)geteuid(),
                                    .pid = (uint32_t)getpid(),
                                    .user = "mailproxy",
                                    .command = "ban.add",
                                    .args = name,
                                    .reason = x->audit,
                                    .result = "ok",
                                    .count = 1};
    return store_audit_add(store, &row);
}

static int change_write(struct store *store, const struct rule_change *x)
{
    char name[LIMIT_TARGET_TEXT_MAX];
    limit_target_format(name, &x->subject);
    int err = store_runtime_set(store, x->kind, name, x->json);
    return err == 0 && x->json && x->audit ? change_audit(store, name, x) : err;
}

static int rule_batch_run(struct work *w)
{
    const struct rule_batch *b = CONTAINER_OF(w, struct rule_batch, work);
    int first = 0;
    for (size_t i = 0; i < b->n; i++) {
        int err = change_write(work_control(w)->host->store, &b->changes[i]);
        first = first < 0 ? first : err;
    }
    return first;
}

static void rule_batch_done(struct work *w)
{
    struct rule_batch *b = CONTAINER_OF(w, struct rule_batch, work);
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "rules-not-stored", KV_U64("count", b->n),
                  KV_ERR("error", w->err));
    b->done(b, w->err);
}

static void rule_batch_fini(struct work *w)
{
    struct rule_batch *b = CONTAINER_OF(w, struct rule_batch, work);
    for (size_t i = 0; i < b->n; i++) {
        free(b->changes[i].json);
        free(b->changes[i].audit);
    }
    free(b->changes);
}

struct rule_batch *rule_batch_new(struct control *c, struct request *r,
                                  void (*done)(struct rule_batch *b, int err))
{
    struct rule_batch *b =
        work_new(&c->rpc, r, sizeof(*b), rule_batch_run, rule_batch_done, rule_batch_fini);
    if (b)
        b->done = done;
    return b;
}

void rule_batch_free(struct rule_batch *b)
{
    if (b)
        work_free(&b->work);
}

static struct rule_change *rule_batch_room(struct rule_batch *b)
{
    if (!ARRAY_ROOM(b->changes, b->n, b->cap))
        return NULL;
    return &b->changes[b->n];
}

int rule_batch_put(struct rule_batch *b, const char *kind, const struct rule *r, const char *audit)
{
    struct rule_change *x = rule_batch_room(b);
    char *json = x ? rule_json(r) : NULL;
    if (!json)
        return -ERR_NOMEM;
    *x = (struct rule_change){
        .kind = kind, .json = json, .audit = str_dup_c(audit), .created_ms = r->created_ms};
    rule_subject(r, &x->subject);
    b->n++;
    return 0;
}

int rule_batch_remove(struct rule_batch *b, const char *kind, const struct limit_target *s)
{
    struct rule_change *x = rule_batch_room(b);
    if (!x)
        return -ERR_NOMEM;
    *x = (struct rule_change){.kind = kind, .subject = *s};
    b->n++;
    return 0;
}

void rule_batch_post(struct rule_batch *b)
{
    work_post(&b->work, &work_control(&b->work)->rule_queue);
}

struct request *rule_batch_request(const struct rule_batch *b)
{
    return b->work.request;
}

struct control *rule_batch_control(const struct rule_batch *b)
{
    return work_control(&b->work);
}

void rule_batch_each(const struct rule_batch *b,
                     void (*fn)(void *arg, const char *kind, const struct limit_target *s,
                                uint64_t created_ms),
                     void *arg)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->changes[i].json)
            fn(arg, b->changes[i].kind, &b->changes[i].subject, b->changes[i].created_ms);
}

int rule_db_put(struct control *c, const char *kind, const struct rule *r)
{
    struct rule_change x = {.kind = kind, .json = rule_json(r)};
    rule_subject(r, &x.subject);
    int err = x.json ? change_write(c->host->store, &x) : -ERR_NOMEM;
    free(x.json);
    return err;
}

/* ---- loading ---- */

struct rule_loading {
    void (*load)(void *arg, const char *kind, const struct rule_spec *spec);
    void *arg;
};

static bool rule_load_row(void *arg, const char *kind, const char *name, const char *json,
                          uint64_t at_ms)
{
    static const char *const kinds[] = {RULE_DB_BAN, RULE_DB_OVERRIDE};
    const struct rule_loading *l = arg;
    struct rule_spec spec;
    (void)at_ms;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kind, kinds[i]) != 0)
            continue;
        json_t *row = json_loads(json, 0, NULL);
        if (rule_read(row, name, &spec) == 0)
            l->load(l->arg, kinds[i], &spec);
        else
            LOG_EVENT(LOG_LEVEL_ERROR, "rule-unreadable", KV_STR("kind", kind),
                      KV_STR("subject", name));
        json_decref(row);
    }
    return true;
}

int rule_db_load(struct control *c,
                 void (*load)(void *arg, const char *kind, const struct rule_spec *spec), void *arg)
{
    struct rule_loading l = {.load = load, .arg = arg};
    return store_runtime_each(c->host->store, rule_load_row, &l);
}
