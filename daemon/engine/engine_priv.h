/* SPDX-License-Identifier: ISC */
/* Inside of the engine: what its files share. Thread of everything here: control. */
#pragma once

#include "backend/check.h"
#include "control/control.h"
#include "engine/accept.h"
#include "engine/engine.h"
#include "engine/handover.h"
#include "engine/metrics.h"
#include "engine/watchdog.h"

struct engine {
    struct control *control; /* first: mail for the control plane sees the loop's owner as this */
    const struct engine_options *options;
    struct control_host host;
    struct loop *loop;
    struct jobs *jobs;
    struct store *store;
    struct resolver *resolver;
    struct backend_registry *registry;
    struct checks *checks;
    struct log_quota *log_quota;
    struct setup *setup;
    struct worker **workers;
    struct control_worker *control_workers;
    size_t n_workers;
    struct acceptors *acceptors;
    struct watchdog *watchdog;
    struct metrics *metrics;
    struct engine_signal {
        struct engine *engine;
        struct event *event;
        int number;
    } signals[6];
    struct handover *handover;
    bool *is_claimed; /* of the inherited sockets: some listener has it */
    struct counters accept_counters;
    atomic_bool is_watched, is_ruled;
    struct loop_timer stop_timer;
    uint64_t stop_by_ms;
    bool is_quitting, is_stopping;
};

/* ---- engine_host.c ---- */

/* What the control plane may ask of the engine; before the control plane is made. */
void engine_make_host(struct engine *e);
/* New sessions follow the setup from now on; takes over the reference. */
void engine_publish(struct engine *e, struct setup *setup);
/* Logs go where the configuration says. 0 or -ERR_x (logged): all goes where it went. */
int engine_configure_log(const struct config *c) NODISCARD;
/* Logs which of the listeners' certificates have ended or end soon, each once. */
void engine_say_certificates(const struct setup *s);
/* Says goodbye to all sessions; the loop ends when they have gone, or when their time is over. */
void engine_stop(struct engine *e, const char *why);
/* Accepts nobody any more and stops once the last session has ended by itself, or when
 * reload_session_timeout is over. */
void engine_quit(struct engine *e);
/* What an upgrade needs of the engine. 0 or -ERR_x. */
int engine_make_handover(struct engine *e) NODISCARD;

/* ---- engine_listeners.c ---- */

/* A new listening socket, of the supervisor or of our own; *ret_fd is owned. 0 or -ERR_x with
 * *ret_error (owned). */
int engine_bind(struct engine *e, const struct listen_spec *spec, int *ret_fd,
                char **ret_error) NODISCARD;
/* Every new address of a listener gets a socket, or none is taken: a reload that cannot bind
 * changes nothing. */
int engine_bind_new(struct engine *e, const struct config *c, char **ret_error) NODISCARD;
/* At the start: takes the inherited sockets of the configuration's addresses, binds the others. */
int engine_listen(struct engine *e, const struct config *c, char **ret_error) NODISCARD;
/* Inherited ones whose addresses the configuration does not name: nobody would answer there. */
void engine_close_others(struct engine *e);
/* For acceptors_configure: a socket was closed. */
void engine_closed(void *arg, const char *address);
