/* SPDX-License-Identifier: ISC */
/* session top: how many sessions each user, address, network and so on has. */
#include "base/addr.h"
#include "base/distinct.h"
#include "control/handlers.h"
#include "peers/ask.h"
#include "rpc/json_text.h"
#include "rpc/table_json.h"
#include "runtime/limiter.h"
#include "runtime/state.h"

#define TOP_ROWS 50
#define TOP_ROWS_MAX 1000
/* Groups of one answer: sessions beyond them count for the total alone. */
#define TOP_GROUPS_MAX 250000

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

struct top_group {
    uint64_t sessions, in_bytes, out_bytes, oldest_ms;
    char key[];
};

/* Its groups are counted by the control thread as chunks come in, and put in order by a job thread:
 * there may be as many as there are sessions. */
struct top {
    struct work work;
    enum top_by by;
    struct map groups; /* struct top_group, owned, by key */
    uint64_t n_sessions;
    const char *sort; /* of the request */
    size_t limit, n_groups;
    struct top_group **best; /* owned */
    size_t n_best;
};

/* ---- counting ---- */

/* The network of an address, /24 or /64 of IPv6; "" for what is none. */
static void top_net(char dst[ADDR_TEXT_MAX], struct str ip)
{
    struct addr a;
    dst[0] = '\0';
    if (addr_parse_ip(ip, &a) < 0)
        return;
    struct addr_net net = {.bits = a.family == AF_INET ? 120 : 64, .family = a.family};
    memcpy(net.ip, a.ip, sizeof(net.ip));
    addr_mask(net.ip, net.bits);
    addr_net_format(dst, &net);
}

static struct top_group *top_group(struct top *t, struct str key)
{
    struct top_group *g = map_get(&t->groups, key);
    if (g || t->groups.count >= TOP_GROUPS_MAX)
        return g;
    g = calloc(1, sizeof(*g) + key.n + 1);
    if (!g)
        return NULL;
    memcpy(g->key, key.p, key.n);
    if (map_put(&t->groups, key, g, NULL) == 0)
        return g;
    free(g);
    return NULL;
}

static void top_count(struct top *t, const struct session_row *row)
{
    char net[ADDR_TEXT_MAX];
    struct str key = row->v[top_kinds[t->by].field].text;
    if (t->by == TOP_NET) {
        top_net(net, key);
        key = str_of(net);
    }
    struct top_group *g = top_group(t, key);
    uint64_t age_ms = row->v[SESSION_FIELD_AGE].number;
    t->n_sessions++;
    if (!g)
        return;
    g->sessions++;
    g->in_bytes += row->v[SESSION_FIELD_IN].number;
    g->out_bytes += row->v[SESSION_FIELD_OUT].number;
    g->oldest_ms = age_ms > g->oldest_ms ? age_ms : g->oldest_ms;
}

static bool top_chunk(void *arg, struct session_chunk *chunk)
{
    for (size_t i = 0; i < chunk->n; i++)
        top_count(arg, &chunk->rows[i]);
    session_chunk_free(chunk);
    return true;
}

/* ---- order: job thread ---- */

static uint64_t top_number(const struct top_group *g, const char *column)
{
    return strcmp(column, "in") == 0    ? g->in_bytes
           : strcmp(column, "out") == 0 ? g->out_bytes
           : strcmp(column, "age") == 0 ? g->oldest_ms
                                        : g->sessions;
}

/* Equal ones in the order of their names. */
static int top_order(const void *a, const void *b, void *sort)
{
    const struct top_group *x = *(struct top_group *const *)a, *y = *(struct top_group *const *)b;
    const char *column = sort;
    bool is_descending = column[0] == '-';
    column += is_descending;
    uint64_t n = top_number(x, column), m = top_number(y, column);
    int order = strcmp(column, "key") == 0 ? strcmp(x->key, y->key) : (n > m) - (n < m);
    order = is_descending ? -order : order;
    return order ? order : strcmp(x->key, y->key);
}

/* Keeps the first ones in order. */
static void top_prune(struct top *t)
{
    if (t->n_best > 1)
        qsort_r(t->best, t->n_best, sizeof(struct top_group *), top_order, (void *)t->sort);
    while (t->n_best > t->limit)
        free(t->best[--t->n_best]);
}

