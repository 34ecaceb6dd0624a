/* SPDX-License-Identifier: ISC */
/* Asking for everything about one row. */
#include "tui/detail.h"

#include <stdio.h>

#include "base/clock.h"
#include "tui/input.h"
#include "tui/query.h"

/* What is asked for besides the object, by pane. */
static const struct detail_kind {
    enum pane pane;
    const char *noun, *param; /* NOUN show PARAM=...; NULL = nothing more is known of it */
    enum facet facet;         /* of sessions and events that belong to it; FACET_COUNT = none */
    bool has_explain, has_sessions, has_history;
} kinds[] = {
    {PANE_SESSIONS, "session", "id", FACET_SESSION, false, false, false},
    {PANE_USERS, "user", "name", FACET_USER, true, true, false},
    {PANE_BACKENDS, "backend", "name", FACET_BACKEND, false, true, true},
    {PANE_LISTENERS, NULL, NULL, FACET_LISTENER, false, true, false},
    {PANE_LIMITS, "limit", "subject", FACET_IP, false, true, false},
    {PANE_EVENTS, NULL, NULL, FACET_SESSION, false, false, false},
    {PANE_OPS, "op", "id", FACET_COUNT, false, false, false},
    {PANE_NODES, "fleet", "node", FACET_COUNT, false, false, false},
    {PANE_CONFLICTS, NULL, NULL, FACET_USER, true, true, false},
};

static const struct detail_kind *detail_kind(const struct detail *d)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].pane == d->pane)
            return &kinds[i];
    return NULL;
}

void detail_open(struct detail *d, struct node *n, enum pane p, const json_t *row)
{
    const struct row_table *t = &n->lists[p].table;
    detail_close(d);
    *d = (struct detail){
        .node = n, .pane = p, .object = json_incref((json_t *)row), .losses = n->losses};
    row_table_identity(t, row, d->id);
    d->facet = detail_kind(d) ? detail_kind(d)->facet : FACET_COUNT;
    /* What limits count is an address, a network or a user. */
    if (p == PANE_LIMITS && !facet_of(p, row, FACET_IP, d->name))
        d->facet = facet_of(p, row, FACET_NET, d->name) ? FACET_NET : FACET_USER;
    if (d->facet == FACET_COUNT || !facet_of(p, row, d->facet, d->name))
        d->facet = FACET_COUNT;
    (void)str_copy(d->pool, sizeof(d->pool),
                   str_of(json_string_value(json_object_get(row, "pool"))));
}

void detail_refresh(struct detail *d)
{
    d->next_ms = 0;
}

const char *detail_kind_name(enum pane p, const json_t *row)
{
    const struct command *c = pane_command(p);
    const char *kind = json_string_value(json_object_get(row, "kind"));
    return p == PANE_LIMITS && kind ? kind : c ? c->noun : "";
}

/* ---- lines that can be picked ---- */

void detail_drop_lines(struct detail *d)
{
    while (d->n_lines > 0)
        json_decref(d->lines[--d->n_lines].row);
}

static const char *detail_line_id(const struct detail_line *l, char dst[TABLE_ID_MAX])
{
    const char *id = json_string_value(json_object_get(l->row, "id"));
    /* An event stays the same object as long as it is shown. */
    if (l->pane == PANE_SESSIONS && id)
        (void)str_copy(dst, TABLE_ID_MAX, str_of(id));
    else
        snprintf(dst, TABLE_ID_MAX, "%p", (const void *)l->row);
    return dst;
}

static size_t detail_picked_at(const struct detail *d)
{
    char id[TABLE_ID_MAX];
    for (size_t i = 0; d->picked[0] && i < d->n_lines; i++)
        if (strcmp(detail_line_id(&d->lines[i], id), d->picked) == 0)
            return i;
    return SIZE_MAX;
}

const struct detail_line *detail_picked(const struct detail *d)
{
    size_t at = detail_picked_at(d);
    return at == SIZE_MAX ? NULL : &d->lines[at];
}

/* The next line in a direction; SIZE_MAX = none. */
static size_t detail_next(const struct detail *d, const struct text_page *p, int by)
{
    size_t at = detail_picked_at(d);
    if (at == SIZE_MAX && by < 0)
        return SIZE_MAX;
    if (at != SIZE_MAX)
        return by > 0 ? (at + 1 < d->n_lines ? at + 1 : SIZE_MAX) : at > 0 ? at - 1 : SIZE_MAX;
    for (size_t i = 0; i < d->n_lines; i++)
        if (d->lines[i].line >= p->top)
            return i;
    return SIZE_MAX;
}

void detail_move(struct detail *d, struct text_page *p, int by)
{
    size_t next = detail_next(d, p, by), height = p->height > 0 ? (size_t)p->height : 1;
    bool is_near = next != SIZE_MAX && d->lines[next].line + 1 >= p->top &&
                   d->lines[next].line <= p->top + height;
    if (!is_near) {
        if (next == SIZE_MAX && by < 0)
            d->picked[0] = '\0';
        (void)text_page_key(p, by > 0 ? INPUT_DOWN : INPUT_UP);
        return;
    }
    (void)detail_line_id(&d->lines[next], d->picked);
    if (d->lines[next].line < p->top)
        p->top = d->lines[next].line;
    if (d->lines[next].line >= p->top + height)
        p->top = d->lines[next].line - height + 1;
}

