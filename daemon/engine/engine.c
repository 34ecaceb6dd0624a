/* SPDX-License-Identifier: ISC */
/* The control thread: assembles the parts, serves, and takes everything down in good order. */
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log/log.h"
#include "engine/descriptors.h"
#include "engine/engine_priv.h"
#include "engine/wire.h"
#include "io/crypto.h"
#include "io/tls/tls_tickets.h"
#include "proto/registry/registry.h"
#include "sandbox/sandbox.h"

#define ENGINE_JOBS_MAX 4096

/* ---- notes of workers ---- */

static void engine_login_failed(struct engine *e, const struct worker_note *n,
                                const struct control_end *end, const char *words)
{
    const struct control_failure event = {.session = end->session,
                                          .proto = end->proto,
                                          .user = end->user,
                                          .ip = end->ip,
                                          .backend = end->backend,
                                          .text = words,
                                          .listener = n->listener,
                                          .cause = n->reason,
                                          .source = n->judge};
    struct login_failure f = {
        .at_ms = n->at_ms, .proto = n->proto, .cause = n->reason, .source = n->judge};
    (void)str_copy(f.ip, sizeof(f.ip), str_of(end->ip));
    (void)str_copy(f.words, sizeof(f.words), str_of(n->detail));
    control_event_failure(e->control, &event);
    control_note_login_failed(e->control, n->user, n->provider, &f);
}

static void on_worker_note(struct mail *m, void *owner)
{
    struct worker_note *n = CONTAINER_OF(m, struct worker_note, mail);
    struct engine *e = owner;
    char id[32], ip[ADDR_TEXT_MAX];
    if (n->what == SESSION_NOTE_LOGIN) {
        control_note_login(e->control, n->user, n->at_ms);
        control_note_login_judged(e->control, n->user, n->provider, n->judge, n->at_ms);
    }
    session_id_format(id, n->session);
    addr_format_ip(ip, &n->peer);
    const struct control_end end = {.session = id,
                                    .proto = proto_get(n->proto)->name,
                                    .user = n->user[0] ? n->user : NULL,
                                    .ip = ip,
                                    .backend = n->backend[0] ? n->backend : NULL,
                                    .text = n->reason,
                                    .in_bytes = n->in_bytes,
                                    .out_bytes = n->out_bytes,
                                    .age_ms = n->age_ms};
    if (n->what == SESSION_NOTE_END) {
        control_event_end(e->control, &end);
    } else {
        AUTO_FREE char *words = n->detail[0] ? str_printf("%s: %s", n->reason, n->detail) : NULL;
        const char *text = words ? words : n->reason;
        if (n->what == SESSION_NOTE_LOGIN)
            control_event(e->control, "login", id, end.proto, end.user, ip, end.backend, text);
        else
            engine_login_failed(e, n, &end, text);
    }
    worker_note_free(n);
}

static void on_check_changed(void *arg, struct backend *b)
{
    struct engine *e = arg;
    char reason[BACKEND_REASON_MAX];
    backend_reason(b, reason);
    const char *health = backend_health_name(atomic_load(&b->health));
    AUTO_BUF down = BUF_INIT;
    (void)!backend_down_print(b, &down);
    LOG_EVENT(LOG_LEVEL_NOTICE, "backend-health", KV_STR("pool", b->pool),
              KV_STR("backend", b->name), KV_STR("health", health),
              KV_STR("down", down.len ? buf_cstr(&down) : NULL), KV_STR("reason", reason));
    AUTO_FREE char *text = str_printf("%s%s%s%s%s", health, down.len ? ", down: " : "",
                                      buf_cstr(&down), *reason ? ": " : "", reason);
    control_event(e->control, "backend", NULL, NULL, NULL, NULL, b->name, text ? text : health);
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct engine_signal *s = arg;
    (void)what;
    if (number == SIGHUP)
        control_reload(s->engine->control);
    else if (number == SIGUSR1 && s->engine->channel) /* the supervisor has the right to */
        wire_say(s->engine->options->supervisor, WIRE_LOGS, 0);
    else if (number == SIGUSR1)
        (void)log_reopen();
    else if (number == SIGUSR2)
        control_upgrade(s->engine->control);
    else if (number == SIGQUIT)
        engine_quit(s->engine);
    else
        engine_stop(s->engine, "signal", s->engine->snapshot->config->shutdown_rate);
}

