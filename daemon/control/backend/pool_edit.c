/* SPDX-License-Identifier: ISC */
/* pool add, set, remove, reset: pools while the proxy runs. */
#include <inttypes.h>

#include "control/backend/backend_list.h"
#include "ops/reload_impact.h"
#include "peers/ask.h"
#include "rpc/handlers.h"
#include "runtime/live_pools.h"
#include "runtime/runtime.h"

struct pool_edits {
    struct work work;
    const char *name; /* of the request */
    /* Changes what is in force, and what is stored, of the pool. -ERR_x with work.error set. */
    int (*edit)(struct pool_edits *p, struct pool_change *ch);
    bool is_removal, is_dry, is_changed, is_stored;
    struct snapshot *before;
    struct pool_changes *now, *stored; /* as they will be */
    struct runtime_stage *stages;      /* edits of backends that go with an added pool */
    size_t n_stages;
    struct pools *pools;
    struct reload_impact impact;
    char *named; /* by what it is named: listeners, routes; NULL = by nothing */
};

static int edits_refuse(struct pool_edits *p, int err, char *text)
{
    free(p->work.error);
    p->work.error = text;
    return err;
}

/* ---- values ---- */

/* How a value is written after it was read: two ways to write it are one value. */
static int edits_canonical(struct pool_edits *p, size_t key, const char *text, struct buf *out)
{
    struct config *scratch;
    struct config_pool pool;
    int err = config_derive(p->before->config, 0, &scratch);
    if (err < 0)
        return err;
    err = config_pool_init(scratch, &pool, p->name, NULL);
    if (err == 0)
        err = config_pool_set(scratch, &pool, key, text, &p->work.error);
    if (err == 0)
        err = config_pool_print(&pool, key, out);
    config_unref(scratch);
    return err == -ERR_CONFIG ? -ERR_BAD_PARAM : err;
}

/* The values that the request gives, as the file has them. */
static int edits_values(struct pool_edits *p, struct pool_change *ch)
{
    const struct request *r = p->work.request;
    int err = 0;
    for (size_t i = 0; i < config_pool_keys() && err == 0; i++) {
        AUTO_BUF value = BUF_INIT;
        const char *name = config_pool_key_name(i);
        enum config_pool_kind kind = config_pool_key_kind(i);
        if (!config_pool_key_is_live(i) || !request_has(r, name))
            continue;
        AUTO_FREE char *text =
            kind == POOL_KEY_NUMBER     ? str_printf("%" PRIu64, request_number(r, name, 0))
            : kind == POOL_KEY_DURATION ? str_printf("%" PRIu64 "ms", request_number(r, name, 0))
                                        : str_dup_c(request_text(r, name));
        err = text ? edits_canonical(p, i, text, &value) : -ERR_NOMEM;
        if (err == 0)
            err = pool_change_set(ch, i, value.len ? buf_cstr(&value) : "");
    }
    return err;
}

/* The values of another pool, as they are now. */
static int edits_like(struct pool_edits *p, struct pool_change *ch, const char *like)
{
    const struct pool_change *other =
        pool_changes_find(work_control(&p->work)->live_pools.now, like);
    const char *of = other && other->is_added ? other->like : like;
    if (!pools_find(p->before->pools, like))
        return edits_refuse(p, -ERR_NO_POOL, str_printf("there is no pool %.128s", like));
    ch->like = str_dup_c(of);
    int err = of && !ch->like ? -ERR_NOMEM : 0;
    for (size_t i = 0; other && i < config_pool_keys() && err == 0; i++)
        err = pool_change_set(ch, i, other->values[i]);
    return err;
}