/* ---- answers ---- */

static void detail_replace(json_t **member, const json_t *value)
{
    json_t *fresh = json_incref((json_t *)value);
    json_decref(*member);
    *member = fresh;
}

static void on_detail_object(void *arg, const json_t *result,
                             const struct control_client_error *error)
{
    struct detail *d = arg;
    d->why[0] = '\0';
    d->is_over = !result;
    if (result)
        detail_replace(&d->object, result);
    else
        (void)node_error_text(error, d->why);
}

static void on_explain(void *arg, const json_t *result, const struct control_client_error *error)
{
    (void)error;
    detail_replace(&((struct detail *)arg)->explain, result);
}

static void on_sessions(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct detail *d = arg;
    (void)error;
    detail_replace(&d->sessions, json_object_get(result, "rows"));
    d->n_sessions = (uint64_t)json_integer_value(json_object_get(result, "matched"));
}

static void on_history(void *arg, const json_t *result, const struct control_client_error *error)
{
    (void)error;
    detail_replace(&((struct detail *)arg)->history, json_object_get(result, "rows"));
}

static void on_stream(void *arg, const json_t *result, const struct control_client_error *error)
{
    (void)error;
    ((struct detail *)arg)->stream = json_integer_value(json_object_get(result, "stream"));
}

void detail_close(struct detail *d)
{
    rpc_client_answer_fn *const fns[] = {on_detail_object, on_explain, on_sessions, on_history,
                                         on_stream};
    if (!d->node)
        return;
    for (size_t i = 0; i < ARRAY_LEN(fns); i++)
        node_forget(d->node, fns[i], d);
    detail_drop_lines(d);
    if (d->stream)
        (void)node_ask(d->node, "stream.cancel", json_pack("{s:I}", "stream", d->stream), NULL,
                       NULL);
    json_decref(d->object);
    json_decref(d->explain);
    json_decref(d->sessions);
    json_decref(d->history);
    json_decref(d->events);
    *d = (struct detail){0};
}

void detail_event(struct detail *d, const json_t *params)
{
    if (!d->node || json_integer_value(json_object_get(params, "stream")) != d->stream)
        return;
    if (!d->events)
        d->events = json_array();
    json_array_insert(d->events, 0, (json_t *)params);
    while (json_array_size(d->events) > DETAIL_EVENTS_MAX)
        json_array_remove(d->events, DETAIL_EVENTS_MAX);
}

/* ---- questions ---- */

static json_t *detail_filter(const struct detail *d, const char *field, bool with_pool)
{
    AUTO_BUF filter = BUF_INIT;
    int err = query_term(&filter, field, d->name);
    if (err == 0 && with_pool && d->pool[0] && d->pane == PANE_BACKENDS)
        err = query_term(&filter, "pool", d->pool);
    return err == 0 ? json_pack("{s:s}", "filter", buf_cstr(&filter)) : NULL;
}

static void detail_ask(struct detail *d, const char *noun, const char *verb, json_t *params,
                       rpc_client_answer_fn *fn)
{
    const struct command *c = commands_find(noun, verb);
    if (!c || !node_may(d->node, c->role))
        json_decref(params);
    else
        (void)node_ask(d->node, c->method, params, fn, d);
}

static void detail_ask_all(struct detail *d, const struct detail_kind *k)
{
    if (k->noun)
        detail_ask(d, k->noun, "show", json_pack("{s:s}", k->param, d->id), on_detail_object);
    if (k->has_explain)
        detail_ask(d, "route", "explain", json_pack("{s:s}", "user", d->name), on_explain);
    if (k->has_history)
        detail_ask(d, "stats", "history",
                   json_pack("{s:s, s:i}", "backend", d->id, "limit", DETAIL_HISTORY), on_history);
    if (k->has_sessions && d->facet != FACET_COUNT) {
        json_t *params = detail_filter(d, facet_rows[d->facet].field, true);
        if (params) {
            json_object_set_new(params, "sort", json_string("-started"));
            json_object_set_new(params, "limit", json_integer(DETAIL_SESSIONS_MAX));
        }
        detail_ask(d, "session", "list", params, on_sessions);
    }
}

int detail_tick(struct detail *d, uint64_t interval_ms)
{
    const struct detail_kind *k = detail_kind(d);
    uint64_t now = clock_ms();
    if (!d->node || !k || !node_is_connected(d->node))
        return -1;
    if (d->losses != d->node->losses) {
        d->losses = d->node->losses;
        d->stream = 0;
        d->is_watching = d->is_over = false;
    }
    if (d->facet != FACET_COUNT && facet_rows[d->facet].event && !d->is_watching) {
        json_t *params = detail_filter(d, facet_rows[d->facet].event, false);
        if (params && commands_arg(commands_find("event", "watch"), "last"))
            json_object_set_new(params, "last", json_integer(DETAIL_EVENTS_MAX));
        d->is_watching = true;
        detail_ask(d, "event", "watch", params, on_stream);
    }
    if (now >= d->next_ms && node_pending(d->node) < 16 &&
        (!d->node->is_paused || d->next_ms == 0)) {
        d->next_ms = now + interval_ms;
        if (!d->is_over)
            detail_ask_all(d, k);
    }
    return d->next_ms > now ? (int)(d->next_ms - now) : 0;
}
