/* SPDX-License-Identifier: ISC */
/* pool list, show. */
#include "backend/places.h"
#include "control/backend/backend_list.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/live_pools.h"

#define LOAD(x) atomic_load_explicit(&(x), memory_order_relaxed)

void pool_fail(struct request *r, const char *name)
{
    const struct pools *pools = control_snapshot(request_control(r))->pools;
    AUTO_FREE const char **names = calloc(pools->n + 1, sizeof(*names));
    for (size_t i = 0; names && i < pools->n; i++)
        names[i] = pools->v[i].config->name;
    request_fail(r, -ERR_NO_POOL, names ? str_nearest(name, names, pools->n) : NULL,
                 "there is no pool %.128s", name);
}

static json_t *pool_row(const struct control *c, const struct pool *p)
{
    json_t *row = json_object();
    AUTO_BUF edits = BUF_INIT;
    const struct pool_change *ch = pool_changes_find(c->live_pools.now, p->config->name);
    uint64_t sessions = 0, usable = 0;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct backend *b = p->members[i].backend;
        sessions += backend_sessions(b);
        usable += LOAD(b->admin) == BACKEND_READY && LOAD(b->health) != BACKEND_DOWN &&
                  !backend_is_full(b);
    }
    request_set_text(row, "name", p->config->name);
    request_set_text(row, "balance", config_balance_name(p->config->balance));
    request_set_text(row, "tls", config_back_tls_name(p->config->tls));
    request_put_number(row, "backends", p->n_members);
    request_put_number(row, "usable", usable);
    request_put_number(row, "sessions", sessions);
    request_set_number(row, "waiting", places_waiting(p));
    request_set_text(row, "origin", ch ? "runtime" : "file");
    if (live_pools_describe(&c->live_pools, p->config->name, &edits) == 0 && edits.len > 0)
        request_set_text(row, "edits", buf_cstr(&edits));
    return row;
}

/* Those that were taken out are told as long as the file has them. */
void command_pool_list(struct request *r)
{
    const struct control *c = request_control(r);
    const struct snapshot *snapshot = control_snapshot(c);
    json_t *rows = json_array();
    for (size_t i = 0; i < snapshot->pools->n; i++)
        (void)json_array_append_new(rows, pool_row(c, &snapshot->pools->v[i]));
    for (size_t i = 0; c->live_pools.now && i < c->live_pools.now->n; i++) {
        const struct pool_change *ch = &c->live_pools.now->v[i];
        if (!ch->is_removed || !config_pool_find(snapshot->config, ch->name))
            continue;
        json_t *row = json_object();
        AUTO_BUF edits = BUF_INIT;
        request_set_text(row, "name", ch->name);
        request_put_number(row, "backends", 0);
        request_set_text(row, "origin", "runtime");
        if (live_pools_describe(&c->live_pools, ch->name, &edits) == 0 && edits.len > 0)
            request_set_text(row, "edits", buf_cstr(&edits));
        (void)json_array_append_new(rows, row);
    }
    table_answer(r, rows);
}

static void pool_put_key(json_t *row, const struct config_pool *p, size_t key)
{
    const char *name = config_pool_key_name(key);
    AUTO_BUF text = BUF_INIT;
    uint64_t n = config_pool_number(p, key);
    switch (config_pool_key_kind(key)) {
    case POOL_KEY_BOOL:
        (void)json_object_set_new(row, name, json_boolean(n));
        break;
    case POOL_KEY_NUMBER:
    case POOL_KEY_DURATION:
        request_put_number(row, name, n);
        break;
    case POOL_KEY_TEXT:
        if (config_pool_print(p, key, &text) == 0 && text.len > 0)
            request_set_text(row, name, buf_cstr(&text));
        break;
    }
}

void command_pool_show(struct request *r)
{
    const struct control *c = request_control(r);
    const struct pool *p = pools_find(control_snapshot(c)->pools, request_text(r, "name"));
    if (!p) {
        pool_fail(r, request_text(r, "name"));
        return;
    }
    json_t *row = pool_row(c, p);
    for (size_t i = 0; i < config_pool_keys(); i++)
        pool_put_key(row, p->config, i);
    request_answer(r, row);
}