static int engine_watch_signals(struct engine *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct engine_signal *s = &e->signals[i];
        *s = (struct engine_signal){.engine = e, .number = numbers[i]};
        s->event = evsignal_new(loop_base(e->loop), numbers[i], on_signal, s);
        if (!s->event || event_add(s->event, NULL) != 0)
            return -ERR_NOMEM;
        sigaddset(&set, numbers[i]);
    }
    /* The supervisor let some wait until now. */
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

/* ---- start ---- */

/* The keys of hashes that are counted: of wrong credentials, and of users and addresses. Those of a
 * fleet are the same at each node. */
static int engine_make_guess_keys(struct engine *e, uint8_t ret[16])
{
    const struct config_fleet *fleet = &e->snapshot->config->fleet;
    uint8_t key[CRYPTO_KEY_BYTES];
    _Static_assert(CRYPTO_KEY_BYTES == 32, "two keys of 16 bytes");
    if (!fleet->name) {
        hash_random(ret, 16);
        return 0;
    }
    int err = crypto_hkdf(str_n(fleet->secret, sizeof(fleet->secret)),
                          STR("mailproxy fleet guesses"), key);
    if (err < 0)
        return err;
    memcpy(ret, key, 16);
    limits_set_share_key(e->admission.limits, key + 16);
    explicit_bzero(key, sizeof(key));
    return 0;
}

static int engine_make_workers(struct engine *e)
{
    size_t n = e->snapshot->config->workers;
    e->workers = calloc(n + 1, sizeof(struct worker *));
    e->control_workers = calloc(n + 1, sizeof(*e->control_workers));
    if (!e->workers || !e->control_workers)
        return -ERR_NOMEM;
    struct worker_spec spec = {.start = e->options->starts,
                               .snapshot = e->snapshot,
                               .jobs = e->jobs,
                               .store = e->store,
                               .registry = e->registry,
                               .control = loop_mailbox(e->loop),
                               .deliver = on_worker_note,
                               .is_watched = &e->is_watched,
                               .admission = &e->admission,
                               .pins = e->pins,
                               .n_workers = (unsigned)n};
    int err = engine_make_guess_keys(e, spec.guess_key);
    if (err < 0)
        return err;
    for (size_t i = 0; i < n; i++) {
        spec.number = (unsigned)i;
        err = worker_new(&spec, &e->workers[i]);
        if (err < 0)
            return err;
        e->control_workers[i] = (struct control_worker){.mailbox = worker_mailbox(e->workers[i]),
                                                        .counters = &e->workers[i]->counters};
        e->host.n_workers = e->n_workers = i + 1;
    }
    return 0;
}

static int engine_watch_loops(struct engine *e)
{
    AUTO_FREE const struct loop **loops = calloc(e->n_workers + 1, sizeof(*loops));
    if (!loops)
        return -ERR_NOMEM;
    for (size_t i = 0; i < e->n_workers; i++)
        loops[i] = e->workers[i]->env.loop;
    loops[e->n_workers] = e->loop;
    return watchdog_start(loops, e->n_workers + 1, &e->watchdog);
}

static void engine_begin_auth_thread(void)
{
    (void)pthread_setname_np(pthread_self(), "auth");
    sandbox_enter_auth_thread();
}

/* Another engine of the same node is another holder of its users. */
static int engine_make_shared(struct engine *e, const struct config *c)
{
    uint8_t random[8];
    char incarnation[2 * sizeof(random) + 1];
    if (!c->fleet.name)
        return 0;
    hash_random(random, sizeof(random));
    str_hex(incarnation, random, sizeof(random));
    AUTO_FREE char *holder = str_printf("%s#%s", c->node, incarnation);
    const struct pins_shared_spec spec = {.fleet = c->fleet.name,
                                          .holder = holder,
                                          .secret = c->fleet.secret,
                                          .lease_ms = config_fleet_lease_ms(&c->fleet)};
    int err = holder ? pins_shared_new(&spec, &e->pins) : -ERR_NOMEM;
    return err < 0 ? err : tls_tickets_new(&e->tickets);
}

