/* SPDX-License-Identifier: ISC */
/* The engine as the control plane sees it: publishing snapshots, listeners, stop, upgrade. */
#include "base/clock.h"
#include "base/log/log.h"
#include "engine/engine_priv.h"
#include "session/admin/query.h"

/* Of the time for a stop, at most: for response boundaries and for goodbyes to be read. */
#define ENGINE_FAREWELL_MS 3000
#define ENGINE_STOP_TICK_MS 100
#define ENGINE_STOP_SLACK_MS 2000 /* a rate is not reached exactly */

/* ---- snapshots ---- */

static struct snapshot *host_snapshot(void *arg)
{
    return ((struct engine *)arg)->snapshot;
}

static int host_publish_pools(void *arg, struct pools *pools)
{
    struct engine *e = arg;
    struct snapshot *snapshot;
    int err = snapshot_with_pools(e->snapshot, pools, &snapshot);
    if (err == 0)
        engine_publish(e, snapshot);
    return err;
}

static void host_forget_user(void *arg, const char *user)
{
    struct engine *e = arg;
    for (size_t i = 0; i < e->n_workers; i++)
        if (worker_forget(e->workers[i], user) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "forget-failed", KV_U64("worker", i));
    control_forget_user(e->control, user);
}

static int host_pause_listener(void *arg, const char *name, bool is_paused)
{
    struct engine *e = arg;
    return e->acceptors ? acceptors_pause(e->acceptors, name, is_paused) : -ERR_SHUTDOWN;
}

static bool host_is_listener_paused(void *arg, const char *name)
{
    const struct engine *e = arg;
    return e->acceptors && acceptors_is_paused(e->acceptors, name);
}

static void host_set_watched(void *arg, bool is_watched)
{
    struct engine *e = arg;
    atomic_store_explicit(&e->is_watched, is_watched, memory_order_relaxed);
}

/* ---- stop ---- */

static uint64_t engine_sessions(const struct engine *e)
{
    uint64_t n = 0;
    for (size_t i = 0; i < e->n_workers; i++)
        n += worker_load(e->workers[i]);
    return n;
}

static void on_stop_tick(struct loop_timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, stop_timer);
    bool is_over =
        engine_sessions(e) == 0 || (e->stop_by_ms && loop_now_ms(e->loop) >= e->stop_by_ms);
    if (!e->is_stopping && is_over)
        engine_stop(e, "signal", e->snapshot->config->shutdown_rate);
    else if (is_over)
        loop_stop(e->loop);
    else
        loop_timer_set(e->loop, t, ENGINE_STOP_TICK_MS);
}

void engine_stop(struct engine *e, const char *why, uint64_t rate)
{
    if (e->is_stopping)
        return;
    e->is_stopping = true;
    /* The longest time that clients of any listener get to read the last words. */
    uint64_t most = e->snapshot->config->timeouts.closing_ms;
    for (size_t i = 0; i < e->snapshot->config->n_listeners; i++)
        if (e->snapshot->config->listeners[i].timeouts.closing_ms > most)
            most = e->snapshot->config->listeners[i].timeouts.closing_ms;
    uint64_t limit = most + ENGINE_FAREWELL_MS;
    uint64_t wanted = e->snapshot->config->shutdown_timeout_ms;
    uint64_t time = wanted ? wanted : limit, sessions = engine_sessions(e);
    uint64_t rest = time / 3 < ENGINE_FAREWELL_MS ? time / 3 : ENGINE_FAREWELL_MS;
    for (size_t i = 0; i < e->n_workers; i++) /* what was cut before does not count for the stop */
        e->cut -= counter_total(&e->workers[i]->counters, COUNTER_COMMANDS_CUT);
    LOG_EVENT(LOG_LEVEL_NOTICE, "stopping", KV_STR("reason", why), KV_U64("sessions", sessions),
              KV_U64("rate", rate));
    acceptors_free(STEAL(e->acceptors));
    /* Each worker gets its part of the rate, by its sessions. */
    struct session_kill_spec spec = {.kind = REPLY_SHUTDOWN, .grace_ms = time - rest};
    for (size_t i = 0; i < e->n_workers; i++) {
        uint64_t load = worker_load(e->workers[i]);
        spec.rate = rate * (load ? load : 1);
        spec.per = sessions ? sessions : 1;
        if (session_kill_post(worker_mailbox(e->workers[i]), &spec) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "farewell-failed", KV_U64("worker", i));
    }
    e->stop_by_ms = loop_now_ms(e->loop) + time;
    if (rate > 0)
        e->stop_by_ms += (sessions + 1) * 1000 / rate + ENGINE_STOP_SLACK_MS;
    on_stop_tick(&e->stop_timer);
}

void engine_quit(struct engine *e)
{
    uint64_t limit = e->snapshot->config->reload_session_timeout_ms;
    if (e->is_quitting || e->is_stopping)
        return;
    e->is_quitting = true;
    LOG_EVENT(LOG_LEVEL_NOTICE, "quitting", KV_U64("sessions", engine_sessions(e)),
              KV_MS("limit", limit));
    acceptors_free(STEAL(e->acceptors));
    e->stop_by_ms = limit ? loop_now_ms(e->loop) + limit : 0;
    on_stop_tick(&e->stop_timer);
}

