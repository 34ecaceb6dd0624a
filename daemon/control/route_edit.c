/* SPDX-License-Identifier: ISC */
/* route list, add, set, remove, move, reset. */
#include <inttypes.h>

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
        if (!pools_find(control_setup(c)->pools, v[i].pool))
            request_set_text(row, "fault", "there is no such pool: its logins fail");
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

void command_route_list(struct request *r)
{
    const struct control *c = request_control(r);
    size_t n;
    const struct config_route *v = pools_routes(control_setup(c)->pools, &n);
    table_answer(r, route_rows(c, v, n,
                               !c->routes                  ? "file"
                               : live_routes_are_stored(c) ? "runtime"
                                                           : "runtime (until restart)"));
}

/* ---- dry runs: whose next login would go elsewhere ---- */

struct route_look {
    struct request *request;
    struct setup *setup;  /* one reference */
    struct routes *after; /* one reference */
    json_t *rows;
    uint64_t seen, moved;
};

/* Where a login goes that follows the routes. */
static const char *look_pool(const struct route_look *l, const struct config_route *v, size_t n,
                             const struct route_request *q)
{
    const struct config_route *rule = route_rule(v, n, q);
    const struct config *c = l->setup->pools->config;
    return rule ? rule->pool : c->n_pools > 0 ? c->pools[0].name : "";
}

static bool look_chunk(void *arg, struct session_chunk *chunk)
{
    struct route_look *l = arg;
    size_t n;
    const struct config_route *before = pools_routes(l->setup->pools, &n);
    for (size_t i = 0; i < chunk->n; i++) {
        const struct session_value *v = chunk->rows[i].v;
        struct str reason = v[SESSION_FIELD_ROUTE].text;
        AUTO_FREE char *user = str_dup(v[SESSION_FIELD_USER].text);
        AUTO_FREE char *listener = str_dup(v[SESSION_FIELD_LISTENER].text);
        const struct setup_listener *at = listener ? setup_listener_find(l->setup, listener) : NULL;
        const struct route_request q = {.user = user,
                                        .proto = proto_find(v[SESSION_FIELD_PROTO].text),
                                        .listener = at ? at->config : NULL};
        if (!user || !at || !(str_eq(reason, STR("route")) || str_eq(reason, STR("default pool"))))
            continue;
        l->seen++;
        l->moved +=
            strcmp(look_pool(l, before, n, &q), look_pool(l, l->after->v, l->after->n, &q)) != 0;
    }
    session_chunk_free(chunk);
    return true;
}

static void look_done(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct route_look *l = arg;
    (void)seen;
    (void)matched;
    AUTO_FREE char *text = str_printf("the list would be as shown; of %" PRIu64
                                      " session%s that came by the routes %" PRIu64
                                      " would go elsewhere at the next login",
                                      l->seen, l->seen == 1 ? "" : "s", l->moved);
    if (err < 0) {
        json_decref(l->rows);
        request_fail(l->request, err, NULL, NULL);
    } else {
        request_answer(l->request, json_pack("{s:o, s:I, s:b, s:s?}", "rows", l->rows, "count",
                                             (json_int_t)l->moved, "changed", 0, "message", text));
    }
    setup_unref(l->setup);
    routes_unref(l->after);
    free(l);
}

static void edit_look(struct route_change *ch)
{
    struct control *c = work_control(&ch->work);
    struct request *r = ch->work.request;
    struct route_look *l = calloc(1, sizeof(*l));
    int err = l ? 0 : -ERR_NOMEM;
    if (err == 0 && ch->next)
        l->after = routes_ref(ch->next);
    else if (err == 0)
        err = routes_new(ch->config->routes, ch->config->n_routes, &l->after);
    if (err == 0) {
        l->request = r;
        l->setup = setup_ref(control_setup(c));
        l->rows = route_rows(c, l->after->v, l->after->n, ch->next ? "runtime" : "file");
        const struct collect_spec spec = {.fields = SESSION_FIELD_BIT(SESSION_FIELD_USER) |
                                                    SESSION_FIELD_BIT(SESSION_FIELD_PROTO) |
                                                    SESSION_FIELD_BIT(SESSION_FIELD_LISTENER) |
                                                    SESSION_FIELD_BIT(SESSION_FIELD_ROUTE),
                                          .chunk = look_chunk,
                                          .done = look_done,
                                          .arg = l};
        err = collect_start(c, &spec);
    }
    if (err == 0)
        return;
    if (l) {
        json_decref(l->rows);
        routes_unref(l->after);
        setup_unref(l->setup);
        free(l);
    }
    request_fail(r, err, NULL, NULL);
}

/* ---- changes ---- */

static int edit_refuse(struct route_change *ch, int err, char *text)
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
        return edit_refuse(
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

static int edit_values(struct route_change *ch, struct config_route *route)
{
    const struct request *r = ch->work.request;
    const struct setup *setup = control_setup(work_control(&ch->work));
    const char *proto = request_text(r, "protocol");
    edit_text(r, "domain", &route->domain);
    edit_text(r, "user", &route->user);
    edit_text(r, "listener", &route->listener);
    edit_text(r, "pool", &route->pool);
    if (proto)
        route->proto = *proto ? proto_find(str_of(proto)) : NULL;
    if (proto && *proto && !route->proto)
        return edit_refuse(ch, -ERR_BAD_PARAM, str_printf("there is no protocol %.64s", proto));
    if (route->listener && !setup_listener_find(setup, route->listener))
        return edit_refuse(ch, -ERR_NO_LISTENER,
                           str_printf("there is no listener %.128s", route->listener));
    if (!route->pool || !pools_find(setup->pools, route->pool))
        return edit_refuse(ch, -ERR_NO_POOL,
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

static int edit_add(struct route_change *ch)
{
    struct config_route route = {0};
    size_t at = ch->n;
    int err = edit_values(ch, &route);
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

static int edit_set(struct route_change *ch)
{
    size_t at;
    int err = edit_place(ch, "number", ch->n, &at);
    return err < 0 ? err : edit_values(ch, &ch->v[at]);
}

static int edit_remove(struct route_change *ch)
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

static int edit_reset(struct route_change *ch)
{
    ch->is_reset = true;
    return 0;
}

void command_route_add(struct request *r)
{
    live_routes_change(r, edit_add, edit_look);
}

void command_route_set(struct request *r)
{
    static const char *const params[] = {"domain", "user", "listener", "protocol", "pool"};
    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (request_has(r, params[i])) {
            live_routes_change(r, edit_set, edit_look);
            return;
        }
    request_fail(r, -ERR_MISSING_PARAM, NULL,
                 "say what to set: domain, user, listener, protocol or pool");
}

void command_route_remove(struct request *r)
{
    live_routes_change(r, edit_remove, edit_look);
}

void command_route_move(struct request *r)
{
    live_routes_change(r, edit_move, edit_look);
}

void command_route_reset(struct request *r)
{
    live_routes_change(r, edit_reset, edit_look);
}
