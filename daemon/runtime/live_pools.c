/* SPDX-License-Identifier: ISC */
/* Pools changed while the proxy runs: the store, the file that catches up, and what is told. */
#include "runtime/live_pools.h"

#include "base/log/log.h"
#include "rpc/json_text.h"
#include "runtime/config_rows.h"
#include "runtime/state.h"

#define POOLS_KIND "pool"

/* ---- the store's value ---- */

static json_t *pool_change_json(const struct pool_change *c)
{
    json_t *v = json_object(), *set = json_object();
    if (c->is_added)
        (void)json_object_set_new(v, "added", json_true());
    if (c->is_removed)
        (void)json_object_set_new(v, "removed", json_true());
    if (c->like)
        (void)json_object_set_new(v, "like", json_string(c->like));
    for (size_t i = 0; i < config_pool_keys(); i++)
        if (c->values[i])
            (void)json_object_set_new(set, config_pool_key_name(i), json_string(c->values[i]));
    (void)json_object_set_new(v, "set", set);
    return v;
}

/* -ERR_SYNTAX, -ERR_NOMEM. Thread: any. */
static int pool_change_parse(const char *name, const char *json, struct pool_change *ret)
{
    json_t *v = json_loads(json, JSON_REJECT_DUPLICATES, NULL), *value;
    json_t *set = json_object_get(v, "set");
    const char *like = json_string_value(json_object_get(v, "like")), *key;
    size_t i;
    int err = json_is_object(v) && json_is_object(set) ? 0 : -ERR_SYNTAX;
    if (err == 0)
        err = pool_change_init(ret, name);
    if (err < 0) {
        json_decref(v);
        return err;
    }
    ret->is_added = json_is_true(json_object_get(v, "added"));
    ret->is_removed = json_is_true(json_object_get(v, "removed"));
    ret->like = str_dup_c(like);
    if (like && !ret->like)
        err = -ERR_NOMEM;
    json_object_foreach (set, key, value) {
        if (err < 0)
            break;
        if (!json_is_string(value) || config_pool_key_find(key, &i) < 0 ||
            !config_pool_key_is_live(i))
            err = -ERR_SYNTAX;
        else
            err = pool_change_set(ret, i, json_string_value(value));
    }
    json_decref(v);
    if (err < 0)
        pool_change_fini(ret);
    return err;
}

struct pools_load {
    struct pool_changes *list;
    int err;
};

static bool pools_load_row(void *arg, const char *kind, const char *name, const char *json,
                           uint64_t at_ms)
{
    struct pools_load *l = arg;
    struct pool_change ch;
    struct pool_changes *next = NULL;
    (void)at_ms;
    if (strcmp(kind, POOLS_KIND) != 0)
        return true;
    int err = pool_change_parse(name, json, &ch);
    if (err < 0) {
        LOG_EVENT(LOG_LEVEL_WARN, "runtime-row-unreadable", KV_STR("pool", name),
                  KV_ERR("error", err));
        return true;
    }
    l->err = pool_changes_with(l->list, &ch, &next);
    pool_change_fini(&ch);
    if (l->err < 0)
        return false;
    pool_changes_unref(l->list);
    l->list = next;
    return true;
}

int live_pools_load(struct live_pools *p, const struct engine_api *host)
{
    struct pools_load l = {0};
    int err = store_runtime_each(host->store, pools_load_row, &l);
    p->registry = host->registry;
    if (err == 0)
        err = l.err;
    if (err == 0)
        live_pools_set(p, l.list, l.list);
    pool_changes_unref(l.list);
    return err;
}

int live_pools_store(struct store *store, const struct pool_changes *list, const char *name)
{
    const struct pool_change *ch = pool_changes_find(list, name);
    AUTO_FREE char *text = ch ? json_text_take(pool_change_json(ch)) : NULL;
    return ch && !text ? -ERR_NOMEM : store_runtime_set(store, POOLS_KIND, name, text);
}

/* ---- in force ---- */

static void changes_put(struct pool_changes **at, struct pool_changes *list)
{
    struct pool_changes *old = *at;
    *at = pool_changes_ref(list);
    pool_changes_unref(old);
}

void live_pools_set(struct live_pools *p, struct pool_changes *now, struct pool_changes *stored)
{
    changes_put(&p->now, now);
    changes_put(&p->stored, stored);
    backend_registry_set_changes(p->registry, now);
}

void live_pools_fini(struct live_pools *p)
{
    pool_changes_unref(STEAL(p->now));
    pool_changes_unref(STEAL(p->stored));
}

/* ---- the file catches up ---- */

struct pools_absorb {
    struct work work;
    struct pool_changes *before, *now, *stored; /* before: what the store has */
    bool is_changed, is_stored;
};

/* The list without what the file says, too. */
static int changes_absorb(const struct config *file, struct pool_changes **list, bool *ret_changed)
{
    int err = 0;
    struct pool_changes *before = *list, *next = pool_changes_ref(before);
    for (size_t i = 0; before && i < before->n && err == 0; i++) {
        CLEANUP(pool_change_fini) struct pool_change ch = {0};
        struct pool_changes *shorter = NULL;
        err = pool_change_copy(&ch, &before->v[i]);
        if (err < 0 || !pool_change_absorb(&ch, config_pool_find(file, ch.name)))
            continue;
        *ret_changed = true;
        LOG_EVENT(LOG_LEVEL_NOTICE, "runtime-edit-in-file", KV_STR("pool", ch.name));
        err = pool_changes_with(next, &ch, &shorter);
        if (err < 0)
            continue;
        pool_changes_unref(next);
        next = shorter;
    }
    pool_changes_unref(before);
    *list = next;
    return err;
}

