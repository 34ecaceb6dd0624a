/* SPDX-License-Identifier: ISC */
/* Changing the routes while the proxy runs. */
#include "runtime/live_routes.h"

#include "base/log/log.h"
#include "proto/registry/registry.h"
#include "rpc/json_text.h"
#include "runtime/config_rows.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

#define ROUTES_KIND "routes"
#define ROUTES_NAME "all"
#define ROUTES_MAX 10000

/* ---- the store's value ---- */

static json_t *live_routes_json(const struct routes *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
        json_t *one = json_object();
        request_set_text(one, "domain", r->v[i].domain);
        request_set_text(one, "user", r->v[i].user);
        request_set_text(one, "listener", r->v[i].listener);
        request_set_text(one, "protocol", r->v[i].proto ? r->v[i].proto->name : NULL);
        request_set_text(one, "pool", r->v[i].pool);
        (void)json_array_append_new(list, one);
    }
    return list;
}

static int route_read(const json_t *m, struct config_route *ret)
{
    const char *proto = json_string_value(json_object_get(m, "protocol"));
    *ret = (struct config_route){
        .domain = json_string_value(json_object_get(m, "domain")),
        .user = json_string_value(json_object_get(m, "user")),
        .listener = json_string_value(json_object_get(m, "listener")),
        .proto = proto ? proto_find(str_of(proto)) : NULL,
        .pool = json_string_value(json_object_get(m, "pool")),
    };
    return !json_is_object(m) || !ret->pool || (proto && !ret->proto) ? -ERR_SYNTAX : 0;
}

/* -ERR_SYNTAX, -ERR_NOMEM. */
static int live_routes_parse(const char *json, struct routes **ret)
{
    json_t *list = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    size_t n = json_array_size(list);
    AUTO_FREE struct config_route *v = calloc(n + 1, sizeof(*v));
    int err = !v ? -ERR_NOMEM : !json_is_array(list) || n > ROUTES_MAX ? -ERR_SYNTAX : 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = route_read(json_array_get(list, i), &v[i]);
    if (err == 0)
        err = routes_new(v, n, ret);
    json_decref(list);
    return err;
}

static void routes_put(struct routes **at, struct routes *r)
{
    routes_unref(*at);
    *at = routes_ref(r);
}

static bool routes_load_row(void *arg, const char *kind, const char *name, const char *json,
                            uint64_t at_ms)
{
    struct live_routes *l = arg;
    struct routes *r = NULL;
    (void)at_ms;
    if (strcmp(kind, ROUTES_KIND) != 0)
        return true;
    int err = strcmp(name, ROUTES_NAME) == 0 ? live_routes_parse(json, &r) : -ERR_SYNTAX;
    if (err < 0) {
        LOG_EVENT(LOG_LEVEL_WARN, "runtime-row-unreadable", KV_STR("routes", name),
                  KV_ERR("error", err));
        return true;
    }
    routes_put(&l->now, r);
    routes_put(&l->stored, r);
    routes_unref(r);
    return true;
}

int live_routes_load(struct live_routes *l, const struct engine_api *host)
{
    int err = store_runtime_each(host->store, routes_load_row, l);
    if (err == 0)
        backend_registry_set_routes(host->registry, l->now);
    return err;
}

void live_routes_fini(struct live_routes *l)
{
    routes_unref(STEAL(l->now));
    routes_unref(STEAL(l->stored));
}

/* ---- a change ---- */

static bool routes_is_same(const struct routes *a, const struct routes *b)
{
    return a && b ? routes_are_equal(a->v, a->n, b->v, b->n) : a == b;
}

static int routes_change_start(struct work *w)
{
    struct route_change *ch = CONTAINER_OF(w, struct route_change, work);
    const struct control *c = work_control(w);
    const struct snapshot *snapshot = control_snapshot(c);
    size_t n;
    const struct config_route *now = pools_routes(snapshot->pools, &n);
    ch->config = config_ref(snapshot->config);
    ch->v = calloc(n + 1, sizeof(*ch->v));
    if (!ch->v)
        return -ERR_NOMEM;
    if (n > 0)
        memcpy(ch->v, now, n * sizeof(*now));
    ch->n = n;
    int err = ch->edit(ch);
    if (err == 0 && ch->n > ROUTES_MAX)
        err = -ERR_TOO_MANY;
    /* What is as in the file is no edit. */
    if (err == 0 && !ch->is_reset &&
        !routes_are_equal(ch->v, ch->n, ch->config->routes, ch->config->n_routes))
        err = routes_new(ch->v, ch->n, &ch->next);
    if (err < 0)
        return err;
    bool is_temporary = w->request && request_bool(w->request, "until_restart");
    ch->is_stored = !is_temporary && !routes_is_same(ch->next, c->live_routes.stored);
    ch->is_changed = ch->is_stored || !routes_is_same(ch->next, c->live_routes.now);
    return 0;
}