static int top_run(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    size_t pos = 0, cap = 2 * t->limit + 100;
    struct str key;
    void *group;
    t->n_groups = t->groups.count;
    t->best = calloc(cap, sizeof(struct top_group *));
    while (t->best && map_next(&t->groups, &pos, &key, &group)) {
        if (t->n_best == cap)
            top_prune(t);
        t->best[t->n_best++] = group;
    }
    if (!t->best)
        return -ERR_NOMEM;
    map_fini(&t->groups);
    t->groups = (struct map){0};
    top_prune(t);
    return 0;
}

/* ---- the answer ---- */

/* Failed logins that count now, of an address; of a user the different wrong passwords. */
static void top_put_failures(const struct top *t, struct control *c, json_t *row, const char *key)
{
    struct limits *l = limiter_limits(c->limiter);
    const struct rules_time now = limiter_now(c->limiter);
    struct addr a;
    if (t->by == TOP_IP && addr_parse(str_of(key), &a) == 0) {
        const struct config_limits *config = limiter_config(c->limiter);
        request_put_number(row, "failures", limits_look_source(l, config, &a, now.ms).failures);
    } else if (t->by == TOP_USER) {
        request_put_number(row, "failures", limits_look_user(l, key).n_passwords);
    }
}

static void top_done(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    struct control *c = work_control(w);
    json_t *rows = json_array();
    if (work_fail(w)) {
        json_decref(rows);
        return;
    }
    for (size_t i = 0; i < t->n_best; i++) {
        const struct top_group *g = t->best[i];
        json_t *row = json_object();
        (void)json_object_set_new(row, "key", request_json(str_of(g->key)));
        request_set_text(row, "by", top_kinds[t->by].name);
        request_put_number(row, "sessions", g->sessions);
        request_put_number(row, "share", t->n_sessions ? g->sessions * 100 / t->n_sessions : 0);
        request_put_number(row, "in", g->in_bytes);
        request_put_number(row, "out", g->out_bytes);
        request_put_number(row, "age", g->oldest_ms);
        top_put_failures(t, c, row, g->key);
        (void)json_array_append_new(rows, row);
    }
    request_answer(w->request,
                   json_pack("{s:o, s:b, s:I, s:I, s:I}", "rows", rows, "more", 0, "seen",
                             (json_int_t)t->n_groups, "matched", (json_int_t)t->n_groups,
                             "sessions", (json_int_t)t->n_sessions));
}

static void top_fini(struct work *w)
{
    struct top *t = CONTAINER_OF(w, struct top, work);
    size_t pos = 0;
    struct str key;
    void *group;
    /* Either the map has them, or those that are left. */
    while (map_next(&t->groups, &pos, &key, &group))
        free(group);
    map_fini(&t->groups);
    for (size_t i = 0; i < t->n_best; i++)
        free(t->best[i]);
    free(t->best);
}

static void top_collected(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct top *t = arg;
    (void)seen;
    (void)matched;
    if (err == 0) {
        work_post(&t->work, NULL);
        return;
    }
    request_fail(t->work.request, err, NULL, NULL);
    work_free(&t->work);
}

static bool top_find_kind(const char *name, enum top_by *ret)
{
    for (int i = 0; i < TOP_COUNT; i++)
        if (strcmp(top_kinds[i].name, name) == 0) {
            *ret = (enum top_by)i;
            return true;
        }
    return false;
}

void command_session_top(struct request *r)
{
    enum top_by by = TOP_USER;
    struct filter *filter = NULL;
    const char *name = request_text(r, "by"), *sort = request_text(r, "sort");
    uint64_t limit = request_number(r, "limit", TOP_ROWS);
    if (name && !top_find_kind(name, &by)) {
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
    t->by = by;
    t->sort = sort ? sort : "-sessions";
    t->limit = limit == 0 || limit > TOP_ROWS_MAX ? TOP_ROWS_MAX : (size_t)limit;
    const struct collect_spec spec = {
        .filter = filter,
        .fields = SESSION_FIELD_BIT(top_kinds[by].field) | SESSION_FIELD_BIT(SESSION_FIELD_IN) |
                  SESSION_FIELD_BIT(SESSION_FIELD_OUT) | SESSION_FIELD_BIT(SESSION_FIELD_AGE),
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