/* What needs only the config. */
static int engine_make_base(struct engine *e, const struct config *c, char **ret_error)
{
    const struct store_spec store = {.type = c->store.type, .path = c->store.path};
    const struct resolver_spec names = config_resolver_spec(&c->resolver);
    int err = loop_new(e, &e->loop);
    if (err == 0)
        err = log_quota_new(&e->log_quota);
    if (err == 0)
        err = jobs_new(c->auth_threads, ENGINE_JOBS_MAX, engine_begin_auth_thread, &e->jobs);
    if (err == 0)
        err = store_open(&store, &e->store, ret_error);
    if (err == 0)
        err = resolver_new(e->loop, &names, &e->resolver);
    if (err == 0)
        err = backend_registry_new(&e->registry);
    if (err == 0)
        err = checks_new(e->loop, e->resolver, on_check_changed, e, &e->checks);
    if (err == 0)
        err = engine_make_shared(e, c);
    return err;
}

/* Takes over the reference of c. */
static int engine_make_snapshot(struct engine *e, struct config *c, char **ret_error)
{
    size_t n;
    struct pools *pools;
    const struct pool_edit *edits = control_edits(e->control, &n);
    int err = pools_build(c, edits, n, e->registry, &pools, ret_error);
    if (err < 0) {
        config_unref(c);
        return err;
    }
    return snapshot_new(c, pools, NULL, &e->snapshot, ret_error);
}

static int engine_assemble(struct engine *e, struct config *c, struct delivery *d, char **ret_error)
{
    int err = descriptors_check(c, c->workers, ret_error);
    if (err == 0)
        err = engine_make_base(e, c, ret_error);
    engine_make_host(e);
    AUTO_FREE char *history = str_printf("%s.history", c->store.path);
    e->host.history_path = history;
    if (err == 0)
        err = control_new(&e->host, &e->control, ret_error);
    e->host.history_path = NULL; /* it was opened */
    if (err < 0)
        return err;
    e->admission = (struct admission){.limits = control_limits(e->control),
                                      .log_quota = e->log_quota,
                                      .control = loop_mailbox(e->loop)};
    err = engine_make_snapshot(e, config_ref(c), ret_error);
    if (err == 0)
        err = engine_make_cert_loads(e);
    if (err == 0)
        err = engine_make_workers(e);
    e->host.workers = e->control_workers;
    if (err == 0)
        err = acceptors_new(&(const struct acceptors_spec){.loop = e->loop,
                                                           .workers = e->workers,
                                                           .n_workers = e->n_workers,
                                                           .admission = &e->admission,
                                                           .counters = &e->accept_counters},
                            &e->acceptors);
    if (err == 0)
        err = engine_listen(e, c, d, ret_error);
    if (err == 0)
        err = engine_make_handover(e);
    if (err == 0)
        err = engine_watch_signals(e);
    if (err == 0)
        err = engine_watch_loops(e);
    return err;
}

/* Their jobs end between their threads, which start them, and their loops, which get the answers.
 */
static bool engine_end_workers(struct engine *e)
{
    bool are_stopped = true;
    for (size_t i = 0; i < e->n_workers; i++)
        are_stopped = worker_stop(e->workers[i]) && are_stopped;
    if (!are_stopped)
        return false; /* the process ends anyway */
    for (size_t i = 0; i < e->n_workers; i++)
        e->cut += counter_total(&e->workers[i]->counters, COUNTER_COMMANDS_CUT);
    jobs_free(STEAL(e->jobs));
    for (size_t i = 0; i < e->n_workers; i++)
        worker_end(e->workers[i]);
    return true;
}

/* From the top floor to the lowest; the workers end before what they use. Their mailboxes outlive
 * the control plane, which takes back there what it, or another engine, has asked for. */
static void engine_fini(struct engine *e)
{
    watchdog_free(e->watchdog);
    metrics_free(e->metrics);
    acceptors_free(e->acceptors);
    bool have_ended = engine_end_workers(e);
    checks_free(e->checks);
    if (e->channel)
        channel_close(e->channel); /* no job of the control plane waits any more */
    handover_free(e->handover);
    control_free(e->control);
    for (size_t i = 0; have_ended && i < e->n_workers; i++)
        worker_free(e->workers[i]);
    channel_free(e->channel);
    for (size_t i = 0; i < ARRAY_LEN(e->signals); i++)
        if (e->signals[i].event)
            event_free(e->signals[i].event);
    if (have_ended)
        pins_shared_free(e->pins);
    resolver_free(e->resolver);
    snapshot_unref(e->snapshot);
    if (have_ended)
        tls_tickets_free(e->tickets);
    cert_loads_free(e->cert_loads);
    backend_registry_free(e->registry);
    store_close(e->store);
    loop_free(e->loop);
    log_quota_free(e->log_quota);
    free(e->workers);
    free(e->control_workers);
    delivery_free(e->proposed);
    config_unref(e->confirmed);
    pthread_mutex_destroy(&e->proposed_lock);
}

