/* SPDX-License-Identifier: ISC */
/* config show, check, export, confirm. */
#include "ops/configs.h"
#include "rpc/handlers.h"
#include "runtime/listener_pause.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

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
    int err =
        config_dump(control_snapshot(request_control(r))->config, config_dump_flags(r), &text);
    config_answer_text(r, err, &text);
}

/* ---- check ---- */

struct config_check_work {
    struct work work;
    struct config *disk;
    struct config_problems problems;
};

static int config_check_start(struct work *w)
{
    return request_is_wanted(w->request) ? 0 : -ERR_SHUTDOWN;
}

static int config_check_run(struct work *w)
{
    struct config_check_work *l = CONTAINER_OF(w, struct config_check_work, work);
    const struct engine_api *h = work_control(w)->host;
    int err = h->read_config(h->arg, CONTROL_READ_CHECK, &l->disk, &l->problems, &w->error);
    return err == -ERR_CONFIG ? 0 : err;
}

static void config_check_fini(struct work *w)
{
    struct config_check_work *l = CONTAINER_OF(w, struct config_check_work, work);
    config_unref(l->disk);
    config_problems_fini(&l->problems);
}

static void config_check_done(struct work *w)
{
    const struct config_check_work *l = CONTAINER_OF(w, struct config_check_work, work);
    if (work_fail(w))
        return;
    json_t *rows = json_array();
    size_t n_warnings = 0;
    for (size_t i = 0; i < l->problems.n; i++) {
        const struct config_problem *p = &l->problems.v[i];
        json_t *row = json_object();
        n_warnings += p->is_warning;
        request_set_text(row, "file", p->file);
        request_set_number(row, "line", p->line);
        request_set_text(row, "key", p->key);
        request_set_text(row, "severity", p->is_warning ? "warning" : "error");
        request_set_text(row, "text", p->text);
        (void)json_array_append_new(rows, row);
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

void command_config_check(struct request *r)
{
    struct config_check_work *l =
        work_new(r->rpc, r, sizeof(*l), config_check_run, config_check_done, config_check_fini);
    if (!l)
        return;
    l->work.start = config_check_start;
    work_post(&l->work, &request_control(r)->look_queue);
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

void command_config_export(struct request *r)
{
    AUTO_BUF text = BUF_INIT;
    CLEANUP(export_fini) struct export x = {0};
    size_t n;
    const struct pool_edit *edits = runtime_edits(request_control(r)->runtime, &n);
    /* States are no part of a file. */
    int err = 0;
    LIST_FOREACH (it, runtime_entries(request_control(r)->runtime)) {
        const struct pool_edit *p = &LIST_ITEM(it, struct runtime_entry, link)->now.edit;
        if (err == 0 && p->admin[0] && !str_has_crlf_nul(str_of(p->name)))
            err = buf_printf(&text, "# %s/%s: %s\n", p->pool, p->name, p->admin);
    }
    if (err == 0)
        err = listener_pauses_comment(request_control(r)->pauses, &text);
    if (err == 0)
        err = export_init(&x, control_snapshot(request_control(r))->pools->config, edits, n);
    if (err == 0) {
        const struct pools *pools = control_snapshot(request_control(r))->pools;
        x.config.routes = (struct config_route *)pools_routes(pools, &n); /* borrowed, only read */
        x.config.n_routes = n;
        /* for admins only, and a file without its secrets would not do the same */
        err = config_dump(&x.config, config_dump_flags(r) | CONFIG_DUMP_SECRETS, &text);
    }
    config_answer_text(r, err, &text);
}

void command_config_confirm(struct request *r)
{
    configs_request_confirm(r);
}
