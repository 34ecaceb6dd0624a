/* SPDX-License-Identifier: ISC */
/* config: shows, checks, compares, exports, reloads. */
#include "ops/configs.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "runtime/config_rows.h"
#include "runtime/listener_pause.h"
#include "runtime/live_routes.h"

/* ---- show ---- */

static void config_answer_text(struct request *r, int err, const struct buf *text)
{
    if (err < 0)
        request_fail(r, err, NULL, NULL);
    else
        request_answer(r, json_pack("{s:o}", "text", request_json(buf_str(text))));
}

static unsigned config_dump_flags(const struct request *r)
{
    return request_bool(r, "defaults") ? 0 : CONFIG_DUMP_ONLY_SET;
}

void command_config_show(struct request *r)
{
    AUTO_BUF text = BUF_INIT;
    int err = config_dump(control_setup(request_control(r))->config, config_dump_flags(r), &text);
    config_answer_text(r, err, &text);
}

/* ---- check ---- */

struct config_look {
    struct work work;
    struct config *started, *running, *disk;
    struct config_problems problems;
    struct config_changes changes;
    bool is_diff;
};

static int config_look_run(struct work *w)
{
    struct config_look *l = CONTAINER_OF(w, struct config_look, work);
    const struct engine_api *h = work_control(w)->host;
    int err = h->read_config(h->arg, CONTROL_READ_CHECK, &l->disk, &l->problems, &w->error);
    if (!l->is_diff)
        return err == -ERR_CONFIG ? 0 : err;
    return err == 0 ? configs_changes(l->started, l->running, l->disk, &l->changes)
                    : config_refuse(w, &l->problems, err);
}

static void config_look_fini(struct work *w)
{
    struct config_look *l = CONTAINER_OF(w, struct config_look, work);
    config_unref(l->started);
    config_unref(l->running);
    config_unref(l->disk);
    config_problems_fini(&l->problems);
    config_changes_fini(&l->changes);
}

static json_t *problem_row(const struct config_problem *p)
{
    json_t *row = json_object();
    request_set_text(row, "file", p->file);
    request_set_number(row, "line", p->line);
    request_set_text(row, "key", p->key);
    request_set_text(row, "severity", p->is_warning ? "warning" : "error");
    request_set_text(row, "text", p->text);
    return row;
}

static void config_check_done(struct work *w)
{
    const struct config_look *l = CONTAINER_OF(w, struct config_look, work);
    if (work_fail(w))
        return;
    json_t *rows = json_array();
    size_t n_warnings = 0;
    for (size_t i = 0; i < l->problems.n; i++) {
        n_warnings += l->problems.v[i].is_warning;
        (void)json_array_append_new(rows, problem_row(&l->problems.v[i]));
    }
    AUTO_FREE char *warnings =
        n_warnings ? str_printf(", with %zu warning%s", n_warnings, n_warnings == 1 ? "" : "s")
                   : NULL;
    AUTO_FREE char *valid = n_warnings == l->problems.n
                                ? str_printf("the file is valid%s", warnings ? warnings : "")
                                : NULL;
    request_answer(w->request,
                   json_pack("{s:o, s:b, s:s*}", "rows", rows, "more", 0, "message", valid));
}

static void config_look_start(struct request *r, bool is_diff, void (*done)(struct work *w))
{
    struct config_look *l =
        work_new(r->rpc, r, sizeof(*l), config_look_run, done, config_look_fini);
    if (!l)
        return;
    l->is_diff = is_diff;
    l->running = config_ref(control_setup(request_control(r))->config);
    l->started = configs_started(request_control(r));
    work_post(&l->work, NULL);
}

void command_config_check(struct request *r)
{
    config_look_start(r, false, config_check_done);
}

/* ---- diff ---- */

/* The edits of one backend on their way into rows. */
struct diff_entry {
    json_t *rows;
    const struct runtime_entry *entry;
    const struct pool_edit *left; /* what the file does not say */
    const struct config_backend *file;
};

/* One edit of a backend beside the file's value. */
static void diff_edit(const struct diff_entry *d, enum runtime_value which, const char *key,
                      const char *now, const char *file)
{
    AUTO_FREE char *path = str_printf("pools[%s].backends[%s]%s%s", d->left->pool, d->left->name,
                                      *key ? "." : "", key);
    bool is_kept = runtime_edit_keeps(&d->entry->now, &d->entry->stored, which);
    (void)json_array_append_new(
        d->rows,
        config_row(path, now, file, is_kept ? "runtime edit" : "runtime edit until restart"));
}

