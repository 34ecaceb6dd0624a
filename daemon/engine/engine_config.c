/* SPDX-License-Identifier: ISC */
/* Configurations of the engine: asked for, put in force, confirmed. */
#include <unistd.h>

#include "backend/places.h"
#include "base/cert_days.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "engine/descriptors.h"
#include "engine/engine_priv.h"
#include "io/tls/key_service.h"

/* To who asks it for another configuration. */
#define ENGINE_ENDS "this engine ends, as a new program serves or the daemon stops: ask again"

#define ENGINE_KEYS_MS 5000 /* a key process starts in some milliseconds */

/* ---- logs ---- */

/* A file that the supervisor could not open is left out at the start; later the one that is open
 * goes on. */
static size_t engine_log_sinks(const struct config *c, struct delivery *d, bool is_start,
                               struct log_sink_spec *sinks, int *fds)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_logs; i++) {
        const struct config_log *l = &c->logs[i];
        bool is_given = d && l->target == LOG_TARGET_FILE;
        fds[n] = is_given ? delivery_logs_take(&d->logs, i) : 0;
        if (fds[n] < 0 && is_start) {
            LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", l->path),
                      KV_ERR("error", fds[n]));
            continue;
        }
        sinks[n] = (struct log_sink_spec){.name = l->name,
                                          .is_named_only = !l->is_default,
                                          .target = l->target,
                                          .path = l->path,
                                          .server = l->server,
                                          .tag = l->tag,
                                          .has_hostname = l->has_hostname,
                                          .fd = fds[n] > 0 ? fds[n] : 0,
                                          .facility = l->facility,
                                          .level = l->level,
                                          .format = l->format};
        n++;
    }
    return n;
}

int engine_configure_log(const struct config *c, struct delivery *d, bool is_start)
{
    AUTO_FREE struct log_sink_spec *sinks = calloc(c->n_logs + 1, sizeof(*sinks));
    AUTO_FREE int *fds = calloc(c->n_logs + 1, sizeof(*fds));
    size_t bad = 0;
    if (!sinks || !fds)
        return -ERR_NOMEM;
    size_t n = engine_log_sinks(c, d, is_start, sinks, fds);
    int err = log_configure(sinks, n, &bad);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", sinks[bad].path),
                  KV_ERR("error", err));
    for (size_t i = 0; i < n; i++)
        if (fds[i] > 0)
            close(fds[i]);
        else if (fds[i] < 0) /* the reason that counts is the supervisor's */
            (void)!log_set_fd(sinks[i].path, fds[i]);
    return err;
}

void engine_set_logs(struct engine *e, struct delivery_fds *given)
{
    const struct config *c = e->snapshot->config;
    for (size_t i = 0; i < c->n_logs; i++) {
        if (c->logs[i].target != LOG_TARGET_FILE)
            continue;
        int fd = delivery_logs_take(given, i);
        if (log_set_fd(c->logs[i].path, fd) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", c->logs[i].path));
        if (fd >= 0)
            close(fd);
    }
}

/* ---- reading ---- */

static struct delivery *engine_propose(struct engine *e, struct delivery *d)
{
    pthread_mutex_lock(&e->proposed_lock);
    struct delivery *before = e->proposed;
    e->proposed = d;
    pthread_mutex_unlock(&e->proposed_lock);
    return before;
}

static void engine_refuse(const struct engine *e, struct delivery *d)
{
    if (d && d->number)
        wire_say(e->options->supervisor, WIRE_REFUSED, d->number);
    delivery_free(d);
}

/* Reloads have one turn after another: there is one proposal at most. */
int engine_read_config(void *arg, enum control_read how, struct config **ret,
                       struct config_problems *ret_problems, char **ret_error)
{
    static const enum wire_read words[] = {[CONTROL_READ_CHECK] = WIRE_READ_CHECK,
                                           [CONTROL_READ_RELOAD] = WIRE_READ_RELOAD,
                                           [CONTROL_READ_BACK] = WIRE_READ_BACK,
                                           [CONTROL_READ_FILES] = WIRE_READ_FILES};
    struct engine *e = arg;
    struct delivery *d = NULL;
    if (!e->channel && how != CONTROL_READ_BACK) /* without a supervisor */
        return config_load(e->options->config_path, ret, ret_problems);
    if (!e->channel) {
        *ret = config_ref(e->confirmed);
        return 0;
    }
    int err = channel_ask(e->channel, words[how], &d);
    if (err == -ERR_SHUTDOWN)
        *ret_error = str_dup_c(ENGINE_ENDS);
    if (err == 0) {
        err = delivery_load(d, ret, ret_problems);
        *ret_error = STEAL(d->error);
    }
    if (err == 0 && how == CONTROL_READ_FILES && !d->number) {
        config_unref(STEAL(*ret));
        err = -ERR_EXISTS;
    }
    if (err == 0) {
        /* One that was just started: until it answers no handshake of this content would succeed.
         * After that it is as one that fell silent. */
        struct key_service *keys = d->keys ? key_service_find(d->keys) : NULL;
        if (keys && key_service_await(keys, ENGINE_KEYS_MS) < 0)
            LOG_EVENT(LOG_LEVEL_WARN, "key-process-slow");
        key_service_unref(keys);
    }
    if (err == 0 && d->number)
        engine_refuse(e, engine_propose(e, d));
    else
        engine_refuse(e, d);
    return err;
}

void engine_drop_config(void *arg)
{
    struct engine *e = arg;
    engine_refuse(e, engine_propose(e, NULL));
}

/* ---- in force ---- */

/* Thread: any that may be the last to give up a snapshot. */
static bool engine_post_free(void *arg, struct job *j)
{
    const struct engine *e = arg;
    return e->jobs && jobs_post(e->jobs, j) == 0; /* the workers have ended before there is none */
}

void engine_publish(struct engine *e, struct snapshot *snapshot)
{
    struct snapshot *old = e->snapshot;
    snapshot->post_free = engine_post_free;
    snapshot->post_free_arg = e;
    e->snapshot = snapshot;
    if (!old || old->config != snapshot->config ||
        old == snapshot) /* else its servers are in use */
        for (size_t i = 0; i < snapshot->n_listeners; i++)
            if (snapshot->listeners[i].tls) {
                tls_server_set_certs(snapshot->listeners[i].tls, cert_loads_certs(e->cert_loads));
                tls_server_set_tickets(snapshot->listeners[i].tls,
                                       snapshot->config->fleet.has_tickets ? e->tickets : NULL);
            }
    places_apply(snapshot->pools);
    if (e->acceptors) /* not while stopping */
        acceptors_configure(e->acceptors, snapshot, engine_closed, e);
    for (size_t i = 0; i < e->n_workers; i++)
        if (worker_publish(e->workers[i], snapshot) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "publish-failed", KV_U64("worker", i),
                      KV_ERR("error", -ERR_NOMEM));
    checks_configure(e->checks, snapshot->pools);
    const struct resolver_spec spec = config_resolver_spec(&snapshot->config->resolver);
    int err = resolver_configure(e->resolver, &spec);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "resolver-failed", KV_ERR("error", err));
    snapshot_unref(old);
}

