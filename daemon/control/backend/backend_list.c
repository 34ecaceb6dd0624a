/* SPDX-License-Identifier: ISC */
/* Backends: finding, listing, showing. */
#include "control/backend/backend_list.h"

#include "base/cert_days.h"
#include "base/clock.h"
#include "control/backend/latency_row.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"

#define NAMES_MAX 512 /* compared for a hint */

void target_fini(struct target *t)
{
    backend_unref(t->backend);
    free(t->pool);
    free(t->name);
    *t = (struct target){0};
}

/* ---- all backends ---- */

/* Calls fn for each member of a pool and each dynamic backend; false ends it. */
static int targets_each(struct control *c, bool (*fn)(void *arg, const struct target *t), void *arg)
{
    const struct pools *pools = control_snapshot(c)->pools;
    struct backend **dynamics = NULL;
    size_t n = 0;
    bool is_going_on = true;
    for (size_t i = 0; i < pools->n && is_going_on; i++)
        for (size_t k = 0; k < pools->v[i].n_members && is_going_on; k++) {
            const struct pool_member *m = &pools->v[i].members[k];
            const struct target t = {m->backend, m->backend->pool, m->backend->name, &pools->v[i],
                                     m};
            is_going_on = fn(arg, &t);
        }
    int err = backend_registry_dynamics(c->host->registry, &dynamics, &n);
    if (err < 0)
        return err;
    for (size_t i = 0; i < n; i++) {
        const struct target t = {dynamics[i], dynamics[i]->pool, dynamics[i]->name, NULL, NULL};
        is_going_on = is_going_on && fn(arg, &t);
        backend_unref(dynamics[i]);
    }
    free(dynamics);
    return 0;
}

struct target_names {
    const char *names[NAMES_MAX];
    size_t n;
};

static bool names_add(void *arg, const struct target *t)
{
    struct target_names *names = arg;
    /* Those of dynamic backends do not outlive the walk, and nobody types them. */
    if (t->member)
        names->names[names->n++] = t->name;
    return names->n < NAMES_MAX;
}

struct target_search {
    const char *name;
    char *pool; /* NULL = any */
    struct target found;
    size_t n;
    int err;
};

static bool search_one(void *arg, const struct target *t)
{
    struct target_search *s = arg;
    if (strcmp(t->name, s->name) != 0 || (s->pool && strcmp(t->pool, s->pool) != 0))
        return true;
    if (s->n++ > 0)
        return true;
    s->found = (struct target){backend_ref(t->backend), str_dup_c(t->pool), str_dup_c(t->name),
                               t->in, t->member};
    s->err = s->found.pool && s->found.name ? 0 : -ERR_NOMEM;
    return s->err == 0;
}

/* A dynamic backend may be named by its address alone, which may have slashes of its own: the whole
 * text is tried first. */
static int search_run(struct control *c, struct target_search *s, const char *text)
{
    s->name = text;
    int err = targets_each(c, search_one, s);
    const char *slash = strchr(text, '/');
    if (err < 0 || s->err < 0 || s->n > 0 || !slash)
        return err < 0 ? err : s->err;
    s->name = slash + 1;
    s->pool = str_dup(str_n(text, (size_t)(slash - text)));
    err = s->pool ? targets_each(c, search_one, s) : -ERR_NOMEM;
    free(s->pool);
    return err < 0 ? err : s->err;
}

int target_find(struct request *r, const char *text, struct target *ret)
{
    struct target_search s = {0};
    int err = search_run(request_control(r), &s, text);
    if (err == 0 && s.n == 1) {
        *ret = s.found;
        return 0;
    }
    if (err < 0) {
        request_fail(r, err, NULL, NULL);
    } else if (s.n == 0) {
        struct target_names names = {.n = 0};
        const char *slash = strrchr(text, '/');
        if (targets_each(request_control(r), names_add, &names) < 0)
            names.n = 0;
        err = -ERR_NO_BACKEND;
        request_fail(r, err, str_nearest(slash ? slash + 1 : text, names.names, names.n),
                     "there is no backend %.128s", text);
    } else {
        AUTO_FREE char *hint = str_printf("%s/%s", s.found.pool, s.found.name);
        err = -ERR_BAD_PARAM;
        request_fail(r, err, hint, "%zu pools have a backend %s: say pool/name", s.n, text);
    }
    target_fini(&s.found);
    return err;
}