static int change_store(const struct route_change *ch)
{
    struct store *store = work_control(&ch->work)->host->store;
    AUTO_FREE char *text = ch->next ? json_text_take(live_routes_json(ch->next)) : NULL;
    return ch->next && !text ? -ERR_NOMEM
                             : store_runtime_set(store, ROUTES_KIND, ROUTES_NAME, text);
}

static int routes_change_run(struct work *w)
{
    struct route_change *ch = CONTAINER_OF(w, struct route_change, work);
    const struct engine_api *h = work_control(w)->host;
    size_t n;
    if (!ch->is_changed || ch->look)
        return 0;
    const struct pool_edit *edits = runtime_edits(work_control(w)->runtime, &n);
    int err = pools_build(ch->config, edits, n, h->registry, &ch->pools, &w->error);
    if (err < 0)
        return err;
    pools_set_routes(ch->pools, ch->next);
    err = ch->is_stored ? change_store(ch) : 0;
    if (err < 0)
        w->error = str_printf("%s: nothing was changed; until_restart changes it without the store",
                              err_text(err));
    return err;
}

static void routes_change_done(struct work *w)
{
    struct route_change *ch = CONTAINER_OF(w, struct route_change, work);
    struct control *c = work_control(w);
    const struct engine_api *h = c->host;
    if (w->err == 0 && ch->look) {
        ch->look(ch);
        return;
    }
    if (w->err == 0 && ch->is_changed) {
        routes_put(&c->live_routes.now, ch->next);
        if (ch->is_stored)
            routes_put(&c->live_routes.stored, ch->next);
        backend_registry_set_routes(h->registry, ch->next);
        w->err = h->publish_pools(h->arg, STEAL(ch->pools));
    }
    if (!work_fail(w) && w->request)
        request_done(w->request, ch->is_changed, ch->is_changed, NULL);
}

static void routes_change_fini(struct work *w)
{
    struct route_change *ch = CONTAINER_OF(w, struct route_change, work);
    free(ch->v);
    routes_unref(ch->next);
    pools_unref(ch->pools);
    config_unref(ch->config);
}

static void routes_change_post(struct control *c, struct request *r,
                               int (*edit)(struct route_change *ch),
                               void (*look)(struct route_change *ch))
{
    struct route_change *ch = work_new(&c->rpc, r, sizeof(*ch), routes_change_run,
                                       routes_change_done, routes_change_fini);
    if (!ch)
        return;
    ch->work.start = routes_change_start;
    ch->edit = edit;
    ch->look = r && request_bool(r, "dry_run") ? look : NULL;
    work_post(&ch->work, &c->config_queue);
}

void live_routes_change(struct request *r, int (*edit)(struct route_change *ch),
                        void (*look)(struct route_change *ch))
{
    routes_change_post(request_control(r), r, edit, look);
}

/* The list stays as it is: that it is the file's is found out. */
static int edit_nothing(struct route_change *ch)
{
    (void)ch;
    return 0;
}

void live_routes_absorb(struct control *c)
{
    const struct config *file = control_snapshot(c)->config;
    if (c->live_routes.now && routes_are_equal(c->live_routes.now->v, c->live_routes.now->n,
                                               file->routes, file->n_routes))
        routes_change_post(c, NULL, edit_nothing, NULL);
}

/* ---- beside the file ---- */

bool live_routes_are_stored(const struct live_routes *l)
{
    return routes_is_same(l->now, l->stored);
}

static char *routes_text(const struct config_route *v, size_t n)
{
    AUTO_BUF text = BUF_INIT;
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        err = text.len ? buf_append_c(&text, "; ") : 0;
        if (err == 0)
            err = route_print(&v[i], &text);
        if (err == 0)
            err = buf_printf(&text, " -> %s", v[i].pool);
    }
    return err == 0 && text.len ? buf_steal(&text) : NULL;
}

void live_routes_diff(const struct live_routes *l, const struct config *file, json_t *rows)
{
    const struct routes *r = l->now;
    if (!r || routes_are_equal(r->v, r->n, file->routes, file->n_routes))
        return;
    AUTO_FREE char *now = routes_text(r->v, r->n);
    AUTO_FREE char *before = routes_text(file->routes, file->n_routes);
    (void)json_array_append_new(
        rows,
        config_row("routes", now ? now : "none", before,
                   live_routes_are_stored(l) ? "runtime edit" : "runtime edit until restart"));
}
