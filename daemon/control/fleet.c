/* SPDX-License-Identifier: ISC */
/* fleet list, show, leave, join (check: fleet_check.c). */
#include "fleet/fleet.h"

#include "fleet/commands/fleet_run.h"
#include "fleet/fleet_users.h"

#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/state.h"

/* NULL: answered, for this proxy is in no fleet. */
static struct fleet *fleet_of(struct request *r)
{
    struct fleet *f = request_control(r)->fleet;
    if (!f)
        request_fail(r, -ERR_NOT_FOUND, "fleet.name in the configuration",
                     "this proxy is in no fleet");
    return f;
}

static bool is_own(const struct fleet *f, const struct fleet_node *n)
{
    return strcmp(n->holder, fleet_holder(f)) == 0;
}

/* This node as it is now, the others as the store told. */
static json_t *node_row(const struct fleet *f, const struct fleet_node *n)
{
    json_t *row = json_object();
    struct fleet_own own = {
        .sessions = n->sessions, .users = n->users, .started_ms = n->started_ms};
    (void)str_copy(own.load, sizeof(own.load), str_of(n->load));
    if (is_own(f, n))
        fleet_look_own(f, &own);
    request_set_text(row, "node", n->name);
    request_set_text(row, "state",
                     is_own(f, n)                   ? fleet_own_state(f)
                     : !fleet_is_alive(f, n)        ? "gone"
                     : !redis_is_up(fleet_redis(f)) ? "unknown"
                     : *n->state                    ? n->state
                                                    : "serving");
    request_set_text(row, "version", n->version);
    request_put_number(row, "sessions", own.sessions);
    request_put_number(row, "users", own.users);
    request_set_text(row, "load", own.load);
    request_set_text(row, "sync", is_own(f, n) ? fleet_sync(f) : n->sync);
    request_put_number(row, "lag", fleet_lag_ms(f, n));
    request_set_text(row, "note",
                     is_own(f, n) ? fleet_trouble(f) ? fleet_trouble(f) : "this node"
                     : fleet_has_other_secret(f, n) ? "it has another secret_file"
                                                    : NULL);
    request_set_number(row, "started", own.started_ms);
    request_set_text(row, "address", n->address);
    request_set_text(row, "holder", n->holder);
    return row;
}

/* The entry of this engine, also when the store never had it. */
static void own_node(const struct fleet *f, struct fleet_node *ret)
{
    const struct fleet_nodes *nodes = fleet_nodes(f);
    struct str name = str_of(fleet_holder(f));
    for (size_t i = 0; i < nodes->n; i++)
        if (is_own(f, &nodes->v[i])) {
            *ret = nodes->v[i];
            return;
        }
    *ret = (struct fleet_node){.seen_ms = nodes->now_ms, .version = MAILPROXY_VERSION};
    (void)str_copy(ret->holder, sizeof(ret->holder), name);
    (void)str_copy(ret->name, sizeof(ret->name), str_cut(&name, '#'));
}

void command_fleet_list(struct request *r)
{
    const struct fleet *f = fleet_of(r);
    struct fleet_node own;
    if (!f)
        return;
    const struct fleet_nodes *nodes = fleet_nodes(f);
    json_t *rows = json_array();
    bool has_own = false;
    for (size_t i = 0; i < nodes->n; i++) {
        has_own |= is_own(f, &nodes->v[i]);
        (void)json_array_append_new(rows, node_row(f, &nodes->v[i]));
    }
    own_node(f, &own);
    if (!has_own)
        (void)json_array_insert_new(rows, 0, node_row(f, &own));
    table_answer(r, rows);
}

static void row_put_link(json_t *row, const struct fleet *f, uint64_t now_ms)
{
    struct redis_facts link;
    redis_look(fleet_redis(f), &link);
    request_set_text(row, "store", link.is_up ? "up" : "down");
    request_set_text(row, "server", link.server);
    request_set_text(row, "why", fleet_trouble(f) ? link.why : redis_why(&link, now_ms));
    if (link.is_up)
        request_put_number(row, "up", now_ms - link.up_since_ms);
    request_set_number(row, "latency", link.latency_us);
    request_put_number(row, "calls", link.calls);
    request_put_number(row, "timeouts", link.timeouts);
    request_put_number(row, "errors", link.errors);
    request_put_number(row, "refused", link.refused);
    request_put_number(row, "reconnects", link.reconnects);
    request_set_text(row, "epoch", fleet_epoch(f));
    request_set_number(row, "schema", fleet_nodes(f)->schema);
}

/* By its name, or by its holder, which tells the two programs of an upgrade apart; NULL = own. */
static const struct fleet_node *node_called(const struct fleet *f, const struct fleet_node *own,
                                            const char *name)
{
    const struct fleet_nodes *nodes = fleet_nodes(f);
    if (!name || strcmp(name, own->name) == 0 || strcmp(name, own->holder) == 0)
        return own;
    for (size_t i = 0; i < nodes->n; i++)
        if (strcmp(nodes->v[i].holder, name) == 0)
            return &nodes->v[i];
    return fleet_nodes_find(nodes, name);
}

void command_fleet_show(struct request *r)
{
    const struct fleet *f = fleet_of(r);
    const char *name = request_text(r, "node");
    struct fleet_node own;
    if (!f)
        return;
    own_node(f, &own);
    const struct fleet_node *n = node_called(f, &own, name);
    if (!n) {
        request_fail(r, -ERR_NOT_FOUND, "fleet list", "there is no node %.128s", name);
        return;
    }
    json_t *row = node_row(f, n);
    request_set_text(row, "fleet", fleet_name(f));
    if (n == &own) {
        struct fleet_runs_facts commands;
        struct fleet_users_facts users;
        row_put_link(row, f, loop_now_ms(r->rpc->loop));
        fleet_runs_look(request_control(r)->fleet_runs, &commands);
        request_put_number(row, "commands_waiting", commands.n_queued);
        request_put_number(row, "commands_kept", commands.n_kept);
        fleet_users_look(request_control(r)->fleet_users, &users);
        if (users.is_on) {
            request_put_number(row, "users_waiting", users.waiting);
            request_put_number(row, "users_told", users.told);
            request_put_number(row, "users_taken", users.taken);
            request_put_number(row, "users_refused", users.refused);
        }
    }
    request_answer(r, row);
}

static void fleet_leaving(struct request *r, bool is_leaving)
{
    struct fleet *f = fleet_of(r);
    if (!f)
        return;
    bool is_changed = fleet_set_leaving(f, is_leaving);
    request_done(r, is_changed, is_changed, "%s",
                 is_leaving ? "new clients should go to other nodes" : "new clients are welcome");
}

void command_fleet_leave(struct request *r)
{
    fleet_leaving(r, true);
}

void command_fleet_join(struct request *r)
{
    fleet_leaving(r, false);
}