/* ---- rows ---- */

static void row_place(json_t *row, const struct target *t)
{
    AUTO_BUF ports = BUF_INIT;
    const struct pool_member *m = t->member;
    request_set_text(row, "name", t->name);
    request_set_text(row, "pool", t->pool);
    request_set_text(row, "host", m ? m->host : t->name);
    if (!m)
        return;
    if (backend_ports_print(m->ports, &ports) == 0)
        request_set_text(row, "ports", buf_cstr(&ports));
    request_put_number(row, "weight", m->weight);
    request_set_text(row, "tls", config_back_tls_name(m->tls));
}

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

static void backend_row_state(json_t *row, const struct backend *b)
{
    char by[BACKEND_BY_MAX];
    uint64_t took = LOAD(b->check_us);
    int64_t expires = backend_cert_expires(b), now = (int64_t)(clock_wall_ms() / 1000);
    request_set_text(row, "admin", backend_admin_name(LOAD(b->admin)));
    request_set_text(row, "health", backend_health_name(LOAD(b->health)));
    request_put_number(row, "sessions", backend_sessions(b));
    request_put_number(row, "logins", LOAD(b->logins));
    request_put_number(row, "failures", LOAD(b->login_failures) + LOAD(b->connect_failures));
    request_put_number(row, "in", LOAD(b->in_bytes));
    request_put_number(row, "out", LOAD(b->out_bytes));
    request_set_number(row, "admin_since", LOAD(b->admin_since_ms));
    request_set_number(row, "health_since", LOAD(b->health_since_ms));
    request_set_number(row, "last_check", LOAD(b->last_check_ms));
    if (LOAD(b->last_check_ms))
        request_put_number(row, "check_ms", (took + 500) / 1000);
    backend_checked_by(b, by);
    request_set_text(row, "checked_by", by);
    if (expires)
        (void)json_object_set_new(row, "cert_days", json_integer(cert_days(expires, now)));
    AUTO_BUF full = BUF_INIT;
    uint64_t places = backend_places(b), sessions = backend_sessions(b);
    request_put_number(row, "max_sessions", LOAD(b->max_sessions));
    request_put_number(row, "in_flight", places > sessions ? places - sessions : 0);
    if (backend_is_full(b) && backend_places_print(b, &full) == 0)
        request_set_text(row, "full", buf_cstr(&full));
    char reason[BACKEND_REASON_MAX];
    backend_admin_reason(b, reason);
    request_set_text(row, "admin_reason", reason);
    backend_reason(b, reason);
    request_set_text(row, "reason", reason);
    AUTO_BUF down = BUF_INIT;
    if (backend_down_print(b, &down) == 0)
        request_set_text(row, "down", buf_cstr(&down));
}

/* A row of backend list. */
static json_t *backend_row(struct control *c, const struct target *t)
{
    json_t *row = json_object();
    row_place(row, t);
    backend_row_state(row, t->backend);
    const struct history_series *s = history_of_backend(c->history, t->backend);
    latency_row(row, c->history, s);
    latency_row_recent(row, c->history, s);
    AUTO_BUF edits = BUF_INIT;
    const struct runtime_entry *e = runtime_find(c->runtime, t->pool, t->name);
    bool is_edited = e && !runtime_edit_is_empty(&e->now);
    request_set_text(row, "origin", is_edited ? "runtime" : t->member ? "file" : "dynamic");
    if (is_edited && runtime_edit_describe(&e->now, &e->stored, &edits) == 0)
        request_set_text(row, "edits", buf_cstr(&edits));
    return row;
}

struct row_list {
    struct control *control;
    json_t *rows;
};

static bool list_one(void *arg, const struct target *t)
{
    struct row_list *l = arg;
    return json_array_append_new(l->rows, backend_row(l->control, t)) == 0;
}

/* ---- several ---- */

void targets_fini(struct targets *t)
{
    for (size_t i = 0; i < t->n; i++)
        target_fini(&t->v[i]);
    free(t->v);
    *t = (struct targets){0};
}

struct backend **targets_backends(const struct targets *t)
{
    struct backend **v = calloc(t->n, sizeof(struct backend *));
    for (size_t i = 0; v && i < t->n; i++)
        v[i] = t->v[i].backend;
    return v;
}

