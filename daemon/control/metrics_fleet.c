/* SPDX-License-Identifier: ISC */
/* The metrics of a fleet: the store, pins, and what nodes tell each other. */
#include "control/control.h"
#include "control/exposition.h"
#include "fleet/commands/fleet_run.h"
#include "fleet/fleet.h"
#include "fleet/fleet_health.h"
#include "fleet/limits/fleet_bans.h"
#include "fleet/limits/fleet_limits.h"
#include "fleet/live/fleet_live.h"
#include "runtime/state.h"

/* What the parts say of themselves; zeros where there is no such part. */
struct fleet_features {
    uint64_t pins; /* logins that went on without the store */
    struct fleet_bans_facts bans;
    struct fleet_limits_facts limits;
    struct fleet_health_facts health;
    struct fleet_live_facts live;
    struct fleet_runs_facts commands;
};

static uint64_t fleet_pins_count(const struct pins_shared *p, enum pin_count which)
{
    return atomic_load_explicit(&p->table.counts[which], memory_order_relaxed);
}

/* One backend for a user: what was asked and what came of it. */
static void metrics_pins(struct exposition *e, const struct pins_shared *p)
{
    static const struct {
        enum pin_count which;
        const char *name, *help;
    } rows[] = {
        {PIN_COUNT_ASKS, "mailproxy_fleet_pin_asks_total",
         "Questions to the store which backend a user is on."},
        {PIN_COUNT_MOVED, "mailproxy_fleet_pin_moves_total",
         "Users that were moved to another backend by a login here."},
        {PIN_COUNT_LIMITED, "mailproxy_fleet_limited_total",
         "Logins refused for the user's sessions on all nodes."},
        {PIN_COUNT_CLAIMS, "mailproxy_fleet_claims_total",
         "Users whose sessions here were told to the store again."},
        {PIN_COUNT_CONFLICTS, "mailproxy_fleet_conflicts_total",
         "Users that were found on two backends."},
    };
    if (!p)
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        exposition_single(e, rows[i].name, "counter", rows[i].help,
                          fleet_pins_count(p, rows[i].which), 1);
    exposition_head(e, "mailproxy_fleet_failclosed_total", "counter",
                    "What was refused without an answer of the store, in strict pools.");
    exposition_put(e, STR("mailproxy_fleet_failclosed_total{feature=\"pin\"}"));
    exposition_value(e, fleet_pins_count(p, PIN_COUNT_FAILED_SHUT), 1);
    exposition_single(e, "mailproxy_fleet_pins", "gauge", "Users with sessions here, by pool.",
                      atomic_load_explicit(&p->table.n_pins, memory_order_relaxed), 1);
    exposition_single(e, "mailproxy_fleet_conflicts", "gauge", "Of these, on two backends now.",
                      atomic_load_explicit(&p->table.n_misplaced, memory_order_relaxed), 1);
}

static void metrics_store(struct exposition *e, const struct control *c)
{
    const struct fleet *f = c->fleet;
    struct fleet_counts n;
    struct redis_facts link;
    fleet_count(f, &n);
    redis_look(fleet_redis(f), &link);
    exposition_single(e, "mailproxy_fleet_store_up", "gauge",
                      "The store of the fleet can be used by the control thread.", n.is_up, 1);
    exposition_single(e, "mailproxy_fleet_nodes", "gauge", "Nodes that the store knows.", n.all, 1);
    exposition_single(e, "mailproxy_fleet_nodes_alive", "gauge",
                      "Those that said lately that they are there.", n.alive, 1);
    if (n.heartbeat_age_ms != UINT64_MAX)
        exposition_single(e, "mailproxy_fleet_heartbeat_age_seconds", "gauge",
                          "Since the store took this node's last heartbeat.", n.heartbeat_age_ms,
                          1000);
    exposition_single(e, "mailproxy_fleet_store_latency_seconds", "gauge",
                      "Of the control thread's last calls, smoothed.", link.latency_us, 1000000);
    exposition_single(e, "mailproxy_fleet_store_calls_total", "counter",
                      "Calls of the control thread.", link.calls, 1);
    exposition_single(e, "mailproxy_fleet_store_timeouts_total", "counter",
                      "Those without an answer in time.", link.timeouts, 1);
    exposition_single(e, "mailproxy_fleet_store_errors_total", "counter",
                      "Those that were refused, or that a broken connection ended.", link.errors,
                      1);
    exposition_single(e, "mailproxy_fleet_store_reconnects_total", "counter",
                      "Connections after the first.", link.reconnects, 1);
}

