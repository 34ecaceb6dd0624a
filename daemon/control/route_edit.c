/* SPDX-License-Identifier: ISC */
/* route list, add, set, remove, move, reset. */
#include <inttypes.h>

#include "base/container/array.h"
#include "peers/ask.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/live_routes.h"
#include "runtime/state.h"
#include "session/route.h"

/* ---- route list ---- */

static json_t *route_rows(const struct control *c, const struct config_route *v, size_t n,
                          const char *origin)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_object();
        request_put_number(row, "number", i + 1);
        request_set_text(row, "domain", v[i].domain);
        request_set_text(row, "user", v[i].user);
        request_set_text(row, "listener", v[i].listener);
        request_set_text(row, "protocol", v[i].proto ? v[i].proto->name : NULL);
        request_set_text(row, "pool", v[i].pool);
        request_set_text(row, "origin", origin);
        if (!pools_find(control_snapshot(c)->pools, v[i].pool))
            request_set_text(row, "fault", "there is no such pool: its logins fail");
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

void command_route_list(struct request *r)
{
    const struct control *c = request_control(r);
    size_t n;
    const struct config_route *v = pools_routes(control_snapshot(c)->pools, &n);
    table_answer(r,
                 route_rows(c, v, n,
                            !c->live_routes.now                       ? "file"
                            : live_routes_are_stored(&c->live_routes) ? "runtime"
                                                                      : "runtime (until restart)"));
}

/* ---- dry runs: whose next login would go elsewhere ---- */

#define LOOK_MATCHES_MAX                                                                           \
    20000000 /* routes looked at for one answer: some seconds of a job thread */

/* Sessions are collected first and compared by a job thread: thousands of routes times as many
 * sessions hold nobody up. */
struct route_look {
    struct work work;
    struct snapshot *snapshot; /* one reference */
    struct routes *after;      /* one reference */
    json_t *rows;
    struct session_chunk **chunks; /* as they came */
    size_t n_chunks, room;
    uint64_t seen, moved, left; /* by the routes; elsewhere; not looked at */
    uint64_t matches;           /* routes that were looked at */
};

/* Where a login goes that follows the routes. */
static const char *look_pool(struct route_look *l, const struct config_route *v, size_t n,
                             const struct route_request *q)
{
    const struct config_route *rule = route_rule(v, n, q);
    const struct config *c = l->snapshot->pools->config;
    l->matches += rule ? (size_t)(rule - v) + 1 : n;
    return rule ? rule->pool : c->n_pools > 0 ? c->pools[0].name : "";
}

static void look_row(struct route_look *l, const struct session_row *row)
{
    const struct session_value *v = row->v;
    struct str reason = v[SESSION_FIELD_ROUTE].text;
    size_t n;
    const struct config_route *before = pools_routes(l->snapshot->pools, &n);
    if (!str_eq(reason, STR("route")) && !str_eq(reason, STR("default pool")))
        return;
    AUTO_FREE char *user = str_dup(v[SESSION_FIELD_USER].text);
    AUTO_FREE char *listener = str_dup(v[SESSION_FIELD_LISTENER].text);
    const struct snapshot_listener *at =
        listener ? snapshot_listener_find(l->snapshot, listener) : NULL;
    const struct route_request q = {.user = user,
                                    .proto = proto_find(v[SESSION_FIELD_PROTO].text),
                                    .listener = at ? at->config : NULL};
    if (!user || !at)
        return;
    if (l->matches > LOOK_MATCHES_MAX) {
        l->left++;
        return;
    }
    l->seen++;
    l->moved +=
        strcmp(look_pool(l, before, n, &q), look_pool(l, l->after->v, l->after->n, &q)) != 0;
}

static int route_look_run(struct work *w)
{
    struct route_look *l = CONTAINER_OF(w, struct route_look, work);
    for (size_t i = 0; i < l->n_chunks; i++)
        for (size_t k = 0; k < l->chunks[i]->n; k++)
            look_row(l, &l->chunks[i]->rows[k]);
    return 0;
}