static int pool_edit_add(struct pool_edits *p, struct pool_change *ch)
{
    const struct request *r = p->work.request;
    const char *like = request_text(r, "like");
    bool is_in_file = config_pool_find(p->before->config, p->name) != NULL;
    CLEANUP(pool_change_fini) struct pool_change wanted = {0};
    int err = pool_change_init(&wanted, p->name);
    if (err < 0)
        return err;
    if (is_in_file && like && *like)
        return edits_refuse(
            p, -ERR_BAD_PARAM,
            str_printf("like: the file has pool %s with values of its own", p->name));
    wanted.is_added = !is_in_file;
    if (like && *like)
        err = edits_like(p, &wanted, like);
    if (err == 0)
        err = edits_values(p, &wanted);
    if (err < 0)
        return err;
    bool is_there = pools_find(p->before->pools, p->name) != NULL;
    if (is_there && !pool_change_is_equal(ch, &wanted))
        return edits_refuse(p, -ERR_EXISTS,
                            str_printf("there is a pool %s already: pool set changes it", p->name));
    pool_change_fini(ch);
    *ch = wanted;
    wanted = (struct pool_change){0};
    return 0;
}

static int pool_edit_set(struct pool_edits *p, struct pool_change *ch)
{
    return edits_values(p, ch);
}

static int pool_edit_remove(struct pool_edits *p, struct pool_change *ch)
{
    bool is_in_file = config_pool_find(p->before->config, p->name) != NULL;
    pool_change_fini(ch);
    int err = pool_change_init(ch, p->name);
    if (err == 0)
        ch->is_removed = is_in_file;
    return err;
}

static int pool_edit_reset(struct pool_edits *p, struct pool_change *ch)
{
    if (ch->is_added && !config_pool_find(p->before->config, p->name))
        return edits_refuse(
            p, -ERR_CONFIG,
            str_printf("pool %s is not in the file: pool remove takes it out", p->name));
    pool_change_fini(ch);
    return pool_change_init(ch, p->name);
}

/* ---- by what a pool is named ---- */

static int named_add(struct buf *text, const char *what, const char *which)
{
    return buf_printf(text, "%s%s%s%s", text->len ? ", " : "", what, which ? " " : "",
                      which ? which : "");
}

static int edits_find_names(struct pool_edits *p)
{
    const struct snapshot *s = p->before;
    AUTO_BUF text = BUF_INIT;
    size_t n;
    int err = 0;
    if (s->pools->n > 0 && strcmp(s->pools->v[0].config->name, p->name) == 0)
        err = named_add(&text, "it is the default pool", NULL);
    for (size_t i = 0; i < s->n_listeners && err == 0; i++) {
        const struct config_listener *l = s->listeners[i].config;
        if (l->pool && strcmp(l->pool, p->name) == 0)
            err = named_add(&text, "listener", l->name);
    }
    const struct config_route *routes = pools_routes(s->pools, &n);
    for (size_t i = 0; i < n && err == 0; i++) {
        char number[24];
        (void)snprintf(number, sizeof(number), "%zu", i + 1);
        if (strcmp(routes[i].pool, p->name) == 0)
            err = named_add(&text, "route", number);
    }
    if (err == 0 && text.len > 0 && !(p->named = buf_steal(&text)))
        err = -ERR_NOMEM;
    return err;
}

/* ---- a change and its turn ---- */

/* The edits of the backends of an added pool go with it: a new one of its name begins empty. */
static int edits_stage_backends(struct pool_edits *p)
{
    const struct runtime *rt = work_control(&p->work)->runtime;
    bool is_temporary = request_bool(p->work.request, "until_restart");
    size_t n = 0;
    int err = 0;
    LIST_FOREACH (it, runtime_entries(rt))
        n++;
    p->stages = calloc(n + 1, sizeof(*p->stages));
    if (!p->stages)
        return -ERR_NOMEM;
    LIST_FOREACH (it, runtime_entries(rt)) {
        const struct pool_edit *e = &LIST_ITEM(it, struct runtime_entry, link)->now.edit;
        if (err < 0 || strcmp(e->pool, p->name) != 0)
            continue;
        struct runtime_stage *s = &p->stages[p->n_stages];
        err = runtime_stage_begin(rt, e->pool, e->name, s);
        if (err < 0)
            continue;
        p->n_stages++;
        runtime_edit_clear(&s->entry->now);
        if (!is_temporary)
            runtime_edit_clear(&s->entry->stored);
    }
    return err < 0 || p->n_stages == 0 ? err : runtime_stages_list(rt, p->stages, p->n_stages);
}

