/* SPDX-License-Identifier: ISC */
/* The control plane as a whole: its parts, their beginning and their end. */
#include "control/control.h"

#include "base/log/log.h"
#include "control/commands.h"
#include "control/user/user_relock.h"
#include "fleet/commands/fleet_run.h"
#include "fleet/fleet.h"
#include "fleet/fleet_health.h"
#include "fleet/fleet_pins.h"
#include "fleet/fleet_tickets.h"
#include "fleet/fleet_users.h"
#include "fleet/limits/fleet_bans.h"
#include "fleet/limits/fleet_limits.h"
#include "fleet/live/fleet_live.h"
#include "ops/certificates.h"
#include "ops/configs.h"
#include "ops/ops.h"
#include "ops/trace_op.h"
#include "ops/upgrades.h"
#include "peers/ask.h"
#include "peers/peer_serve.h"
#include "peers/peers.h"
#include "rpc/server.h"
#include "runtime/audit.h"
#include "runtime/events.h"
#include "runtime/history/history.h"
#include "runtime/listener_pause.h"
#include "runtime/live_pools.h"
#include "runtime/live_routes.h"
#include "runtime/logins.h"
#include "runtime/rules/limit_service.h"
#include "runtime/runtime.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

#define CONTROL_THREADS 4 /* an import of many users leaves some for the others */
#define CONTROL_JOBS_MAX 4096

/* ---- what the server of the control sockets asks ---- */

static struct config *control_config(const struct rpc *rpc)
{
    return control_snapshot(rpc_control(rpc))->config;
}

static bool control_is_retired(const struct rpc *rpc)
{
    const struct engine_api *h = rpc_control(rpc)->host;
    return h->is_retired(h->arg);
}

static void control_change_answered(struct rpc *rpc, const struct request *r, const char *result)
{
    audit_record(rpc_control(rpc), r, result);
}

/* ---- what other engines tell and ask ---- */

static void on_peer_ops(struct control *c, uint32_t pid, const json_t *rows)
{
    if (c->ops)
        ops_take(c->ops, pid, rows);
}

static void on_peer_gone(struct control *c, uint32_t pid)
{
    if (c->ops)
        ops_lose(c->ops, pid);
}

static void on_peer_answers(struct control *c, uint32_t pid)
{
    (void)pid;
    user_relock(c);
}

static json_t *peer_ops(struct control *c, bool is_anew)
{
    return c->ops ? ops_own(c->ops, is_anew) : NULL;
}

static void on_peer_cancel(struct control *c, const char *text)
{
    uint64_t id;
    struct op *op = str_to_u64(str_of(text), INT64_MAX, &id) == 0 ? op_of_id(c->ops, id) : NULL;
    if (op && op->kind)
        (void)op_cancel(op);
}

static const struct peers_hooks peers_hooks = {.on_traced = trace_deliver,
                                               .on_ops = on_peer_ops,
                                               .on_gone = on_peer_gone,
                                               .on_answers = on_peer_answers,
                                               .ops = peer_ops,
                                               .cancel = on_peer_cancel};

/* ---- bans for failures: of all engines, and of all nodes of a fleet ---- */

static void on_ban_made(struct control *c, const struct rule *ban)
{
    peers_tell_ban(c, ban);
    fleet_bans_made(c->fleet_bans, ban);
}

static void on_ban_lifted(struct control *c, const struct rule *ban)
{
    fleet_bans_lifted(c->fleet_bans, ban);
}

/* ---- life ---- */

static int control_make_parts(struct control *c)
{
    int err = jobs_new(CONTROL_THREADS, CONTROL_JOBS_MAX, NULL, &c->rpc.jobs);
    if (err == 0)
        err = events_new(c, &c->events);
    if (err == 0)
        err = sessions_new(c, &c->sessions);
    if (err == 0)
        err = history_new(c, c->host->history_path, &c->history);
    if (err == 0)
        err = logins_new(c, &c->logins);
    if (err == 0)
        err = configs_new(c, &c->configs);
    if (err == 0)
        err = certificates_new(c, &c->certificates);
    if (err == 0)
        err = upgrades_new(c, &c->upgrades);
    if (err == 0)
        err = trouble_new(c, &c->trouble);
    if (err == 0)
        err = failures_new(&c->failures);
    if (err == 0)
        err = peers_new(c, &peers_hooks, &c->peers);
    if (err == 0)
        err = peer_serve_new(c, &c->peer_serve);
    if (err == 0)
        err = server_new(&c->rpc, &c->server);
    return err;
}