static void diff_values(const struct diff_entry *d)
{
    const struct pool_edit *p = d->left;
    const struct config_backend *file = d->file;
    char now[16], before[16], key[32];
    if (p->weight >= 0) {
        (void)snprintf(now, sizeof(now), "%d", p->weight);
        (void)snprintf(before, sizeof(before), "%u", file ? file->weight : 0);
        diff_edit(d, RUNTIME_WEIGHT, "weight", now, file ? before : NULL);
    }
    if (p->has_max_sessions) {
        (void)snprintf(now, sizeof(now), "%u", p->max_sessions);
        (void)snprintf(before, sizeof(before), "%u", file ? file->max_sessions : 0);
        diff_edit(d, RUNTIME_MAX_SESSIONS, "max_sessions", now, file ? before : NULL);
    }
    if (p->has_tls)
        diff_edit(d, RUNTIME_TLS, "tls", config_backend_tls_name(p->tls),
                  file ? config_backend_tls_name(file->tls) : NULL);
    for (int i = 0; i < PROTO_COUNT; i++) {
        const struct proto *proto = proto_get((enum proto_id)i);
        if (!p->ports[i] || !proto)
            continue;
        (void)snprintf(key, sizeof(key), "ports.%s", proto->name);
        (void)snprintf(now, sizeof(now), "%u", p->ports[i]);
        (void)snprintf(before, sizeof(before), "%u", file ? file->ports[i] : 0);
        diff_edit(d, RUNTIME_PORTS, key, now, file && file->ports[i] ? before : NULL);
    }
}

static void diff_entry(json_t *rows, const struct config *c, const struct runtime_entry *e)
{
    CLEANUP(runtime_edit_fini) struct runtime_edit left;
    if (runtime_edit_copy(&left, &e->now) < 0)
        return;
    const struct pool_edit *p = &left.edit;
    const struct config_backend *file = config_backend_find(config_pool_find(c, p->pool), p->name);
    const struct diff_entry d = {rows, e, p, file};
    (void)runtime_edit_absorb(&left, file);
    if (p->is_removed)
        diff_edit(&d, RUNTIME_REMOVED, "", NULL, file ? file->host : NULL);
    else if (p->is_added)
        diff_edit(&d, RUNTIME_ADDED, "", p->host, NULL);
    else if (p->host)
        diff_edit(&d, RUNTIME_HOST, "host", p->host, file ? file->host : NULL);
    diff_values(&d);
    if (p->admin[0])
        diff_edit(&d, RUNTIME_ADMIN, "state", p->admin, NULL);
}

static void diff_unreadable(json_t *rows, const struct runtime *rt)
{
    size_t i;
    json_t *name;
    json_array_foreach ((json_t *)runtime_unreadable(rt), i, name)
        (void)json_array_append_new(rows, config_row(json_string_value(name), NULL, NULL,
                                                     "a runtime edit in the store cannot be read: "
                                                     "backend reset removes it"));
}

static void config_diff_done(struct work *w)
{
    const struct config_look *l = CONTAINER_OF(w, struct config_look, work);
    const struct runtime *rt = work_control(w)->runtime;
    if (work_fail(w))
        return;
    json_t *rows = json_array();
    for (size_t i = 0; i < l->changes.n; i++) {
        const struct config_change *ch = &l->changes.v[i];
        (void)json_array_append_new(
            rows,
            config_change_row(ch, config_change_hidden(rt, work_control(w)->routes, l->disk, ch)));
    }
    LIST_FOREACH (it, runtime_entries(rt))
        diff_entry(rows, l->disk, LIST_ITEM(it, struct runtime_entry, link));
    listener_pause_diff(work_control(w), rows);
    live_routes_diff(work_control(w), l->disk, rows);
    diff_unreadable(rows, rt);
    request_rows(w->request, rows, NULL);
}

void command_config_diff(struct request *r)
{
    config_look_start(r, true, config_diff_done);
}

/* ---- export ---- */

/* A copy of the pools of a config with the edits folded in; strings are borrowed from both. */
struct export
{
    struct config config; /* shallow */
    struct config_pool *pools;
    struct config_backend **backends; /* one array a pool */
};