/* One of the two lists with the edit in it. */
static int edits_apply(struct pool_edits *p, struct pool_changes *before, struct pool_changes **ret)
{
    CLEANUP(pool_change_fini) struct pool_change ch = {0};
    const struct pool_change *old = pool_changes_find(before, p->name);
    int err = old ? pool_change_copy(&ch, old) : pool_change_init(&ch, p->name);
    if (err == 0)
        err = p->edit(p, &ch);
    if (err < 0)
        return err;
    /* What is as in the file is no edit. */
    (void)pool_change_absorb(&ch, config_pool_find(p->before->config, p->name));
    return pool_changes_with(before, &ch, ret);
}

static int edits_start(struct work *w)
{
    struct pool_edits *p = CONTAINER_OF(w, struct pool_edits, work);
    struct control *c = work_control(w);
    bool is_temporary = request_bool(w->request, "until_restart");
    p->before = snapshot_ref(control_snapshot(c));
    int err = edits_apply(p, c->live_pools.now, &p->now);
    if (err == 0 && is_temporary)
        p->stored = pool_changes_ref(c->live_pools.stored);
    else if (err == 0)
        err = edits_apply(p, c->live_pools.stored, &p->stored);
    if (err < 0)
        return err;
    p->is_stored = !pool_changes_are_equal(p->stored, c->live_pools.stored);
    p->is_changed = p->is_stored || !pool_changes_are_equal(p->now, c->live_pools.now);
    if (p->is_removal && p->is_changed)
        err = edits_find_names(p);
    if (err == 0 && p->is_removal && p->is_changed && !config_pool_find(p->before->config, p->name))
        err = edits_stage_backends(p);
    return err;
}

/* "it is the default pool, route 2; takes out: pool b, b/b1 (3 sessions go on)"; owned, NULL = it
 * hurts nobody. */
static char *edits_consequences(const struct pool_edits *p)
{
    uint64_t hit = 0;
    for (size_t i = 0; i < p->impact.n; i++)
        hit += p->impact.v[i].sessions + p->impact.v[i].pins;
    AUTO_FREE char *impact = hit ? reload_impact_text(&p->impact) : NULL;
    if (!p->named && !impact)
        return NULL;
    return str_printf("%s%s%s", p->named ? p->named : "", p->named && impact ? "; " : "",
                      impact ? impact : "");
}

static int edits_judge(struct pool_edits *p)
{
    int err = reload_impact_find(p->before, p->before->config, p->pools,
                                 work_control(&p->work)->host->store, &p->impact);
    AUTO_FREE char *text = err == 0 ? edits_consequences(p) : NULL;
    if (err < 0 || !text || p->is_dry || request_bool(p->work.request, "force"))
        return err;
    return edits_refuse(p, -ERR_BUSY,
                        str_printf("pool %s is in use: %s; --force takes it out all the same: "
                                   "logins that lead there fail, sessions go on",
                                   p->name, text));
}

static int edits_run(struct work *w)
{
    struct pool_edits *p = CONTAINER_OF(w, struct pool_edits, work);
    const struct engine_api *h = work_control(w)->host;
    size_t n;
    const struct pool_edit *edits = runtime_edits(work_control(w)->runtime, &n);
    if (!p->is_changed)
        return 0;
    if (p->n_stages > 0) {
        edits = p->stages[p->n_stages - 1].edits;
        n = p->stages[p->n_stages - 1].n_edits;
    }
    int err =
        pools_build_changed(p->before->config, p->now, edits, n, h->registry, &p->pools, &w->error);
    if (err == 0 && p->is_removal)
        err = edits_judge(p);
    if (err < 0 || p->is_dry || !p->is_stored)
        return err;
    err = live_pools_store(h->store, p->stored, p->name);
    for (size_t i = 0; i < p->n_stages && err == 0; i++)
        err = runtime_stage_store(&p->stages[i], h->store);
    if (err < 0)
        w->error = str_printf("%s: nothing was changed; until_restart changes it without the store",
                              err_text(err));
    return err;
}