/* Each feature goes on without the store in its own way. */
static void metrics_failed_open(struct exposition *e, const struct fleet_features *f)
{
    static const char name[] = "mailproxy_fleet_failopen_total";
    const struct {
        const char *feature;
        uint64_t n;
    } rows[] = {{"pin", f->pins},
                {"bans", f->bans.failed_open},
                {"limits", f->limits.failed_open},
                {"health", f->health.failed_open}};
    exposition_head(e, name, "counter", "What went on without an answer of the store.");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        exposition_print(e, "%s{feature=\"%s\"}", name, rows[i].feature);
        exposition_value(e, rows[i].n, 1);
    }
}

/* What this node told the others, and took over from them. */
static void metrics_shared(struct exposition *e, const struct fleet_features *f)
{
    const struct {
        const char *name, *type, *help;
        uint64_t n;
    } rows[] = {
        {"mailproxy_fleet_bans_told_total", "counter",
         "Bans for failures, and ends of them, that other nodes were told.", f->bans.told},
        {"mailproxy_fleet_bans_taken_total", "counter",
         "Bans for failures that were taken over from other nodes.", f->bans.taken},
        {"mailproxy_fleet_bans_left_out_total", "counter",
         "Bans that were too many at once, and are told when there is room.", f->bans.left_out},
        {"mailproxy_fleet_near_limit", "gauge",
         "Addresses and users near a limit here, of which the other nodes know.", f->limits.n_told},
        {"mailproxy_fleet_near_limit_elsewhere", "gauge",
         "Those of other nodes that count here, too.", f->limits.n_heard},
        {"mailproxy_fleet_near_limit_left_out", "gauge", "Those that were too many.",
         f->limits.n_left_out},
        {"mailproxy_fleet_commands_waiting", "gauge",
         "Commands for the fleet that its store does not have yet.", f->commands.n_queued},
        {"mailproxy_fleet_commands_kept", "gauge", "Commands that not all nodes have taken yet.",
         f->commands.n_kept},
        {"mailproxy_fleet_checks_taken_total", "counter",
         "Checks of backends that another node made for this one.", f->health.taken},
        {"mailproxy_fleet_streams", "gauge", "Streams that go to other nodes.", f->live.n_fed},
        {"mailproxy_fleet_stream_lines_lost_total", "counter",
         "Lines of other nodes that did not reach who asked for them here.", f->live.lost},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        exposition_single(e, rows[i].name, rows[i].type, rows[i].help, rows[i].n, 1);
}

void metrics_fleet(struct exposition *e, const struct control *c)
{
    struct fleet_features f = {.pins = 0};
    if (c->host->pins)
        f.pins = fleet_pins_count(c->host->pins, PIN_COUNT_FAILED_OPEN);
    if (c->fleet_bans)
        fleet_bans_look(c->fleet_bans, &f.bans);
    if (c->fleet_limits)
        fleet_limits_look(c->fleet_limits, &f.limits);
    if (c->fleet_runs)
        fleet_runs_look(c->fleet_runs, &f.commands);
    if (c->fleet_health)
        fleet_health_look(c->fleet_health, &f.health);
    if (c->fleet_live)
        fleet_live_look(c->fleet_live, &f.live);
    if (c->fleet) {
        metrics_store(e, c);
        metrics_failed_open(e, &f);
        metrics_shared(e, &f);
    }
    metrics_pins(e, c->host->pins);
}
