/* SPDX-License-Identifier: ISC */
/* Conflicts of other engines: told as rows, kept as they were told last. */
#include "peers/peer_conflicts.h"

#include "base/hash.h"
#include "rpc/request.h"
#include "runtime/state.h"

#define PEER_CONFLICTS_MAX 1000 /* of a message */

struct conflict_rows {
    json_t *rows;
    size_t most;
};

static bool on_peer_conflict(void *arg, const struct pin_conflict *p)
{
    struct conflict_rows *all = arg;
    json_t *row = json_object();
    request_set_text(row, "user", p->user);
    request_set_text(row, "pool", p->pool);
    request_set_text(row, "backend", p->backend);
    request_put_number(row, "sessions", p->sessions);
    request_set_text(row, "pinned", p->pinned);
    request_put_number(row, "generation", p->gen);
    request_put_number(row, "since", p->since_ms);
    (void)json_array_append_new(all->rows, row);
    return json_array_size(all->rows) < all->most;
}

json_t *peer_conflicts_own(const struct control *c, size_t most)
{
    struct conflict_rows all = {.rows = json_array(), .most = most};
    if (all.rows && c->host->pins)
        pin_conflicts(&c->host->pins->table, PIN_CONFLICTS_ALL, on_peer_conflict, &all);
    return all.rows;
}

void peer_conflicts_add(const struct control *c, json_t *rows)
{
    LIST_FOREACH (it, &c->peer_engines) {
        const struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (peer_engine_is_old(e) && peer_engine_is_up(e) && e->conflicts)
            (void)json_array_extend(rows, e->conflicts);
    }
}

void peer_conflicts_send(const struct control *c, struct peer_engine *e)
{
    json_t *rows = c->host->pins ? peer_conflicts_own(c, PEER_CONFLICTS_MAX) : NULL;
    char *text = rows ? json_dumps(rows, JSON_COMPACT) : NULL;
    uint64_t hash = json_array_size(rows) > 0 && text ? hash_stable(str_of(text)) : 0;
    if (text && hash != e->conflicts_told)
        json_pipe_send(e->pipe, "conflicts", json_pack("{s:O}", "rows", rows));
    e->conflicts_told = hash;
    free(text);
    json_decref(rows);
}

int peer_conflicts_take(struct peer_engine *e, const json_t *m)
{
    size_t i;
    json_t *row, *rows = json_object_get(m, "rows");
    if (!json_is_array(rows) || json_array_size(rows) > PEER_CONFLICTS_MAX)
        return -ERR_PROTOCOL;
    json_array_foreach (rows, i, row)
        if (!json_is_object(row))
            return -ERR_PROTOCOL;
    json_decref(e->conflicts);
    e->conflicts = json_incref(rows);
    return 0;
}