static void export_fini(struct export *x)
{
    for (size_t i = 0; x->backends && i < x->config.n_pools; i++)
        free(x->backends[i]);
    free(x->backends);
    free(x->pools);
}

static void export_fold(struct config_backend *b, const struct pool_edit *p)
{
    if (p->host)
        b->host = p->host;
    if (p->weight >= 0)
        b->weight = (unsigned)p->weight;
    if (p->has_max_sessions)
        b->max_sessions = p->max_sessions;
    if (p->has_tls)
        b->tls = p->tls;
    for (int i = 0; i < PROTO_COUNT; i++)
        if (p->ports[i])
            b->ports[i] = p->ports[i];
}

static const struct pool_edit *export_edit(const struct pool_edit *edits, size_t n,
                                           const char *pool, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(edits[i].pool, pool) == 0 && strcmp(edits[i].name, name) == 0)
            return &edits[i];
    return NULL;
}

static int export_pool(struct config_pool *p, struct config_backend **ret,
                       const struct pool_edit *edits, size_t n_edits)
{
    struct config_backend *v = calloc(p->n_backends + n_edits + 1, sizeof(*v));
    size_t n = 0;
    if (!v)
        return -ERR_NOMEM;
    for (size_t i = 0; i < p->n_backends; i++) {
        const struct pool_edit *e = export_edit(edits, n_edits, p->name, p->backends[i].name);
        if (e && e->is_removed)
            continue;
        v[n] = p->backends[i];
        if (e)
            export_fold(&v[n], e);
        n++;
    }
    for (size_t i = 0; i < n_edits; i++) {
        const struct pool_edit *e = &edits[i];
        if (!e->is_added || strcmp(e->pool, p->name) != 0 || config_backend_find(p, e->name))
            continue;
        v[n] = (struct config_backend){.name = e->name, .weight = RUNTIME_WEIGHT_DEFAULT};
        export_fold(&v[n++], e);
    }
    p->backends = *ret = v;
    p->n_backends = n;
    return 0;
}

static int export_init(struct export *x, const struct config *c, const struct pool_edit *edits,
                       size_t n_edits)
{
    int err = 0;
    *x = (struct export){.config = *c};
    x->pools = calloc(c->n_pools + 1, sizeof(*x->pools));
    x->backends = calloc(c->n_pools + 1, sizeof(struct config_backend *));
    if (!x->pools || !x->backends)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->n_pools && err == 0; i++) {
        x->pools[i] = c->pools[i];
        err = export_pool(&x->pools[i], &x->backends[i], edits, n_edits);
    }
    x->config.pools = x->pools;
    return err;
}

/* Borrowed, too; the dump reads them only. */
static void export_routes(struct export *x, const struct pools *pools)
{
    size_t n;
    x->config.routes = (struct config_route *)pools_routes(pools, &n);
    x->config.n_routes = n;
}

/* States are no part of a file. */
static int export_states(const struct runtime *rt, struct buf *out)
{
    int err = 0;
    LIST_FOREACH (it, runtime_entries(rt)) {
        const struct pool_edit *p = &LIST_ITEM(it, struct runtime_entry, link)->now.edit;
        if (err == 0 && p->admin[0] && !str_has_crlf_nul(str_of(p->name)))
            err = buf_printf(out, "# %s/%s: %s\n", p->pool, p->name, p->admin);
    }
    return err;
}

void command_config_export(struct request *r)
{
    AUTO_BUF text = BUF_INIT;
    CLEANUP(export_fini) struct export x = {0};
    size_t n;
    const struct pool_edit *edits = runtime_edits(request_control(r)->runtime, &n);
    int err = export_states(request_control(r)->runtime, &text);
    if (err == 0)
        err = listener_pause_comment(request_control(r), &text);
    if (err == 0)
        err = export_init(&x, control_setup(request_control(r))->config, edits, n);
    if (err == 0)
        export_routes(&x, control_setup(request_control(r))->pools);
    if (err == 0)
        /* for admins only, and a file without its secrets would not do the same */
        err = config_dump(&x.config, config_dump_flags(r) | CONFIG_DUMP_SECRETS, &text);
    config_answer_text(r, err, &text);
}

/* ---- reload ---- */

void command_config_reload(struct request *r)
{
    configs_request_reload(r);
}

void command_config_confirm(struct request *r)
{
    configs_request_confirm(r);
}
