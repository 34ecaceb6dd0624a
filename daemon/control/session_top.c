/* SPDX-License-Identifier: ISC */
/* session top: how many sessions each user, address, network and so on has. */
#include "base/addr.h"
#include "base/container/distinct.h"
#include "peers/ask.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/history/history.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"
#include "session/admin/groups.h"

#define TOP_ROWS 50
#define TOP_ROWS_MAX 1000

enum top_by {
    TOP_USER,
    TOP_IP,
    TOP_NET,
    TOP_BACKEND,
    TOP_LISTENER,
    TOP_CLIENT,
    TOP_PROTO,
    TOP_COUNT
};

static const struct {
    const char *name;
    enum session_field field;
} top_kinds[TOP_COUNT] = {
    [TOP_USER] = {"user", SESSION_FIELD_USER},
    [TOP_IP] = {"ip", SESSION_FIELD_IP},
    [TOP_NET] = {"net", SESSION_FIELD_IP},
    [TOP_BACKEND] = {"backend", SESSION_FIELD_BACKEND},
    [TOP_LISTENER] = {"listener", SESSION_FIELD_LISTENER},
    [TOP_CLIENT] = {"client", SESSION_FIELD_CLIENT},
    [TOP_PROTO] = {"proto", SESSION_FIELD_PROTO},
};

/* The workers count their own sessions; a job thread adds their groups up and puts them in order:
 * there may be as many as there are sessions. */
struct top {
    struct work work;
    enum top_by by;
    struct session_groups **parts; /* owned: one of each worker */
    size_t n_parts;
    struct session_groups groups; /* of engines that send rows */
    uint64_t n_sessions;
    char *filter; /* text of the request's; owned, NULL */
    struct top_sort {
        size_t at; /* of an amount in struct session_group */
        bool is_by_key, is_descending;
    } sort;
    bool is_short; /* memory was */
    size_t limit, n_groups;
    json_t *rows;                /* the answer */
    struct session_group **best; /* borrowed from groups, in the job thread */
    size_t n_best;
};

/* ---- counting ---- */

/* A row of an engine that knows no groups. */
static int top_count(struct top *t, const struct session_row *row)
{
    char net[ADDR_TEXT_MAX];
    struct str key = row->v[top_kinds[t->by].field].text;
    uint64_t age_ms = row->v[SESSION_FIELD_AGE].number;
    struct addr a;
    if (t->by == TOP_NET) {
        net[0] = '\0';
        if (addr_parse_ip(key, &a) == 0)
            session_group_net(net, &a);
        key = str_of(net);
    }
    const struct session_group one = {.sessions = 1,
                                      .young = age_ms < SESSION_YOUNG_MS,
                                      .in_bytes = row->v[SESSION_FIELD_IN].number,
                                      .out_bytes = row->v[SESSION_FIELD_OUT].number,
                                      .oldest_ms = age_ms};
    return session_groups_add(&t->groups, key, &one);
}

static bool top_chunk(void *arg, struct session_chunk *chunk)
{
    struct top *t = arg;
    bool is_good = true;
    for (size_t i = 0; i < chunk->n && is_good; i++)
        is_good = top_count(t, &chunk->rows[i]) == 0;
    if (chunk->groups) {
        struct session_groups **v = realloc(t->parts, (t->n_parts + 1) * sizeof(*v));
        is_good = is_good && v;
        if (v) {
            t->parts = v;
            t->parts[t->n_parts++] = STEAL(chunk->groups);
        }
    }
    session_chunk_free(chunk);
    t->is_short = t->is_short || !is_good;
    return is_good;
}

/* ---- order: job thread ---- */

/* The columns that groups are put in order by; all others: by the sessions. */
static const struct {
    const char *name;
    size_t at; /* in struct session_group, a uint64_t */
} top_amounts[] = {
    {"sessions", offsetof(struct session_group, sessions)},
    {"in", offsetof(struct session_group, in_bytes)},
    {"out", offsetof(struct session_group, out_bytes)},
    {"age", offsetof(struct session_group, oldest_ms)},
    {"new", offsetof(struct session_group, young)},
};

/* text: a column, behind "-" for the highest first; NULL = "-sessions". */
static struct top_sort top_sort_of(const char *text)
{
    struct top_sort sort = {.is_descending = !text || *text == '-'};
    const char *name = text ? text + sort.is_descending : "";
    sort.is_by_key = strcmp(name, "key") == 0;
    for (size_t i = 0; i < ARRAY_LEN(top_amounts); i++)
        if (strcmp(name, top_amounts[i].name) == 0)
            sort.at = top_amounts[i].at;
    return sort;
}