static void host_stop(void *arg)
{
    struct engine *e = arg;
    if (!handover_is_retired(e->handover))
        wire_say(e->options->supervisor, WIRE_STOPPING, 0);
    engine_stop(e, "command", e->snapshot->config->shutdown_rate);
}

static bool host_is_stopping(void *arg)
{
    const struct engine *e = arg;
    return e->is_stopping || e->is_quitting;
}

/* ---- upgrade ---- */

static int host_upgrade(void *arg)
{
    return handover_ask(((struct engine *)arg)->handover);
}

static int host_upgrade_start(void *arg)
{
    return handover_start(((struct engine *)arg)->handover);
}

static bool host_is_retired(void *arg)
{
    return handover_is_retired(((struct engine *)arg)->handover);
}

static bool host_is_full(void *arg)
{
    const struct engine *e = arg;
    return e->acceptors && acceptors_are_exhausted(e->acceptors);
}

static const struct control_old *host_olds(void *arg, size_t *ret_n)
{
    return handover_olds(((struct engine *)arg)->handover, ret_n);
}

/* No file is read for it any more. */
static void on_retired(void *arg)
{
    struct engine *e = arg;
    if (e->channel)
        channel_close(e->channel);
    acceptors_free(STEAL(e->acceptors));
    metrics_free(STEAL(e->metrics));
}

static uint64_t on_handover_count(void *arg)
{
    return engine_sessions(arg);
}

static void on_handover_stop(void *arg, const char *why, uint64_t rate)
{
    const struct engine *e = arg;
    engine_stop(arg, why, rate ? rate : e->snapshot->config->shutdown_rate);
}

/* ---- the channel ---- */

static void on_certificate_refused(void *arg, const char *text)
{
    const struct engine *e = arg;
    control_event(e->control, "config", NULL, NULL, NULL, NULL, NULL, text);
}

int engine_make_cert_loads(struct engine *e)
{
    const struct cert_loads_spec spec = {.loop = e->loop,
                                         .jobs = e->jobs,
                                         .wire = e->options->supervisor,
                                         .arg = e,
                                         .refused = on_certificate_refused};
    int err = cert_loads_new(&spec, &e->cert_loads);
    e->host.certs = err == 0 ? cert_loads_certs(e->cert_loads) : NULL;
    return err;
}

/* What is about neither certificates, lost sockets nor log files is of an upgrade. */
static void on_channel_order(void *arg, const struct wire_packet *p, const int *fds, size_t n)
{
    struct engine *e = arg;
    struct delivery_fds logs = {0};
    if (p->order == WIRE_FILES && n == 0 && e->control) {
        control_refresh_certificates(e->control);
        return;
    }
    if (p->order == WIRE_LOADED) {
        cert_loads_hear(e->cert_loads, p, fds, n);
        return;
    }
    if (p->order == WIRE_REBOUND && n == 1) {
        engine_listen_again(e, fds[0]);
        return;
    }
    if (p->order != WIRE_LOG_FILES) {
        handover_hear(e->handover, p, fds, n);
        return;
    }
    if (delivery_logs_add(&logs, p, fds, n) == 0)
        engine_set_logs(e, &logs);
    delivery_fds_fini(&logs);
}

static void on_channel_gone(void *arg)
{
    engine_stop(arg, "supervisor is gone", 0);
}

int engine_make_handover(struct engine *e)
{
    const struct handover_spec spec = {.loop = e->loop,
                                       .control = e->control,
                                       .wire = e->options->supervisor,
                                       .arg = e,
                                       .close = on_retired,
                                       .sessions = on_handover_count,
                                       .snapshot = host_snapshot,
                                       .stop = on_handover_stop};
    const struct channel_spec channel = {.loop = e->loop,
                                         .wire = e->options->supervisor,
                                         .arg = e,
                                         .order = on_channel_order,
                                         .gone = on_channel_gone};
    int err = handover_new(&spec, &e->handover);
    if (err == 0 && channel.wire >= 0)
        err = channel_new(&channel, &e->channel);
    return err;
}

/* ---- all of it ---- */

void engine_make_host(struct engine *e)
{
    loop_timer_init(&e->stop_timer, on_stop_tick);
    e->host = (struct engine_api){
        .counters = &e->accept_counters,
        .others = &e->other_counters,
        .loop = e->loop,
        .jobs = e->jobs,
        .store = e->store,
        .resolver = e->resolver,
        .registry = e->registry,
        .pins = e->pins,
        .tickets = e->tickets,
        .checks = e->checks,
        .log_quota = e->log_quota,
        .workers = e->control_workers,
        .started_ms = clock_ms(),
        .start = e->options->starts,
        .restarts = e->options->restarts,
        .is_successor = e->options->is_successor,
        .arg = e,
        .snapshot = host_snapshot,
        .publish_pools = host_publish_pools,
        .read_config = engine_read_config,
        .publish_config = engine_publish_config,
        .drop_config = engine_drop_config,
        .keep_last_good_config = engine_keep_last_good_config,
        .forget_user = host_forget_user,
        .pause_listener = host_pause_listener,
        .is_listener_paused = host_is_listener_paused,
        .set_watched = host_set_watched,
        .stop = host_stop,
        .is_stopping = host_is_stopping,
        .upgrade = host_upgrade,
        .upgrade_start = host_upgrade_start,
        .is_retired = host_is_retired,
        .is_full = host_is_full,
        .olds = host_olds,
    };
}
