/* SPDX-License-Identifier: ISC */
/* Configurations of the engine: asked for, put in force, confirmed. */
#include <unistd.h>

#include "base/log.h"
#include "engine/engine_priv.h"

/* ---- logs ---- */

/* A file that could not be opened is left out at the start; later the one that is open goes on. */
static size_t engine_log_sinks(const struct config *c, struct delivery *d, bool is_start,
                               struct log_sink_spec *sinks, int *fds)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_logs; i++) {
        const struct config_log *l = &c->logs[i];
        bool is_given = d && l->target == LOG_TARGET_FILE;
        fds[n] = is_given ? delivery_fds_take(&d->logs, i) : -1;
        if (is_given && fds[n] < 0 && is_start) {
            LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", l->path));
            continue;
        }
        sinks[n] = (struct log_sink_spec){.target = l->target,
                                          .path = l->path,
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
        if (fds[i] >= 0)
            close(fds[i]);
    return err;
}

void engine_set_logs(struct engine *e, struct delivery_fds *given)
{
    const struct config *c = e->setup->config;
    for (size_t i = 0; i < c->n_logs; i++) {
        if (c->logs[i].target != LOG_TARGET_FILE)
            continue;
        int fd = delivery_fds_take(given, i);
        /* Without one the supervisor could not open it: that is said and shown. */
        if (log_set_fd(c->logs[i].path, fd < 0 ? -ERR_IO : fd) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", c->logs[i].path));
        if (fd >= 0)
            close(fd);
    }
}

/* ---- reading ---- */

/* Without a supervisor. */
static int engine_read_file(const struct engine *e, enum control_read how, struct config **ret,
                            struct config_problems *ret_problems)
{
    if (how != CONTROL_READ_BACK)
        return config_load(e->options->config_path, ret, ret_problems);
    *ret = config_ref(e->confirmed);
    return 0;
}

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
                                           [CONTROL_READ_BACK] = WIRE_READ_BACK};
    struct engine *e = arg;
    struct delivery *d = NULL;
    if (!e->channel)
        return engine_read_file(e, how, ret, ret_problems);
    int err = channel_ask(e->channel, words[how], &d);
    if (err == 0) {
        err = delivery_load(d, ret, ret_problems);
        *ret_error = STEAL(d->error);
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

static int engine_take_config(struct engine *e, struct config *config, struct pools *pools,
                              struct delivery *d, struct setup **ret, char **ret_error)
{
    int err = setup_new(config, pools, e->setup, ret, ret_error);
    if (err < 0)
        return err;
    err = engine_listen_new(e, config, d, ret_error);
    if (err == 0)
        err = engine_configure_log(config, d, false);
    if (err < 0)
        setup_unref(*ret);
    return err;
}

int engine_publish_config(void *arg, struct config *config, struct pools *pools, char **ret_error)
{
    struct engine *e = arg;
    struct setup *setup;
    struct delivery *d = engine_propose(e, NULL);
    bool is_late = e->is_stopping || e->is_quitting || handover_is_retired(e->handover);
    if (is_late || (e->channel && !d)) {
        engine_refuse(e, d);
        pools_unref(pools);
        config_unref(config);
        return is_late ? -ERR_SHUTDOWN : -ERR_INTERNAL;
    }
    int err = engine_take_config(e, config, pools, d, &setup, ret_error);
    if (err < 0) {
        engine_refuse(e, d);
        return err;
    }
    engine_publish(e, setup);
    engine_say_certificates(setup);
    if (d) {
        e->number = d->number;
        wire_say(e->options->supervisor, WIRE_ACCEPTED, d->number);
        delivery_free(d);
    }
    return 0;
}

void engine_keep_config(void *arg)
{
    struct engine *e = arg;
    wire_say(e->options->supervisor, WIRE_CONFIRMED, e->number);
    config_unref(e->confirmed);
    e->confirmed = e->channel ? NULL : config_ref(e->setup->config);
}
