/* SPDX-License-Identifier: ISC */
/* config diff, config reload: what the file would change, and what that does to what is there. */
#include "ops/configs.h"
#include "ops/reload_impact.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "runtime/config_rows.h"
#include "runtime/listener_pause.h"
#include "runtime/live_pools.h"
#include "runtime/live_routes.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

struct config_compare {
    struct work work;
    struct config *started, *disk;
    struct pool_edit
        *edits; /* as they were: it takes no turn of changes, which do not wait for it */
    size_t n_edits;
    struct snapshot *before;
    struct pools *next;
    struct config_problems problems;
    struct config_changes changes;
    struct reload_impact impact;
    bool is_diff; /* config diff; else what a reload would do */
};

static int compare_start(struct work *w)
{
    struct config_compare *l = CONTAINER_OF(w, struct config_compare, work);
    if (!request_is_wanted(w->request))
        return -ERR_SHUTDOWN;
    int err = runtime_edits_copy(work_control(w)->runtime, &l->edits, &l->n_edits);
    l->before = snapshot_ref(control_snapshot(work_control(w)));
    l->started = configs_started(work_control(w));
    return err;
}

static int compare_run(struct work *w)
{
    struct config_compare *l = CONTAINER_OF(w, struct config_compare, work);
    const struct engine_api *h = work_control(w)->host;
    int err = h->read_config(h->arg, CONTROL_READ_CHECK, &l->disk, &l->problems, &w->error);
    if (err < 0)
        return config_refuse(w, &l->problems, err);
    err = configs_changes(l->started, l->before->config, l->disk, &l->changes);
    if (err == 0)
        err = pools_build_aside(l->disk, l->edits, l->n_edits, h->registry, &l->next, &w->error);
    return err < 0 ? err : reload_impact_find(l->before, l->disk, l->next, h->store, &l->impact);
}

static void compare_fini(struct work *w)
{
    struct config_compare *l = CONTAINER_OF(w, struct config_compare, work);
    runtime_edits_free(l->edits, l->n_edits);
    config_unref(l->started);
    config_unref(l->disk);
    snapshot_unref(l->before);
    pools_unref(l->next);
    config_problems_fini(&l->problems);
    config_changes_fini(&l->changes);
    reload_impact_fini(&l->impact);
}

/* ---- what operators changed beside the file ---- */

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

/* ---- answers ---- */

/* What was counted outlives the work. */
struct compare_answer {
    struct request *request;
    bool is_diff;
    struct reload_impact impact;
    json_t *rows;
    char *changes; /* "3 would change: ..." */
};

static void compare_answer(void *arg, int err)
{
    struct compare_answer *a = arg;
    AUTO_FREE char *impact = reload_impact_text(&a->impact);
    AUTO_FREE char *text = str_printf("%s%s%s", a->changes ? a->changes : "", impact ? "; " : "",
                                      impact ? impact : "");
    if (err < 0) {
        json_decref(a->rows);
        request_fail(a->request, err, NULL, NULL);
    } else {
        reload_impact_rows(&a->impact, a->rows);
        json_t *result = json_pack("{s:o, s:b, s:o}", "rows", a->rows, "more", 0, "impact",
                                   reload_impact_json(&a->impact));
        /* A list says what is there; only the guard wants to know how many it would hit. */
        if (!a->is_diff)
            request_put_number(result, "count", a->impact.ends.n);
        request_set_text(result, "message", a->is_diff ? impact : text);
        request_answer(a->request, result);
    }
    reload_impact_fini(&a->impact);
    free(a->changes);
    free(a);
}

static void compare_done(struct work *w)
{
    struct config_compare *l = CONTAINER_OF(w, struct config_compare, work);
    struct control *c = work_control(w);
    if (work_fail(w))
        return;
    size_t i;
    json_t *name;
    struct compare_answer *a = calloc(1, sizeof(*a));
    if (!a) {
        request_fail(w->request, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *a =
        (struct compare_answer){.request = w->request, .is_diff = l->is_diff, .rows = json_array()};
    /* The changes that the reload itself would answer with. */
    for (i = 0; i < l->changes.n; i++) {
        const struct config_change *ch = &l->changes.v[i];
        (void)json_array_append_new(a->rows,
                                    config_change_row(ch, config_change_hidden(c, l->disk, ch)));
    }
    a->impact = l->impact;
    l->impact = (struct reload_impact){0};
    a->changes = l->changes.n ? str_printf("%zu would change", l->changes.n)
                              : str_dup_c("no key would change");
    if (l->is_diff) {
        LIST_FOREACH (it, runtime_entries(c->runtime))
            diff_entry(a->rows, l->disk, LIST_ITEM(it, struct runtime_entry, link));
        listener_pauses_diff(c->pauses, a->rows);
        live_routes_diff(&c->live_routes, l->disk, a->rows);
        live_pools_diff(&c->live_pools, l->disk, a->rows);
        json_array_foreach ((json_t *)runtime_unreadable(c->runtime), i, name)
            (void)json_array_append_new(
                a->rows, config_row(json_string_value(name), NULL, NULL,
                                    "a runtime edit in the store cannot be read: backend reset "
                                    "removes it"));
    }
    reload_impact_count(c, &a->impact, compare_answer, a);
}

static void compare_post(struct request *r, bool is_diff)
{
    struct config_compare *l =
        work_new(r->rpc, r, sizeof(*l), compare_run, compare_done, compare_fini);
    if (!l)
        return;
    l->work.start = compare_start;
    l->is_diff = is_diff;
    work_post(&l->work, &request_control(r)->look_queue);
}

void command_config_diff(struct request *r)
{
    compare_post(r, true);
}

void command_config_reload(struct request *r)
{
    if (request_bool(r, "dry_run"))
        compare_post(r, false);
    else
        configs_request_reload(r);
}
