/* SPDX-License-Identifier: ISC */
/* Inside of the engine: what its files share. Thread of everything here: control. */
#pragma once

#include <pthread.h>

#include "backend/check.h"
#include "control/control.h"
#include "engine/accept.h"
#include "engine/admission.h"
#include "engine/cert_loads.h"
#include "engine/channel.h"
#include "engine/engine.h"
#include "engine/handover.h"
#include "engine/metrics.h"
#include "engine/watchdog.h"

struct engine {
    struct control *control; /* first: mail for the control plane sees the loop's owner as this */
    const struct engine_options *options;
    struct engine_api host;
    struct loop *loop;
    struct jobs *jobs;
    struct store *store;
    struct resolver *resolver;
    struct backend_registry *registry;
    struct checks *checks;
    struct log_quota *log_quota;
    struct pins_shared *pins;    /* NULL = there is no fleet */
    struct tls_tickets *tickets; /* likewise */
    struct snapshot *snapshot;
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
    struct channel *channel; /* NULL = no supervisor */
    struct cert_loads *cert_loads;
    uint64_t number; /* of the content in force */
    pthread_mutex_t proposed_lock;
    struct delivery *proposed; /* read for a reload and not published yet; under the lock */
    struct config *confirmed;  /* without a supervisor: to go back to */
    struct counters accept_counters, other_counters;
    atomic_bool is_watched;
    struct admission admission;
    struct loop_timer stop_timer;
    uint64_t stop_by_ms;
    uint64_t cut; /* commands that the stop left without an answer; below 0 while it lasts */
    bool is_quitting, is_stopping;
};

/* ---- engine_host.c ---- */

/* What the control plane may ask of the engine; before the control plane is made. */
void engine_make_host(struct engine *e);
/* Ends all sessions gracefully, `rate` a second (0 = all at once); the loop ends when they have
 * gone, or when their time is over. */
void engine_stop(struct engine *e, const char *why, uint64_t rate);
/* Accepts nobody any more and stops once the last session has ended by itself, or when
 * reload_session_timeout is over. */
void engine_quit(struct engine *e);
/* What loads the certificates of tls.directory. 0 or -ERR_x. */
int engine_make_cert_loads(struct engine *e) NODISCARD;
/* What an upgrade needs of the engine, and the channel. 0 or -ERR_x. */
int engine_make_handover(struct engine *e) NODISCARD;

/* ---- engine_config.c ---- */

/* New sessions follow the snapshot from now on; takes over the reference. */
void engine_publish(struct engine *e, struct snapshot *snapshot);
/* Logs go where the configuration says, into the files that came along. 0 or -ERR_x (logged): all
 * goes where it went. */
int engine_configure_log(const struct config *c, struct delivery *d, bool is_start) NODISCARD;
/* The supervisor has opened log files again. */
void engine_set_logs(struct engine *e, struct delivery_fds *fds);
/* Logs which of the listeners' certificates have ended or end soon, each once. */
void engine_say_certificates(const struct snapshot *s);
/* See struct engine_api. */
int engine_read_config(void *arg, enum control_read how, struct config **ret,
                       struct config_problems *ret_problems, char **ret_error);
int engine_publish_config(void *arg, struct snapshot *snapshot, char **ret_error);
void engine_drop_config(void *arg);
void engine_keep_last_good_config(void *arg);

/* ---- engine_listeners.c ---- */

/* Every new address of a listener gets a socket, or none is taken: a reload that cannot bind
 * changes nothing. d NULL = they are bound here. */
int engine_listen_new(struct engine *e, const struct config *c, struct delivery *d,
                      char **ret_error) NODISCARD;
/* The same at the start, for everything that the configuration names. */
int engine_listen(struct engine *e, const struct config *c, struct delivery *d,
                  char **ret_error) NODISCARD;
/* A UNIX socket was bound again: takes fd over, in the place of the one at the same address. */
void engine_listen_again(struct engine *e, int fd);
/* For acceptors_configure: a socket was closed. */
void engine_closed(void *arg, const char *address);
