/* SPDX-License-Identifier: ISC */
/* The runtime layer: edits of backends in memory and in the store. */
#include "runtime/runtime.h"

#include "base/log/log.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

#define RUNTIME_KIND "backend"

struct runtime {
    struct list entries;
    struct pool_edit *edits; /* those of the entries, for pools_build */
    size_t n_edits;
    json_t *unreadable;
};

static void runtime_entry_free(struct runtime_entry *e)
{
    if (!e)
        return;
    list_del(&e->link);
    runtime_edit_fini(&e->now);
    runtime_edit_fini(&e->stored);
    backend_unref(e->backend);
    free(e);
}

static struct runtime_entry *runtime_entry_new(const char *pool, const char *name)
{
    struct runtime_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    list_init(&e->link);
    e->now.edit.weight = e->stored.edit.weight = -1;
    e->now.edit.pool = str_dup_c(pool);
    e->now.edit.name = str_dup_c(name);
    e->stored.edit.pool = str_dup_c(pool);
    e->stored.edit.name = str_dup_c(name);
    if (e->now.edit.pool && e->now.edit.name && e->stored.edit.pool && e->stored.edit.name)
        return e;
    runtime_entry_free(e);
    return NULL;
}

static bool entry_is_of(const struct runtime_entry *e, const char *pool, const char *name)
{
    return strcmp(e->now.edit.pool, pool) == 0 && strcmp(e->now.edit.name, name) == 0;
}

const struct list *runtime_entries(const struct runtime *r)
{
    return &r->entries;
}

const struct pool_edit *runtime_edits(const struct runtime *r, size_t *ret_n)
{
    *ret_n = r->n_edits;
    return r->edits;
}