int control_new(const struct engine_api *host, struct control **ret, char **ret_error)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->host = host;
    c->rpc = (struct rpc){.loop = host->loop,
                          .functions = control_functions,
                          .config = control_config,
                          .is_retired = control_is_retired,
                          .on_change_answered = control_change_answered,
                          .hold_back = peers_hold_back,
                          .spread = peers_spread,
                          .unreached = peers_unreached};
    list_init(&c->rpc.works);
    list_init(&c->trace_ops);
    list_init(&c->peer_engines);
    work_queue_init(&c->config_queue);
    work_queue_init(&c->look_queue);
    work_queue_init(&c->user_queue);
    work_queue_init(&c->op_queue);
    work_queue_init(&c->rule_queue);
    int err = control_make_parts(c);
    if (err == 0)
        err = runtime_new(c, &c->runtime, ret_error);
    if (err == 0)
        err = listener_pauses_new(c->host, &c->pauses);
    if (err == 0)
        err = live_routes_load(&c->live_routes, c->host);
    if (err == 0)
        err = live_pools_load(&c->live_pools, c->host);
    if (err == 0)
        err = ops_new(c, &c->ops, ret_error);
    if (err == 0)
        err = limit_service_new(c, &c->limit_service, ret_error);
    if (err < 0) {
        control_free(c);
        return err;
    }
    events_on_watched(c->events, peers_tell_watched);
    limit_service_on_ban(c->limit_service, on_ban_made, on_ban_lifted);
    *ret = c;
    return 0;
}

/* Clients go first: nobody is left to answer when the works and questions under way end. */
void control_free(struct control *c)
{
    if (!c)
        return;
    server_free(c->server);
    c->server = NULL;
    fleet_pins_free(STEAL(c->fleet_pins));
    fleet_tickets_free(STEAL(c->fleet_tickets));
    fleet_users_free(STEAL(c->fleet_users));
    fleet_runs_free(STEAL(c->fleet_runs)); /* and the streams that are read */
    fleet_bans_free(STEAL(c->fleet_bans));
    fleet_live_free(STEAL(c->fleet_live));
    fleet_limits_free(STEAL(c->fleet_limits));
    fleet_health_free(STEAL(c->fleet_health));
    fleet_free(STEAL(c->fleet));
    sessions_free(c->sessions);
    c->sessions = NULL;
    peers_free(STEAL(c->peers));
    peer_serve_free(STEAL(c->peer_serve));
    upgrades_free(c->upgrades);
    ops_free(c->ops);
    logins_free(c->logins);
    limit_service_stop(c->limit_service);
    configs_free(c->configs);
    certificates_free(STEAL(c->certificates));
    trouble_free(c->trouble);
    failures_free(c->failures);
    events_free(STEAL(c->events));
    work_queue_fini(&c->config_queue);
    work_queue_fini(&c->look_queue);
    work_queue_fini(&c->user_queue);
    work_queue_fini(&c->op_queue);
    work_queue_fini(&c->rule_queue);
    jobs_free(c->rpc.jobs);
    limit_service_free(STEAL(c->limit_service));
    history_free(c->history);
    runtime_free(c->runtime);
    live_routes_fini(&c->live_routes);
    live_pools_fini(&c->live_pools);
    listener_pauses_free(c->pauses);
    map_fini(&c->moving);
    free(c);
}

int control_listen(struct control *c, int fd, size_t i)
{
    const struct config *config = control_snapshot(c)->config;
    if (i >= config->n_controls)
        return -ERR_RANGE;
    return server_listen(c->server, fd, config->controls[i].path);
}