static void look_answer(struct work *w)
{
    struct route_look *l = CONTAINER_OF(w, struct route_look, work);
    AUTO_FREE char *left = l->left ? str_printf("; %" PRIu64 " were not looked at", l->left) : NULL;
    AUTO_FREE char *text = str_printf("the list would be as shown; of %" PRIu64
                                      " session%s that came by the routes %" PRIu64
                                      " would go elsewhere at the next login%s",
                                      l->seen, l->seen == 1 ? "" : "s", l->moved, left ? left : "");
    if (work_fail(w))
        return;
    request_answer(w->request, json_pack("{s:O, s:I, s:b, s:s?}", "rows", l->rows, "count",
                                         (json_int_t)l->moved, "changed", 0, "message", text));
}

static void route_look_fini(struct work *w)
{
    struct route_look *l = CONTAINER_OF(w, struct route_look, work);
    for (size_t i = 0; i < l->n_chunks; i++)
        session_chunk_free(l->chunks[i]);
    free(l->chunks);
    json_decref(l->rows);
    snapshot_unref(l->snapshot);
    routes_unref(l->after);
}

static bool look_chunk(void *arg, struct session_chunk *chunk)
{
    struct route_look *l = arg;
    if (!ARRAY_ROOM(l->chunks, l->n_chunks, l->room)) {
        session_chunk_free(chunk);
        return false;
    }
    l->chunks[l->n_chunks++] = chunk;
    return true;
}

static void look_collected(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct route_look *l = arg;
    (void)seen;
    (void)matched;
    if (err < 0) {
        request_fail(l->work.request, err, NULL, NULL);
        work_free(&l->work);
    } else {
        work_post(&l->work, NULL);
    }
}

static void edit_look(struct route_change *ch)
{
    struct control *c = work_control(&ch->work);
    struct request *r = ch->work.request;
    struct route_look *l =
        work_new(r->rpc, r, sizeof(*l), route_look_run, look_answer, route_look_fini);
    int err = 0;
    if (!l)
        return;
    if (ch->next)
        l->after = routes_ref(ch->next);
    else
        err = routes_new(ch->config->routes, ch->config->n_routes, &l->after);
    if (err == 0) {
        l->snapshot = snapshot_ref(control_snapshot(c));
        l->rows = route_rows(c, l->after->v, l->after->n, ch->next ? "runtime" : "file");
        const struct collect_spec spec = {
            .query.fields =
                SESSION_FIELD_BIT(SESSION_FIELD_USER) | SESSION_FIELD_BIT(SESSION_FIELD_PROTO) |
                SESSION_FIELD_BIT(SESSION_FIELD_LISTENER) | SESSION_FIELD_BIT(SESSION_FIELD_ROUTE),
            .chunk = look_chunk,
            .done = look_collected,
            .arg = l};
        err = collect_start(c, &spec);
    }
    if (err == 0)
        return;
    request_fail(r, err, NULL, NULL);
    work_free(&l->work);
}

/* ---- changes ---- */

static int route_edit_refuse(struct route_change *ch, int err, char *text)
{
    free(ch->work.error);
    ch->work.error = text;
    return err;
}

/* The route that a parameter names, counted from 0; most: the last one allowed. */
static int edit_place(struct route_change *ch, const char *param, size_t n, size_t *ret)
{
    uint64_t number = request_number(ch->work.request, param, 0);
    if (number < 1 || number > n)
        return route_edit_refuse(
            ch, -ERR_NO_ROUTE,
            str_printf("there is no route %llu: there are %zu", (unsigned long long)number, ch->n));
    *ret = (size_t)number - 1;
    return 0;
}

/* An empty text means any. */
static void edit_text(const struct request *r, const char *param, const char **at)
{
    const char *text = request_text(r, param);
    if (text)
        *at = *text ? text : NULL;
}