int runtime_edits_copy(const struct runtime *r, struct pool_edit **ret, size_t *ret_n)
{
    struct pool_edit *v = calloc(r->n_edits + 1, sizeof(*v));
    size_t n = 0;
    int err = v ? 0 : -ERR_NOMEM;
    for (; err == 0 && n < r->n_edits; n++) {
        const struct pool_edit *e = &r->edits[n];
        v[n] = *e;
        v[n].pool = str_dup_c(e->pool);
        v[n].name = str_dup_c(e->name);
        v[n].host = str_dup_c(e->host);
        if (!v[n].pool || !v[n].name || (e->host && !v[n].host))
            err = -ERR_NOMEM;
    }
    if (err < 0) {
        runtime_edits_free(v, n);
        return err;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

void runtime_edits_free(struct pool_edit *edits, size_t n)
{
    for (size_t i = 0; edits && i < n; i++) {
        free(edits[i].pool);
        free(edits[i].name);
        free(edits[i].host);
    }
    free(edits);
}

const json_t *runtime_unreadable(const struct runtime *r)
{
    return r->unreadable;
}

/* Position among the rows that could not be read, -1 = it is none of them. */
static ptrdiff_t unreadable_index(const struct runtime *r, const char *pool, const char *name)
{
    size_t i;
    json_t *v;
    AUTO_FREE char *key = str_printf("%s/%s", pool, name);
    json_array_foreach (r->unreadable, i, v)
        if (key && strcmp(json_string_value(v), key) == 0)
            return (ptrdiff_t)i;
    return -1;
}

bool runtime_is_unreadable(const struct runtime *r, const char *pool, const char *name)
{
    return unreadable_index(r, pool, name) >= 0;
}

static struct runtime_entry *entry_find(const struct runtime *r, const char *pool, const char *name)
{
    LIST_FOREACH (it, &r->entries) {
        struct runtime_entry *e = LIST_ITEM(it, struct runtime_entry, link);
        if (entry_is_of(e, pool, name))
            return e;
    }
    return NULL;
}

const struct runtime_entry *runtime_find(const struct runtime *r, const char *pool,
                                         const char *name)
{
    return entry_find(r, pool, name);
}

/* ---- a change ---- */

static size_t entries_count(const struct runtime *r)
{
    size_t n = 0;
    LIST_FOREACH (it, &r->entries)
        n++;
    return n;
}

static bool entry_is_dynamic(const struct runtime_entry *e)
{
    return strcmp(e->now.edit.pool, RUNTIME_DYNAMIC) == 0;
}

/* A dynamic backend is in no pool: its state is all there is. */
static void edits_add(struct pool_edit *edits, size_t *n, const struct runtime_entry *e)
{
    if (entry_is_dynamic(e) || runtime_edit_is_empty(&e->now))
        return;
    edits[*n] = e->now.edit;
    edits[*n].is_temporary = !runtime_edit_is_equal(&e->now, &e->stored);
    (*n)++;
}

int runtime_stage_begin(const struct runtime *r, const char *pool, const char *name,
                        struct runtime_stage *ret)
{
    struct runtime_entry *e = runtime_entry_new(pool, name);
    const struct runtime_entry *old = runtime_find(r, pool, name);
    int err = e ? 0 : -ERR_NOMEM;
    if (err == 0 && old) {
        runtime_edit_fini(&e->now);
        runtime_edit_fini(&e->stored);
        err = runtime_edit_copy(&e->now, &old->now);
        if (err == 0)
            err = runtime_edit_copy(&e->stored, &old->stored);
        if (err == 0 && old->backend)
            e->backend = backend_ref(old->backend);
    }
    if (err < 0)
        runtime_entry_free(e);
    else
        *ret = (struct runtime_stage){.entry = e};
    return err;
}

int runtime_stages_list(const struct runtime *r, struct runtime_stage *v, size_t n)
{
    struct runtime_stage *last = &v[n - 1];
    struct pool_edit *edits = calloc(entries_count(r) + n + 1, sizeof(*edits));
    if (!edits)
        return -ERR_NOMEM;
    last->n_edits = 0;
    LIST_FOREACH (it, &r->entries) {
        const struct runtime_entry *e = LIST_ITEM(it, struct runtime_entry, link);
        bool is_staged = false;
        for (size_t i = 0; i < n && !is_staged; i++)
            is_staged = entry_is_of(e, v[i].entry->now.edit.pool, v[i].entry->now.edit.name);
        if (!is_staged)
            edits_add(edits, &last->n_edits, e);
    }
    for (size_t i = 0; i < n; i++)
        edits_add(edits, &last->n_edits, v[i].entry);
    free(last->edits);
    last->edits = edits;
    return 0;
}

int runtime_stage_list(const struct runtime *r, struct runtime_stage *s)
{
    return runtime_stages_list(r, s, 1);
}

int runtime_stage_store(struct runtime_stage *s, struct store *store)
{
    const struct runtime_edit *e = &s->entry->stored;
    bool is_kept = !runtime_edit_is_empty(e);
    AUTO_FREE char *name = str_printf("%s/%s", e->edit.pool, e->edit.name);
    AUTO_FREE char *text = is_kept ? json_text_take(runtime_edit_json(e)) : NULL;
    int err = !name || (is_kept && !text) ? -ERR_NOMEM
                                          : store_runtime_set(store, RUNTIME_KIND, name, text);
    s->is_written = err == 0;
    return err;
}

void runtime_stage_commit(struct runtime *r, struct runtime_stage *s)
{
    struct runtime_entry *e = STEAL(s->entry);
    runtime_entry_free(entry_find(r, e->now.edit.pool, e->now.edit.name));
    free(r->edits);
    r->edits = STEAL(s->edits);
    r->n_edits = s->n_edits;
    ptrdiff_t bad = s->is_written ? unreadable_index(r, e->now.edit.pool, e->now.edit.name) : -1;
    if (bad >= 0)
        (void)json_array_remove(r->unreadable, (size_t)bad);
    if (runtime_edit_is_empty(&e->now) && runtime_edit_is_empty(&e->stored))
        runtime_entry_free(e);
    else
        list_add_tail(&r->entries, &e->link);
}

void runtime_stage_fini(struct runtime_stage *s)
{
    runtime_entry_free(s->entry);
    free(s->edits);
    *s = (struct runtime_stage){0};
}

/* ---- loading ---- */

struct runtime_load {
    struct runtime *runtime;
    int err;
};

static bool load_bad(struct runtime_load *l, const char *name, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARN, "runtime-row-unreadable", KV_STR("backend", name),
              KV_STR("detail", why));
    if (json_array_append_new(l->runtime->unreadable, request_json(str_of(name))) != 0)
        l->err = -ERR_NOMEM;
    return l->err == 0;
}

static bool runtime_load_row(void *arg, const char *kind, const char *name, const char *json,
                             uint64_t at_ms)
{
    struct runtime_load *l = arg;
    struct runtime_edit edit;
    AUTO_FREE char *error = NULL;
    const char *slash = strchr(name, '/');
    (void)at_ms;
    if (strcmp(kind, RUNTIME_KIND) != 0)
        return true;
    if (!slash || slash == name || !slash[1])
        return load_bad(l, name, "its name is not pool/backend");
    if (runtime_edit_parse(json, &edit, &error) < 0)
        return load_bad(l, name, error);
    AUTO_FREE char *pool = str_dup(str_n(name, (size_t)(slash - name)));
    struct runtime_entry *e = pool ? runtime_entry_new(pool, slash + 1) : NULL;
    if (!e) {
        runtime_edit_fini(&edit);
        l->err = -ERR_NOMEM;
        return false;
    }
    edit.edit.pool = STEAL(e->stored.edit.pool);
    edit.edit.name = STEAL(e->stored.edit.name);
    runtime_edit_fini(&e->now);
    e->stored = edit;
    l->err = runtime_edit_copy(&e->now, &e->stored);
    if (l->err < 0)
        runtime_entry_free(e);
    else
        list_add_tail(&l->runtime->entries, &e->link);
    return l->err == 0;
}

/* The object of a stored dynamic backend, "host:port" or "[host]:port". */
static struct backend *load_dynamic(struct backend_registry *registry, const char *name)
{
    const char *colon = strrchr(name, ':');
    uint64_t port;
    if (!colon || str_to_u64(str_of(colon + 1), UINT16_MAX, &port) < 0)
        return NULL;
    struct str host = str_n(name, (size_t)(colon - name));
    if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_n(host.p + 1, host.n - 2);
    AUTO_FREE char *text = str_dup(host);
    return text ? backend_registry_dynamic(registry, text, (uint16_t)port) : NULL;
}

static void load_state(const struct engine_api *h, struct runtime_entry *e)
{
    const struct pool_edit *p = &e->now.edit;
    enum backend_admin admin;
    AUTO_BUF what = BUF_INIT;
    struct backend *b = entry_is_dynamic(e)
                            ? load_dynamic(h->registry, p->name)
                            : backend_registry_get(h->registry, p->pool, p->name, NULL);
    if (runtime_edit_describe(&e->now, NULL, &what) == 0)
        LOG_EVENT(LOG_LEVEL_NOTICE, "runtime-edit", KV_STR("pool", p->pool),
                  KV_STR("backend", p->name), KV_STR("edits", buf_cstr(&what)));
    if (b && p->admin[0] && backend_admin_find(p->admin, &admin) == 0)
        backend_set_admin(b, admin, e->now.since_ms, e->now.reason);
    e->backend = b;
}

static int runtime_load(struct control *c, struct runtime *r)
{
    struct runtime_load l = {.runtime = r};
    int err = store_runtime_each(c->host->store, runtime_load_row, &l);
    if (err == 0)
        err = l.err;
    if (err < 0)
        return err;
    r->edits = calloc(entries_count(r) + 1, sizeof(*r->edits));
    if (!r->edits)
        return -ERR_NOMEM;
    LIST_FOREACH (it, &r->entries) {
        struct runtime_entry *e = LIST_ITEM(it, struct runtime_entry, link);
        load_state(c->host, e);
        edits_add(r->edits, &r->n_edits, e);
    }
    return 0;
}

int runtime_new(struct control *c, struct runtime **ret, char **ret_error)
{
    struct runtime *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    list_init(&r->entries);
    r->unreadable = json_array();
    int err = r->unreadable ? runtime_load(c, r) : -ERR_NOMEM;
    if (err < 0) {
        *ret_error = str_printf("runtime edits cannot be read: %s", err_text(err));
        runtime_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void runtime_free(struct runtime *r)
{
    if (!r)
        return;
    LIST_FOREACH_SAFE (it, &r->entries)
        runtime_entry_free(LIST_ITEM(it, struct runtime_entry, link));
    free(r->edits);
    json_decref(r->unreadable);
    free(r);
}