int control_relisten(struct control *c, int fd, size_t i)
{
    const struct config *config = control_snapshot(c)->config;
    if (i >= config->n_controls)
        return -ERR_RANGE;
    return server_relisten(c->server, fd, config->controls[i].path);
}

static int control_join_fleet(struct control *c)
{
    const struct config *config = control_snapshot(c)->config;
    const struct fleet_users_spec users = {
        .control = c, .fleet = c->fleet, .secret = config->fleet.secret, .node = config->node};
    const struct fleet_runs_spec runs = {
        .control = c, .fleet = c->fleet, .secret = config->fleet.secret, .node = config->node};
    int err = fleet_tickets_new(c, c->fleet, &c->fleet_tickets);
    if (err == 0)
        err = fleet_users_new(&users, &c->fleet_users);
    if (err == 0)
        err = fleet_runs_new(&runs, &c->fleet_runs);
    if (err < 0)
        return err;
    const struct fleet_bans_spec bans = {.control = c,
                                         .fleet = c->fleet,
                                         .stream = fleet_runs_stream(c->fleet_runs),
                                         .secret = config->fleet.secret,
                                         .node = config->node};
    err = fleet_bans_new(&bans, &c->fleet_bans);
    if (err < 0)
        return err;
    const struct fleet_limits_spec limits = {
        .control = c, .fleet = c->fleet, .secret = config->fleet.secret, .node = config->node};
    err = fleet_limits_new(&limits, &c->fleet_limits);
    if (err < 0)
        return err;
    const struct fleet_health_spec health = {.control = c,
                                             .fleet = c->fleet,
                                             .checks = c->host->checks,
                                             .secret = config->fleet.secret,
                                             .node = config->node};
    err = fleet_health_new(&health, &c->fleet_health);
    if (err < 0)
        return err;
    const struct fleet_live_spec live = {.control = c,
                                         .fleet = c->fleet,
                                         .stream = fleet_runs_stream(c->fleet_runs),
                                         .secret = config->fleet.secret,
                                         .node = config->node};
    return fleet_live_new(&live, &c->fleet_live);
}

void control_note_start(struct control *c, bool is_kept)
{
    configs_note_start(c, is_kept);
    listener_pauses_restore(c->pauses);
    peers_claim_places(c);
    int err = fleet_new(c, &c->fleet);
    if (err == 0 && c->fleet && c->host->pins)
        err = fleet_pins_new(c, c->fleet, &c->fleet_pins);
    if (err == 0 && c->fleet)
        err = control_join_fleet(c);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-start", KV_ERR("error", err));
}

const struct pool_edit *control_edits(const struct control *c, size_t *ret_n)
{
    return runtime_edits(c->runtime, ret_n);
}

void control_reload(struct control *c)
{
    configs_reload(c);
}

void control_refresh_certificates(struct control *c)
{
    certificates_refresh(c->certificates);
}

void control_upgrade(struct control *c)
{
    upgrades_begin(c);
}

void control_upgrade_checked(struct control *c)
{
    upgrades_checked(c->upgrades);
}

void control_upgrade_failed(struct control *c, struct str why)
{
    upgrades_failed(c->upgrades, why);
}

uint64_t control_retire(struct control *c, uint64_t successor, uint64_t *ret_rate)
{
    uint64_t limit_ms = upgrades_done(c->upgrades, successor, ret_rate);
    ops_retire(c->ops);
    fleet_runs_retire(c->fleet_runs);
    peers_retire(c);
    events_forward(c->events, peers_tell_event);
    server_retire(c->server);
    return limit_ms;
}

void control_link(struct control *c, int fd, uint32_t pid, bool is_successor)
{
    peers_link(c, fd, pid, is_successor);
}

void control_olds_changed(struct control *c)
{
    peers_listed(c);
}

void control_forget_user(struct control *c, const char *user)
{
    if (c && c->peers)
        peers_forget_user(c, user);
}

bool control_has_no_clients(const struct control *c)
{
    return server_has_no_clients(c->server);
}

struct limits *control_limits(struct control *c)
{
    return limit_service_limits(c->limit_service);
}

void control_note_login(struct control *c, const char *user, uint64_t at_ms)
{
    logins_note(c->logins, user, at_ms);
}