/* Has one of the first n listeners this certificate? */
static bool snapshot_has_certificate(const struct snapshot *s, size_t n, const char *file)
{
    for (size_t i = 0; i < n; i++) {
        size_t n_ends = 0;
        const struct tls_server *tls = s->listeners[i].tls;
        const struct tls_cert_end *ends = tls ? tls_server_cert_ends(tls, &n_ends) : NULL;
        for (size_t k = 0; k < n_ends; k++)
            if (strcmp(ends[k].file, file) == 0)
                return true;
    }
    return false;
}

void engine_say_certificates(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        size_t n = 0;
        const struct snapshot_listener *l = &s->listeners[i];
        const struct tls_cert_end *ends = l->tls ? tls_server_cert_ends(l->tls, &n) : NULL;
        for (size_t k = 0; k < n; k++) {
            const struct tls_cert_end *end = &ends[k];
            int64_t days = cert_days(end->expires, (int64_t)(clock_wall_ms() / 1000));
            char at[25];
            if (end->expires <= 0 || days >= CERT_DAYS_WARN ||
                snapshot_has_certificate(s, i, end->file))
                continue;
            clock_format(at, (uint64_t)end->expires * 1000);
            LOG_EVENT(LOG_LEVEL_WARN, days < 0 ? "certificate-ended" : "certificate-ends",
                      KV_STR("listener", l->config->name), KV_STR("cert", end->file),
                      KV_STR("at", at), KV_I64("days", days));
        }
    }
}

int engine_publish_config(void *arg, struct snapshot *snapshot, char **ret_error)
{
    struct engine *e = arg;
    struct delivery *d = engine_propose(e, NULL);
    bool is_late = e->is_stopping || e->is_quitting || handover_is_retired(e->handover);
    int err = is_late ? -ERR_SHUTDOWN : e->channel && !d ? -ERR_INTERNAL : 0;
    if (is_late)
        *ret_error = str_dup_c(ENGINE_ENDS);
    if (err == 0)
        err = descriptors_check(snapshot->config, e->n_workers, ret_error);
    if (err == 0)
        err = engine_listen_new(e, snapshot->config, d, ret_error);
    if (err == 0)
        err = engine_configure_log(snapshot->config, d, false);
    if (err < 0) {
        engine_refuse(e, d);
        snapshot_unref(snapshot);
        return err;
    }
    engine_publish(e, snapshot);
    engine_say_certificates(snapshot);
    if (d) {
        e->number = d->number;
        wire_say(e->options->supervisor, WIRE_ACCEPTED, d->number);
        delivery_free(d);
    }
    cert_loads_configure(e->cert_loads, snapshot->config, e->number);
    return 0;
}

void engine_keep_last_good_config(void *arg)
{
    struct engine *e = arg;
    wire_say(e->options->supervisor, WIRE_CONFIRMED, e->number);
    config_unref(e->confirmed);
    e->confirmed = e->channel ? NULL : config_ref(e->snapshot->config);
}