static int pools_absorb_start(struct work *w)
{
    struct pools_absorb *a = CONTAINER_OF(w, struct pools_absorb, work);
    const struct live_pools *p = &work_control(w)->live_pools;
    const struct config *file = control_snapshot(work_control(w))->config;
    a->now = pool_changes_ref(p->now);
    a->before = pool_changes_ref(p->stored);
    a->stored = pool_changes_ref(a->before);
    int err = changes_absorb(file, &a->now, &a->is_changed);
    return err < 0 ? err : changes_absorb(file, &a->stored, &a->is_stored);
}

static int pools_absorb_run(struct work *w)
{
    const struct pools_absorb *a = CONTAINER_OF(w, struct pools_absorb, work);
    struct store *store = work_control(w)->host->store;
    int err = 0;
    for (size_t i = 0; a->is_stored && i < a->before->n && err == 0; i++)
        err = live_pools_store(store, a->stored, a->before->v[i].name);
    return err;
}

static void pools_absorb_done(struct work *w)
{
    const struct pools_absorb *a = CONTAINER_OF(w, struct pools_absorb, work);
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "runtime-edits-not-settled", KV_ERR("error", w->err));
    else if (a->is_changed || a->is_stored)
        live_pools_set(&work_control(w)->live_pools, a->now, a->stored);
}

static void pools_absorb_fini(struct work *w)
{
    struct pools_absorb *a = CONTAINER_OF(w, struct pools_absorb, work);
    pool_changes_unref(a->before);
    pool_changes_unref(a->now);
    pool_changes_unref(a->stored);
}

void live_pools_absorb(struct control *c)
{
    struct pools_absorb *a = c->live_pools.now || c->live_pools.stored
                                 ? work_new(&c->rpc, NULL, sizeof(*a), pools_absorb_run,
                                            pools_absorb_done, pools_absorb_fini)
                                 : NULL;
    if (!a)
        return;
    a->work.start = pools_absorb_start;
    work_post(&a->work, &c->config_queue);
}

/* ---- what is told ---- */

/* Is a restart to bring back the value of a key? */
static bool value_is_stored(const struct live_pools *p, const char *name, size_t key)
{
    const struct pool_change *now = pool_changes_find(p->now, name);
    const struct pool_change *stored = pool_changes_find(p->stored, name);
    return str_eq_c(now ? now->values[key] : NULL, stored ? stored->values[key] : NULL);
}

/* Is a restart to bring back that the pool is there, or not? */
static bool presence_is_stored(const struct live_pools *p, const char *name)
{
    const struct pool_change *a = pool_changes_find(p->now, name);
    const struct pool_change *b = pool_changes_find(p->stored, name);
    return (a && a->is_added) == (b && b->is_added) && (a && a->is_removed) == (b && b->is_removed);
}

int live_pools_describe(const struct live_pools *p, const char *name, struct buf *out)
{
    static const char until[] = " (until restart)";
    const struct pool_change *ch = pool_changes_find(p->now, name);
    int err = 0;
    if (!ch)
        return 0;
    size_t before = out->len;
    if (ch->is_added || ch->is_removed)
        err = buf_printf(out, "%s%s", ch->is_added ? "added" : "removed",
                         presence_is_stored(p, name) ? "" : until);
    for (size_t i = 0; i < config_pool_keys() && err == 0; i++)
        if (ch->values[i])
            err = buf_printf(out, "%s%s%s", out->len > before ? ", " : "", config_pool_key_path(i),
                             value_is_stored(p, name, i) ? "" : until);
    return err;
}

static void diff_row(json_t *rows, const char *path, const char *now, const char *file,
                     bool is_stored)
{
    (void)json_array_append_new(
        rows,
        config_row(path, now, file, is_stored ? "runtime edit" : "runtime edit until restart"));
}

static void pools_diff_values(const struct live_pools *p, const struct pool_change *ch,
                              const struct config_pool *file, json_t *rows)
{
    for (size_t i = 0; i < config_pool_keys(); i++) {
        AUTO_BUF before = BUF_INIT;
        AUTO_FREE char *path = str_printf("pools[%s].%s", ch->name, config_pool_key_path(i));
        if (!ch->values[i] || (file && config_pool_print(file, i, &before) < 0))
            continue;
        if (!file || !str_eq(buf_str(&before), str_of(ch->values[i])))
            diff_row(rows, path, ch->values[i], before.len ? buf_cstr(&before) : NULL,
                     value_is_stored(p, ch->name, i));
    }
}

void live_pools_diff(const struct live_pools *p, struct config *file, json_t *rows)
{
    for (size_t i = 0; p->now && i < p->now->n; i++) {
        const struct pool_change *ch = &p->now->v[i];
        const struct config_pool *in_file = config_pool_find(file, ch->name);
        AUTO_FREE char *path = str_printf("pools[%s]", ch->name);
        AUTO_FREE char *made = ch->like ? str_printf("like %s", ch->like) : str_dup_c("added");
        AUTO_FREE char *fault = pool_change_fault(ch, file);
        if (ch->is_removed ? in_file != NULL : ch->is_added && !in_file)
            diff_row(rows, path, ch->is_removed ? NULL : made, in_file ? "there" : NULL,
                     presence_is_stored(p, ch->name));
        if (!ch->is_removed)
            pools_diff_values(p, ch, in_file, rows);
        if (fault)
            (void)json_array_append_new(rows, config_row(path, NULL, NULL, fault));
    }
}
