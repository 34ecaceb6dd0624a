/* SPDX-License-Identifier: ISC */
/* Inside of the control plane: what its files share. All functions: control thread unless they say
 * otherwise. */
#pragma once

#include "base/container/map.h"
#include "rpc/work.h"
#include "runtime/engine_api.h"
#include "runtime/events.h"
#include "runtime/failures.h"
#include "runtime/live_pools.h"
#include "runtime/live_routes.h"

struct control {
    /* Its job threads are its own: operators never wait behind a flood of logins. */
    struct rpc rpc;
    const struct engine_api *host;
    struct server *server;
    struct runtime *runtime;
    struct events *events;
    struct failures *failures;
    struct history *history;
    struct sessions *sessions;
    struct ops *ops;
    struct logins *logins;
    struct configs *configs;
    struct certificates *certificates;
    struct live_routes live_routes;
    struct live_pools live_pools;
    struct listener_pauses *pauses;
    struct map moving; /* struct user_move_step by user */
    struct limit_service *limit_service;
    struct upgrades *upgrades;
    struct trouble *trouble;
    struct list peer_engines; /* other engines: struct peer_engine */
    struct peers *peers;
    struct peer_serve *peer_serve;
    struct fleet_pins *fleet_pins;       /* NULL likewise */
    struct fleet_tickets *fleet_tickets; /* NULL likewise */
    struct fleet_users *fleet_users;     /* NULL likewise */
    struct fleet_runs *fleet_runs;       /* commands on other nodes; NULL = there is no fleet */
    struct fleet_bans *fleet_bans;       /* bans for failures on all nodes; NULL likewise */
    struct fleet_limits *fleet_limits;   /* limits over all nodes; NULL likewise */
    struct fleet_health *fleet_health;   /* checks of all nodes; NULL likewise */
    struct fleet_live *fleet_live;       /* streams of all nodes; NULL likewise */
    struct fleet *fleet;                 /* NULL = this proxy is in none */
    struct list trace_ops;               /* traces under way */
    struct work_queue config_queue;      /* config, pools, backends */
    struct work_queue look_queue; /* who reads the file only to look: one job thread at most */
    struct work_queue user_queue; /* users: read, change, write */
    struct work_queue op_queue;   /* what the store has of operations */
    struct work_queue rule_queue; /* bans and overrides in the store */
};

/* Mail of workers and jobs is handed the owner of the control loop. The engine's object begins with
 * the pointer to the control plane, so that this floor need not know the engine. */
static inline struct control *control_of(void *owner)
{
    return *(struct control **)owner;
}

/* The control plane around its socket server. */
static inline struct control *rpc_control(const struct rpc *rpc)
{
    return CONTAINER_OF(rpc, struct control, rpc);
}

/* Whose command it is. */
static inline struct control *request_control(const struct request *r)
{
    return rpc_control(r->rpc);
}

static inline struct control *work_control(const struct work *w)
{
    return rpc_control(w->rpc);
}

static inline struct snapshot *control_snapshot(const struct control *c)
{
    return engine_api_snapshot(c->host);
}