static int top_compare_keys(const struct session_group *x, const struct session_group *y)
{
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int order = n ? memcmp(x->key.p, y->key.p, n) : 0;
    return order ? order : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

/* Equal ones in the order of their names. */
static int top_order(const void *a, const void *b, void *arg)
{
    const struct session_group *x = *(struct session_group *const *)a;
    const struct session_group *y = *(struct session_group *const *)b;
    const struct top_sort *sort = arg;
    uint64_t n, m;
    memcpy(&n, (const char *)x + sort->at, sizeof(n));
    memcpy(&m, (const char *)y + sort->at, sizeof(m));
    int order = sort->is_by_key ? top_compare_keys(x, y) : (n > m) - (n < m);
    order = sort->is_descending ? -order : order;
    return order ? order : top_compare_keys(x, y);
}

/* Keeps the first ones in order. */
static void top_prune(struct top *t)
{
    if (t->n_best > 1)
        qsort_r(t->best, t->n_best, sizeof(struct session_group *), top_order, &t->sort);
    t->n_best = t->n_best < t->limit ? t->n_best : t->limit;
}

static json_t *top_row(const struct top *t, const struct session_group *g)
{
    AUTO_BUF text = BUF_INIT;
    json_t *row = json_object();
    (void)json_object_set_new(row, "key", request_json(g->key));
    request_set_text(row, "by", top_kinds[t->by].name);
    request_put_number(row, "sessions", g->sessions);
    request_put_number(row, "share", t->n_sessions ? g->sessions * 100 / t->n_sessions : 0);
    request_put_number(row, "in", g->in_bytes);
    request_put_number(row, "out", g->out_bytes);
    request_put_number(row, "age", g->oldest_ms);
    request_put_number(row, "new", g->young);
    /* What lists or kills just these: the filter of the request and the group's own. */
    bool is_exact = t->by != TOP_NET && t->by != TOP_IP && g->key.n > 0;
    int err = buf_printf(&text, "%s%s%s%s", t->filter ? t->filter : "", t->filter ? " " : "",
                         session_filter_fields[top_kinds[t->by].field].name, is_exact ? "==" : "=");
    if (err == 0 && filter_print_value(&text, g->key) == 0)
        (void)json_object_set_new(row, "filter", request_json(buf_str(&text)));
    return row;
}

/* The best of `all` as rows. */
static int top_choose(struct top *t, const struct session_groups *all)
{
    size_t pos = 0, cap = 2 * t->limit + 100;
    struct str key;
    void *group;
    t->n_groups = all->by_key.count;
    t->best = calloc(cap, sizeof(struct session_group *));
    if (!t->best)
        return -ERR_NOMEM;
    while (map_next(&all->by_key, &pos, &key, &group)) {
        if (t->n_best == cap)
            top_prune(t);
        t->best[t->n_best++] = group;
    }
    top_prune(t);
    t->rows = json_array();
    for (size_t k = 0; k < t->n_best; k++)
        if (json_array_append_new(t->rows, top_row(t, t->best[k])) < 0)
            return -ERR_NOMEM;
    return 0;
}

/* All that may be many is freed here, too: not on the control thread. */
static int top_run(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    int err = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        if (err == 0)
            err = session_groups_merge(&t->groups, t->parts[i]);
        session_groups_free(t->parts[i]);
    }
    t->n_parts = 0;
    if (err == 0)
        err = top_choose(t, &t->groups);
    session_groups_fini(&t->groups);
    t->n_best = 0;
    return err;
}

/* ---- the answer ---- */

/* Failed logins that count now, of an address; of a user the different wrong passwords. */
static void top_put_failures(const struct top *t, struct control *c, json_t *row, struct str key)
{
    struct limits *l = limit_service_limits(c->limit_service);
    const struct rules_time now = limit_service_now(c->limit_service);
    struct addr a;
    if (t->by == TOP_IP && addr_parse(key, &a) == 0) {
        const struct config_limits *config = limit_service_config(c->limit_service);
        request_put_number(row, "failures", limits_look_source(l, config, &a, now.ms).failures);
    } else if (t->by == TOP_USER) {
        AUTO_FREE char *name = str_dup(key);
        request_put_number(row, "failures", name ? limits_look_user(l, name).n_passwords : 0);
    }
}