/* From the supervisor, or without one from the file. *ret_delivery is owned; *ret_problems are
 * mere warnings: errors have been told on the standard error, as no log is configured yet. */
static int engine_load(const struct engine_options *o, struct config **ret,
                       struct delivery **ret_delivery, struct config_problems *ret_problems)
{
    int err = o->supervisor < 0 ? config_load(o->config_path, ret, ret_problems)
                                : delivery_receive(o->supervisor, ret_delivery);
    if (err == 0 && *ret_delivery)
        err = delivery_load(*ret_delivery, ret, ret_problems);
    if (err < 0)
        config_problems_say(ret_problems);
    if (err < 0 && err != -ERR_CONFIG)
        LOG_EVENT(LOG_LEVEL_ERROR, "start-failed", KV_ERR("error", err),
                  KV_STR("detail", "no configuration came from the supervisor"));
    return err;
}

static void engine_say_ready(struct engine *e)
{
    const struct config *c = e->snapshot->config;
    LOG_EVENT(LOG_LEVEL_NOTICE, "ready", KV_STR("version", MAILPROXY_VERSION),
              KV_STR("node", c->node), KV_U64("workers", e->n_workers),
              KV_U64("listeners", c->n_listeners), KV_U64("restarts", e->options->restarts));
    wire_say(e->options->supervisor, WIRE_READY, e->number);
    const struct engine_parts parts = {
        .loop = e->loop, .control = e->control, .workers = e->workers, .n_workers = e->n_workers};
    if (e->options->ready)
        e->options->ready(e->options->ready_arg, &parts);
}

/* Does the log reach who started the daemon and does not look into its files? */
static bool engine_logs_to_stderr(const struct config *c)
{
    for (size_t i = 0; i < c->n_logs; i++)
        if (c->logs[i].target == LOG_TARGET_STDERR && c->logs[i].is_default)
            return true;
    return c->n_logs == 0;
}

/* Also to who started the daemon and does not look into its log files. */
static void engine_say_failed(const struct config *c, int err, const char *error)
{
    char text[1200];
    LOG_EVENT(LOG_LEVEL_ERROR, "start-failed", KV_ERR("error", err), KV_STR("detail", error));
    int n = snprintf(text, sizeof(text), "mailproxyd: not started: %.1000s\n",
                     error ? error : err_text(err));
    if (!engine_logs_to_stderr(c))
        log_write_stderr(text, (size_t)n);
}

int engine_run(const struct engine_options *o)
{
    struct engine e = {.options = o};
    struct config *c = NULL;
    struct delivery *d = NULL;
    struct config_problems warnings = {0};
    AUTO_FREE char *error = NULL;
    if (engine_load(o, &c, &d, &warnings) < 0) {
        delivery_free(d);
        return EX_CONFIG;
    }
    pthread_mutex_init(&e.proposed_lock, NULL);
    e.number = d ? d->number : 0;
    bool is_kept = d && d->is_kept;
    int err = engine_configure_log(c, d, true);
    config_problems_log(&warnings);
    /* Whoever starts the daemon sees them, too; an engine that is started again or takes over says
     * them in the log alone. */
    if (o->starts == 0 && !o->is_successor && !engine_logs_to_stderr(c))
        config_problems_say(&warnings);
    config_problems_fini(&warnings);
    if (err == 0 && o->drop)
        err = o->drop(o->drop_arg, o, c);
    if (err == 0)
        err = log_start(sandbox_enter_log_thread);
    if (err == 0)
        err = engine_assemble(&e, c, d, &error);
    if (err < 0)
        engine_say_failed(c, err, error);
    delivery_free(d);
    config_unref(c);
    if (err == 0) {
        engine_publish(&e, snapshot_ref(e.snapshot));
        cert_loads_configure(e.cert_loads, e.snapshot->config, e.number);
        engine_say_ready(&e);
        engine_say_certificates(e.snapshot);
        control_note_start(e.control, is_kept);
        err = loop_run(e.loop);
    } else {
        wire_say(o->supervisor, WIRE_NOT_READY, (uint64_t)-err);
    }
    engine_fini(&e);
    LOG_EVENT(LOG_LEVEL_NOTICE, "stopped", KV_U64("cut", e.cut));
    log_fini();
    return err < 0 ? EX_OSERR : 0;
}