/* Takes over t. */
static int targets_add(struct targets *all, struct target *t)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].backend == t->backend) {
            target_fini(t);
            return 0;
        }
    struct target *v = all->n < TARGETS_MAX ? realloc(all->v, (all->n + 1) * sizeof(*v)) : NULL;
    if (!v) {
        target_fini(t);
        return all->n < TARGETS_MAX ? -ERR_NOMEM : -ERR_TOO_MANY;
    }
    all->v = v;
    v[all->n++] = *t;
    return 0;
}

struct target_pick {
    struct control *control;
    const struct filter *filter;
    struct targets *all;
    int err;
};

static bool pick_one(void *arg, const struct target *t)
{
    struct target_pick *p = arg;
    json_t *row = backend_row(p->control, t);
    bool is_match = row && filter_match(p->filter, command_row_get, row);
    json_decref(row);
    if (!is_match)
        return true;
    struct target copy = {backend_ref(t->backend), str_dup_c(t->pool), str_dup_c(t->name), t->in,
                          t->member};
    p->err = targets_add(p->all, &copy);
    return p->err == 0;
}

static int targets_pick(struct request *r, struct targets *all)
{
    struct filter *filter = NULL;
    struct control *c = request_control(r);
    int err = request_filter_rows(r, "backend.list", &filter);
    if (err < 0 || !filter) /* the request is answered, or there is no filter */
        return err;
    struct target_pick pick = {c, filter, all, 0};
    err = targets_each(c, pick_one, &pick);
    if (err == 0)
        err = pick.err;
    if (err == 0 && all->n == 0)
        err = -ERR_NO_MATCH;
    if (err == -ERR_NO_MATCH)
        request_fail(r, err, NULL, "no backend matches");
    else if (err < 0)
        request_fail(r, err, NULL, NULL);
    filter_unref(filter);
    return err;
}

static int targets_name(struct request *r, struct targets *all, const char *name)
{
    struct target t;
    int err = target_find(r, name, &t);
    if (err < 0)
        return err;
    err = targets_add(all, &t);
    if (err < 0)
        request_fail(r, err, NULL, "%d backends at most", TARGETS_MAX);
    return err;
}

int targets_find(struct request *r, struct targets *ret)
{
    const json_t *names = request_list(r, "name");
    int err = 0;
    *ret = (struct targets){0};
    for (size_t i = 0; i < json_array_size(names) && err == 0; i++)
        err = targets_name(r, ret, json_string_value(json_array_get(names, i)));
    if (err == 0 && !json_is_array(names) && request_text(r, "name"))
        err = targets_name(r, ret, request_text(r, "name"));
    if (err == 0)
        err = targets_pick(r, ret);
    if (err == 0 && ret->n == 0) {
        err = -ERR_MISSING_PARAM;
        request_fail(r, err, NULL, "say which backends, or a filter");
    }
    if (err < 0)
        targets_fini(ret);
    return err;
}

void command_backend_list(struct request *r)
{
    struct row_list l = {request_control(r), json_array()};
    int err = targets_each(request_control(r), list_one, &l);
    if (err == 0) {
        latency_mark_slow(l.rows);
        table_answer(r, l.rows);
        return;
    }
    json_decref(l.rows);
    request_fail(r, err, NULL, NULL);
}

/* What checks learned, of all protocols. */
static void row_capabilities(json_t *row, const struct backend *b)
{
    AUTO_BUF all = BUF_INIT;
    char caps[BACKEND_CAPS_MAX];
    for (int i = 0; i < PROTO_COUNT; i++) {
        const struct proto *p = proto_get((enum proto_id)i);
        if (!p)
            continue;
        backend_capabilities(b, p->id, caps);
        for (char *lf = strchr(caps, '\n'); lf; lf = strchr(lf, '\n'))
            *lf = ' ';
        if (*caps)
            (void)!buf_printf(&all, "%s%s: %s", all.len ? "; " : "", p->name, caps);
    }
    request_set_text(row, "capabilities", buf_cstr(&all));
}

void command_backend_show(struct request *r)
{
    struct target t;
    if (target_find(r, request_text(r, "name"), &t) < 0)
        return;
    json_t *row = backend_row(request_control(r), &t);
    row_capabilities(row, t.backend);
    target_fini(&t);
    request_answer(r, row);
}