/* Of a backend or protocol the daemon counts logins; of others it does not. */
static void top_put_rates(const struct top *t, const struct control *c, json_t *row, struct str key)
{
    AUTO_FREE char *name = str_dup(key);
    const struct proto *p = proto_find(key);
    const struct history_series *s = NULL;
    struct window_counts seen;
    if (t->by == TOP_PROTO && p)
        s = history_proto(c->history, p->id);
    else if (t->by == TOP_BACKEND && name)
        s = history_backend(c->history, name);
    if (!s)
        return;
    history_window(c->history, s, WINDOW_MINUTE, &seen);
    request_put_number(row, "logins", seen.logins);
    request_put_number(row, "failures", seen.failures);
}

static void top_done(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    struct control *c = work_control(w);
    size_t i;
    json_t *row;
    if (work_fail(w))
        return;
    json_array_foreach (t->rows, i, row) {
        const json_t *key = json_object_get(row, "key");
        struct str text = str_n(json_string_value(key), json_string_length(key));
        top_put_failures(t, c, row, text);
        top_put_rates(t, c, row, text);
    }
    request_answer(w->request,
                   json_pack("{s:o, s:b, s:I, s:I, s:I}", "rows", STEAL(t->rows), "more", 0, "seen",
                             (json_int_t)t->n_groups, "matched", (json_int_t)t->n_groups,
                             "sessions", (json_int_t)t->n_sessions));
}

static void top_fini(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    for (size_t i = 0; i < t->n_parts; i++)
        session_groups_free(t->parts[i]);
    free(t->parts);
    session_groups_fini(&t->groups);
    free(t->best);
    json_decref(t->rows);
    free(t->filter);
}

static void top_collected(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct top *t = arg;
    (void)seen;
    t->n_sessions = matched;
    if (t->is_short)
        err = -ERR_NOMEM;
    if (err == 0) {
        work_post(&t->work, NULL);
        return;
    }
    request_fail(t->work.request, err, NULL, NULL);
    work_free(&t->work);
}

void command_session_top(struct request *r)
{
    int by = 0;
    struct filter *filter = NULL;
    const char *name = request_text(r, "by"), *sort = request_text(r, "sort");
    uint64_t limit = request_number(r, "limit", TOP_ROWS);
    while (by < TOP_COUNT && strcmp(top_kinds[by].name, name ? name : "user") != 0)
        by++;
    if (by == TOP_COUNT) {
        AUTO_BUF hint = BUF_INIT;
        for (int i = 0; i < TOP_COUNT; i++)
            (void)!BUF_APPEND(&hint, i ? ", " : "", top_kinds[i].name);
        request_fail(r, -ERR_BAD_PARAM, buf_cstr(&hint), "sessions cannot be grouped by \"%.64s\"",
                     name);
        return;
    }
    if (request_filter(r, "filter", session_filter_fields, SESSION_FIELD_COUNT, &filter) < 0)
        return;
    struct top *t = work_new(r->rpc, r, sizeof(*t), top_run, top_done, top_fini);
    if (!t) {
        filter_unref(filter);
        return;
    }
    t->by = (enum top_by)by;
    t->filter = filter && !filter_is_empty(filter) ? str_dup_c(filter_text(filter)) : NULL;
    t->sort = top_sort_of(sort);
    t->limit = limit == 0 || limit > TOP_ROWS_MAX ? TOP_ROWS_MAX : (size_t)limit;
    const struct collect_spec spec = {.query.filter = filter,
                                      .query.fields = SESSION_FIELD_BIT(top_kinds[by].field) |
                                                      SESSION_FIELD_BIT(SESSION_FIELD_IN) |
                                                      SESSION_FIELD_BIT(SESSION_FIELD_OUT) |
                                                      SESSION_FIELD_BIT(SESSION_FIELD_AGE),
                                      .query.is_grouped = true,
                                      .query.is_by_net = by == TOP_NET,
                                      .query.group_by = top_kinds[by].field,
                                      .chunk = top_chunk,
                                      .done = top_collected,
                                      .arg = t};
    int err = collect_start(request_control(r), &spec);
    filter_unref(filter);
    if (err < 0) {
        request_fail(r, err, NULL, NULL);
        work_free(&t->work);
    }
}

void command_user_top(struct request *r)
{
    command_session_top(r);
}