static int route_edit_values(struct route_change *ch, struct config_route *route)
{
    const struct request *r = ch->work.request;
    const struct snapshot *snapshot = control_snapshot(work_control(&ch->work));
    const char *proto = request_text(r, "protocol");
    edit_text(r, "domain", &route->domain);
    edit_text(r, "user", &route->user);
    edit_text(r, "listener", &route->listener);
    edit_text(r, "pool", &route->pool);
    if (proto)
        route->proto = *proto ? proto_find(str_of(proto)) : NULL;
    if (proto && *proto && !route->proto)
        return route_edit_refuse(ch, -ERR_BAD_PARAM,
                                 str_printf("there is no protocol %.64s", proto));
    if (route->listener && !snapshot_listener_find(snapshot, route->listener))
        return route_edit_refuse(ch, -ERR_NO_LISTENER,
                                 str_printf("there is no listener %.128s", route->listener));
    if (!route->pool || !pools_find(snapshot->pools, route->pool))
        return route_edit_refuse(
            ch, -ERR_NO_POOL,
            str_printf("there is no pool %.128s", route->pool ? route->pool : ""));
    return 0;
}

static void routes_insert(struct route_change *ch, size_t at, const struct config_route *route)
{
    memmove(&ch->v[at + 1], &ch->v[at], (ch->n - at) * sizeof(*ch->v));
    ch->v[at] = *route;
    ch->n++;
}

static void routes_take_out(struct route_change *ch, size_t at)
{
    memmove(&ch->v[at], &ch->v[at + 1], (ch->n - at - 1) * sizeof(*ch->v));
    ch->n--;
}

static int route_edit_add(struct route_change *ch)
{
    struct config_route route = {0};
    size_t at = ch->n;
    int err = route_edit_values(ch, &route);
    if (err == 0 && request_has(ch->work.request, "at"))
        err = edit_place(ch, "at", ch->n + 1, &at);
    /* The same one once more would never be reached. */
    for (size_t i = 0; i < ch->n && err == 0; i++)
        if (routes_are_equal(&ch->v[i], 1, &route, 1))
            return 0;
    if (err == 0)
        routes_insert(ch, at, &route);
    return err;
}

static int route_edit_set(struct route_change *ch)
{
    size_t at;
    int err = edit_place(ch, "number", ch->n, &at);
    return err < 0 ? err : route_edit_values(ch, &ch->v[at]);
}

static int route_edit_remove(struct route_change *ch)
{
    size_t at;
    int err = edit_place(ch, "number", ch->n, &at);
    if (err == 0)
        routes_take_out(ch, at);
    return err;
}

static int edit_move(struct route_change *ch)
{
    size_t from, to;
    int err = edit_place(ch, "number", ch->n, &from);
    if (err == 0)
        err = edit_place(ch, "to", ch->n, &to);
    if (err < 0)
        return err;
    const struct config_route route = ch->v[from];
    routes_take_out(ch, from);
    routes_insert(ch, to, &route);
    return 0;
}

static int route_edit_reset(struct route_change *ch)
{
    ch->is_reset = true;
    return 0;
}

void command_route_add(struct request *r)
{
    live_routes_change(r, route_edit_add, edit_look);
}

void command_route_set(struct request *r)
{
    static const char *const params[] = {"domain", "user", "listener", "protocol", "pool"};
    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (request_has(r, params[i])) {
            live_routes_change(r, route_edit_set, edit_look);
            return;
        }
    request_fail(r, -ERR_MISSING_PARAM, NULL,
                 "say what to set: domain, user, listener, protocol or pool");
}

void command_route_remove(struct request *r)
{
    live_routes_change(r, route_edit_remove, edit_look);
}

void command_route_move(struct request *r)
{
    live_routes_change(r, edit_move, edit_look);
}

void command_route_reset(struct request *r)
{
    live_routes_change(r, route_edit_reset, edit_look);
}