static void edits_done(struct work *w)
{
    struct pool_edits *p = CONTAINER_OF(w, struct pool_edits, work);
    struct control *c = work_control(w);
    const struct engine_api *h = c->host;
    bool is_done = p->is_changed && !p->is_dry;
    if (work_fail(w))
        return;
    if (is_done) {
        live_pools_set(&c->live_pools, p->now, p->stored);
        backend_registry_set_last(h->registry, p->pools);
        for (size_t i = 0; i < p->n_stages; i++)
            runtime_stage_commit(c->runtime, &p->stages[i]);
        w->err = h->publish_pools(h->arg, STEAL(p->pools));
        sessions_wake(c, NULL);
        if (work_fail(w))
            return;
    }
    AUTO_FREE char *text = edits_consequences(p);
    const char *mode = p->is_dry ? "nothing was changed; " : "";
    if (text)
        request_done(w->request, p->is_changed, is_done, "%s%s", mode, text);
    else
        request_done(w->request, p->is_changed, is_done,
                     p->is_dry && p->is_changed ? "nothing was changed; it could be" : NULL);
}

static void edits_fini(struct work *w)
{
    struct pool_edits *p = CONTAINER_OF(w, struct pool_edits, work);
    for (size_t i = 0; i < p->n_stages; i++)
        runtime_stage_fini(&p->stages[i]);
    free(p->stages);
    pool_changes_unref(p->now);
    pool_changes_unref(p->stored);
    pools_unref(p->pools);
    snapshot_unref(p->before);
    reload_impact_fini(&p->impact);
    free(p->named);
}

static void edits_post(struct request *r, int (*edit)(struct pool_edits *p, struct pool_change *ch))
{
    struct pool_edits *p = work_new(r->rpc, r, sizeof(*p), edits_run, edits_done, edits_fini);
    if (!p)
        return;
    p->work.start = edits_start;
    p->name = request_text(r, "name");
    p->edit = edit;
    p->is_removal = edit == pool_edit_remove;
    p->is_dry = request_bool(r, "dry_run");
    work_post(&p->work, &request_control(r)->config_queue);
}

/* ---- the commands ---- */

void command_pool_add(struct request *r)
{
    if (config_name_is_good(request_text(r, "name")))
        edits_post(r, pool_edit_add);
    else
        request_fail(r, -ERR_BAD_PARAM, NULL,
                     "a name has 1 to 64 letters, digits, dots, hyphens and underscores");
}

void command_pool_set(struct request *r)
{
    bool has_any = false;
    for (size_t i = 0; i < config_pool_keys(); i++)
        has_any =
            has_any || (config_pool_key_is_live(i) && request_has(r, config_pool_key_name(i)));
    if (!has_any)
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say what to set: help pool set has the keys");
    else if (!pools_find(control_snapshot(request_control(r))->pools, request_text(r, "name")))
        pool_fail(r, request_text(r, "name"));
    else
        edits_post(r, pool_edit_set);
}

/* There, or changed: also one that cannot be applied, or that the file no longer has. */
static void edits_post_known(struct request *r,
                             int (*edit)(struct pool_edits *p, struct pool_change *ch))
{
    const struct control *c = request_control(r);
    const char *name = request_text(r, "name");
    if (pools_find(control_snapshot(c)->pools, name) ||
        pool_changes_find(c->live_pools.now, name) || pool_changes_find(c->live_pools.stored, name))
        edits_post(r, edit);
    else
        pool_fail(r, name);
}

void command_pool_remove(struct request *r)
{
    edits_post_known(r, pool_edit_remove);
}

void command_pool_reset(struct request *r)
{
    edits_post_known(r, pool_edit_reset);
}
