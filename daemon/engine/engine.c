/* SPDX-License-Identifier: ISC */
/* The control thread: assembles the parts, publishes setups, and takes everything down in good
 * order. */
#include "engine/engine.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "backend/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "control/control.h"
#include "engine/accept.h"
#include "engine/handover.h"
#include "engine/metrics.h"
#include "engine/watchdog.h"
#include "engine/wire.h"
#include "session/query.h"

#define ENGINE_JOBS_MAX 4096
#define ENGINE_FAREWELL_MS 5000 /* sessions get this long to reach a response boundary */
#define ENGINE_STOP_TICK_MS 100

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
    } signals[5];
    struct handover *handover;
    bool *is_claimed; /* of the inherited sockets: some listener has it */
    struct counters accept_counters;
    atomic_bool is_watched, is_ruled;
    struct loop_timer stop_timer;
    uint64_t stop_by_ms;
    bool is_stopping;
};

/* ---- the engine as the control plane sees it ---- */

static struct setup *host_setup(void *arg)
{
    return ((struct engine *)arg)->setup;
}

static void engine_closed(void *arg, const char *address)
{
    const struct engine *e = arg;
    LOG_EVENT(LOG_LEVEL_NOTICE, "listener-closed", KV_STR("address", address));
    if (e->options->supervisor < 0)
        listen_unlink(address);
    wire_say(e->options->supervisor, "close %s", address);
}

/* New sessions follow the setup from now on; takes over the reference. */
static void engine_publish(struct engine *e, struct setup *setup)
{
    struct setup *old = e->setup;
    e->setup = setup;
    if (e->acceptors) /* not while stopping */
        acceptors_configure(e->acceptors, setup, engine_closed, e);
    for (size_t i = 0; i < e->n_workers; i++)
        if (worker_publish(e->workers[i], setup) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "publish-failed", KV_U64("worker", i),
                      KV_ERR("error", -ERR_NOMEM));
    checks_configure(e->checks, setup->pools);
    setup_unref(old);
}

static int host_publish_pools(void *arg, struct pools *pools)
{
    struct engine *e = arg;
    struct setup *setup;
    int err = setup_with_pools(e->setup, pools, &setup);
    if (err == 0)
        engine_publish(e, setup);
    return err;
}

static int engine_bind(struct engine *e, const struct listen_spec *spec, int *ret_fd,
                       char **ret_error)
{
    if (e->options->supervisor >= 0)
        return wire_ask_bind(e->options->supervisor, spec, ret_fd, ret_error);
    return listen_open(spec, ret_fd, ret_error);
}

/* Every address of a listener gets a socket, or none is taken: a reload that cannot bind changes
 * nothing. */
static int engine_bind_new(struct engine *e, const struct config *c, char **ret_error)
{
    struct listen_list want;
    int err = listen_list_make(c, &want);
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++) {
        int fd;
        if (want.v[i].use != LISTEN_MAIL || acceptors_has(e->acceptors, want.v[i].address))
            continue;
        err = engine_bind(e, &want.v[i], &fd, ret_error);
        if (err == 0 && (err = acceptors_add(e->acceptors, want.v[i].address, fd)) < 0)
            close(fd);
    }
    listen_list_fini(&want);
    if (err < 0)
        acceptors_configure(e->acceptors, e->setup, engine_closed, e);
    return err;
}

static int engine_configure_log(const struct config *c)
{
    AUTO_FREE struct log_sink_spec *sinks = calloc(c->n_logs + 1, sizeof(*sinks));
    size_t bad = 0;
    if (!sinks)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->n_logs; i++)
        sinks[i] = (struct log_sink_spec){.target = c->logs[i].target,
                                          .path = c->logs[i].path,
                                          .facility = c->logs[i].facility,
                                          .level = c->logs[i].level,
                                          .format = c->logs[i].format};
    int err = log_configure(sinks, c->n_logs, &bad);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", c->logs[bad].path),
                  KV_ERR("error", err));
    return err;
}

static int host_publish_config(void *arg, struct config *config, struct pools *pools,
                               char **ret_error)
{
    struct engine *e = arg;
    struct setup *setup;
    if (e->is_stopping || handover_is_retired(e->handover)) {
        pools_unref(pools);
        config_unref(config);
        return -ERR_SHUTDOWN;
    }
    int err = setup_new(config, pools, e->setup, &setup, ret_error);
    if (err < 0)
        return err;
    err = engine_bind_new(e, config, ret_error);
    if (err == 0)
        err = engine_configure_log(config);
    if (err < 0) {
        setup_unref(setup);
        return err;
    }
    engine_publish(e, setup);
    wire_say(e->options->supervisor, "reloaded %" PRIu64, config->shutdown_timeout_ms);
    return 0;
}

/* In memory only: secrets are in it. *ret_fd is owned. */
static int engine_write_config(const struct config *c, int *ret_fd)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    AUTO_CLOSE int fd = memfd_create("mailproxy-config", MFD_CLOEXEC);
    int err = fd < 0 ? err_from_errno(errno)
                     : config_dump(c, CONFIG_DUMP_ONLY_SET | CONFIG_DUMP_SECRETS, &text);
    while (err == 0 && text.len > 0) {
        ssize_t n = write(fd, text.data + text.start, text.len);
        if (n <= 0)
            return err_from_errno(n < 0 ? errno : EIO);
        buf_consume(&text, (size_t)n);
    }
    if (err < 0)
        return err;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void host_keep_config(void *arg)
{
    const struct engine *e = arg;
    AUTO_CLOSE int fd = -1;
    if (e->options->supervisor < 0)
        return;
    int err = engine_write_config(e->setup->config, &fd);
    if (err == 0)
        err = wire_send(e->options->supervisor, "config", fd);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "config-not-kept", KV_ERR("error", err));
}

static void host_forget_user(void *arg, const char *user)
{
    struct engine *e = arg;
    for (size_t i = 0; i < e->n_workers; i++)
        if (worker_forget(e->workers[i], user) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "forget-failed", KV_U64("worker", i));
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

static void host_set_ruled(void *arg, bool is_ruled)
{
    struct engine *e = arg;
    atomic_store_explicit(&e->is_ruled, is_ruled, memory_order_relaxed);
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
    if (engine_sessions(e) == 0 || loop_now_ms(e->loop) >= e->stop_by_ms)
        loop_stop(e->loop);
    else
        loop_timer_set(e->loop, t, ENGINE_STOP_TICK_MS);
}

static void engine_stop(struct engine *e, const char *why)
{
    if (e->is_stopping)
        return;
    e->is_stopping = true;
    uint64_t limit = e->setup->config->timeouts.closing_ms + ENGINE_FAREWELL_MS;
    uint64_t wanted = e->setup->config->shutdown_timeout_ms;
    LOG_EVENT(LOG_LEVEL_NOTICE, "stopping", KV_STR("reason", why),
              KV_U64("sessions", engine_sessions(e)));
    acceptors_free(STEAL(e->acceptors));
    uint64_t grace = wanted && wanted < ENGINE_FAREWELL_MS ? wanted : ENGINE_FAREWELL_MS;
    for (size_t i = 0; i < e->n_workers; i++)
        if (session_kill_all_post(worker_mailbox(e->workers[i]), REPLY_SHUTDOWN, NULL, grace) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "farewell-failed", KV_U64("worker", i));
    e->stop_by_ms = loop_now_ms(e->loop) + (wanted ? wanted : limit);
    on_stop_tick(&e->stop_timer);
}

static void host_stop(void *arg)
{
    struct engine *e = arg;
    if (!handover_is_retired(e->handover))
        wire_say(e->options->supervisor, "stop");
    engine_stop(e, "command");
}

static bool host_is_stopping(void *arg)
{
    return ((struct engine *)arg)->is_stopping;
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

static const struct control_old *host_old(void *arg)
{
    return handover_old(((struct engine *)arg)->handover);
}

static void on_retired(void *arg)
{
    struct engine *e = arg;
    acceptors_free(STEAL(e->acceptors));
    metrics_free(STEAL(e->metrics));
}

static int on_handover_bind(void *arg, const struct listen_spec *spec, int *ret_fd,
                            char **ret_error)
{
    return engine_bind(arg, spec, ret_fd, ret_error);
}

static uint64_t on_handover_count(void *arg)
{
    return engine_sessions(arg);
}

static void on_handover_stop(void *arg, const char *why)
{
    engine_stop(arg, why);
}

static int engine_make_handover(struct engine *e)
{
    const struct handover_spec spec = {.loop = e->loop,
                                       .control = e->control,
                                       .wire = e->options->supervisor,
                                       .arg = e,
                                       .close = on_retired,
                                       .bind = on_handover_bind,
                                       .sessions = on_handover_count,
                                       .setup = host_setup,
                                       .stop = on_handover_stop};
    return handover_new(&spec, &e->handover);
}

/* ---- notes of workers ---- */

static void engine_last_login(struct engine *e, const struct worker_note *n)
{
    control_note_login(e->control, n->user, n->at_ms);
}

/* A login that no limit asked for is counted when it is there. */
static void engine_count(struct engine *e, const struct worker_note *n)
{
    if (n->what == SESSION_NOTE_LOGIN && !n->is_user_counted && n->user[0])
        (void)control_count_login(e->control, &n->peer, n->user);
    else if (n->what == SESSION_NOTE_END)
        control_release(e->control, n->is_client_counted ? &n->peer : NULL,
                        n->is_user_counted ? n->user : NULL);
}

static void on_worker_note(struct mail *m, void *owner)
{
    struct worker_note *n = CONTAINER_OF(m, struct worker_note, mail);
    struct engine *e = owner;
    char id[32], ip[ADDR_TEXT_MAX];
    engine_count(e, n);
    if (n->what == SESSION_NOTE_LOGIN)
        engine_last_login(e, n);
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
    if (n->what == SESSION_NOTE_END)
        control_event_end(e->control, &end);
    else
        control_event(e->control, n->what == SESSION_NOTE_LOGIN ? "login" : "failure", id,
                      end.proto, end.user, ip, end.backend, n->reason);
    free(n);
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
    else if (number == SIGUSR1)
        log_reopen();
    else if (number == SIGUSR2)
        control_upgrade(s->engine->control);
    else
        engine_stop(s->engine, "signal");
}

static int engine_watch_signals(struct engine *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
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

/* The inherited socket of an address, -1 when there is none. */
static int engine_inherited(struct engine *e, const char *address)
{
    const struct engine_options *o = e->options;
    for (int fd = o->first_fd; fd < o->first_fd + o->n_fds; fd++)
        if (listen_is_at(fd, address)) {
            e->is_claimed[fd - o->first_fd] = true;
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
            (void)fcntl(fd, F_SETFL, O_NONBLOCK);
            return fd;
        }
    return -1;
}

/* Takes over fd unless it fails. */
static int engine_listen_at(struct engine *e, const struct listen_spec *spec, int fd)
{
    switch (spec->use) {
    case LISTEN_CONTROL:
        return control_listen(e->control, fd, spec->index);
    case LISTEN_METRICS:
        return metrics_new(e->loop, fd, e->control, &e->metrics);
    case LISTEN_MAIL:
        break;
    }
    return acceptors_add(e->acceptors, spec->address, fd);
}

static int engine_listen(struct engine *e, const struct config *c, char **ret_error)
{
    struct listen_list want;
    e->is_claimed = calloc((size_t)e->options->n_fds + 1, sizeof(*e->is_claimed));
    int err = e->is_claimed ? listen_list_make(c, &want) : -ERR_NOMEM;
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++) {
        int fd = engine_inherited(e, want.v[i].address);
        if (fd < 0)
            err = engine_bind(e, &want.v[i], &fd, ret_error);
        if (err == 0 && (err = engine_listen_at(e, &want.v[i], fd)) < 0)
            close(fd);
    }
    listen_list_fini(&want);
    return err;
}

/* Addresses that the configuration does not name any more: nobody would answer there. */
static void engine_close_others(struct engine *e)
{
    const struct engine_options *o = e->options;
    for (int i = 0; i < o->n_fds; i++) {
        AUTO_FREE char *address = e->is_claimed[i] ? NULL : listen_address(o->first_fd + i);
        if (!address)
            continue;
        close(o->first_fd + i);
        engine_closed(e, address);
    }
}

static int engine_make_workers(struct engine *e)
{
    size_t n = e->setup->config->workers;
    e->workers = calloc(n + 1, sizeof(struct worker *));
    e->control_workers = calloc(n + 1, sizeof(*e->control_workers));
    if (!e->workers || !e->control_workers)
        return -ERR_NOMEM;
    struct worker_spec spec = {.start = e->options->starts,
                               .setup = e->setup,
                               .jobs = e->jobs,
                               .store = e->store,
                               .registry = e->registry,
                               .control = loop_mailbox(e->loop),
                               .deliver = on_worker_note,
                               .is_watched = &e->is_watched,
                               .is_ruled = &e->is_ruled};
    hash_random(spec.guess_key, sizeof(spec.guess_key));
    for (size_t i = 0; i < n; i++) {
        spec.number = (unsigned)i;
        int err = worker_new(&spec, &e->workers[i]);
        if (err < 0)
            return err;
        e->control_workers[i] = (struct control_worker){.mailbox = worker_mailbox(e->workers[i]),
                                                        .counters = &e->workers[i]->counters};
        e->host.n_workers = e->n_workers = i + 1;
    }
    return 0;
}

static int engine_make_acceptors(struct engine *e)
{
    const struct acceptors_spec spec = {.loop = e->loop,
                                        .workers = e->workers,
                                        .n_workers = e->n_workers,
                                        .control = e->control,
                                        .counters = &e->accept_counters};
    return acceptors_new(&spec, &e->acceptors);
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

static void engine_make_host(struct engine *e)
{
    e->host = (struct control_host){
        .counters = &e->accept_counters,
        .loop = e->loop,
        .jobs = e->jobs,
        .store = e->store,
        .resolver = e->resolver,
        .registry = e->registry,
        .checks = e->checks,
        .workers = e->control_workers,
        .started_ms = clock_ms(),
        .restarts = e->options->restarts,
        .is_successor = e->options->is_successor,
        .arg = e,
        .setup = host_setup,
        .publish_pools = host_publish_pools,
        .publish_config = host_publish_config,
        .keep_config = host_keep_config,
        .forget_user = host_forget_user,
        .pause_listener = host_pause_listener,
        .is_listener_paused = host_is_listener_paused,
        .set_watched = host_set_watched,
        .set_ruled = host_set_ruled,
        .stop = host_stop,
        .is_stopping = host_is_stopping,
        .upgrade = host_upgrade,
        .upgrade_start = host_upgrade_start,
        .is_retired = host_is_retired,
        .old = host_old,
    };
}

/* What needs only the config. */
static int engine_make_base(struct engine *e, const struct config *c, char **ret_error)
{
    const struct store_spec store = {.type = c->store.type, .path = c->store.path};
    int err = loop_new(e, &e->loop);
    if (err == 0)
        err = jobs_new(c->auth_threads, ENGINE_JOBS_MAX, &e->jobs);
    if (err == 0)
        err = store_open(&store, &e->store, ret_error);
    if (err == 0)
        err = worker_resolver_new(e->loop, c, &e->resolver);
    if (err == 0)
        err = backend_registry_new(&e->registry);
    if (err == 0)
        err = checks_new(e->loop, e->resolver, on_check_changed, e, &e->checks);
    return err;
}

/* Takes over the reference of c. */
static int engine_make_setup(struct engine *e, struct config *c, char **ret_error)
{
    size_t n;
    struct pools *pools;
    const struct pool_edit *edits = control_edits(e->control, &n);
    int err = pools_build(c, edits, n, e->registry, &pools, ret_error);
    if (err < 0) {
        config_unref(c);
        return err;
    }
    return setup_new(c, pools, NULL, &e->setup, ret_error);
}

static int engine_assemble(struct engine *e, struct config *c, char **ret_error)
{
    loop_timer_init(&e->stop_timer, on_stop_tick);
    int err = engine_make_base(e, c, ret_error);
    engine_make_host(e);
    if (err == 0)
        err = control_new(&e->host, &e->control, ret_error);
    if (err < 0)
        return err;
    err = engine_make_setup(e, config_ref(c), ret_error);
    if (err == 0)
        err = engine_make_workers(e);
    e->host.workers = e->control_workers;
    if (err == 0)
        err = engine_make_acceptors(e);
    if (err == 0)
        err = engine_listen(e, c, ret_error);
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
static void engine_free_workers(struct engine *e)
{
    bool are_stopped = true;
    for (size_t i = 0; i < e->n_workers; i++)
        are_stopped = worker_stop(e->workers[i]) && are_stopped;
    if (!are_stopped)
        return; /* the process ends anyway */
    jobs_free(STEAL(e->jobs));
    for (size_t i = 0; i < e->n_workers; i++)
        worker_free(e->workers[i]);
}

/* From the top floor to the lowest; the workers go before what they use. */
static void engine_fini(struct engine *e)
{
    watchdog_free(e->watchdog);
    metrics_free(e->metrics);
    acceptors_free(e->acceptors);
    engine_free_workers(e);
    checks_free(e->checks);
    handover_free(e->handover);
    control_free(e->control);
    for (size_t i = 0; i < ARRAY_LEN(e->signals); i++)
        if (e->signals[i].event)
            event_free(e->signals[i].event);
    resolver_free(e->resolver);
    setup_unref(e->setup);
    backend_registry_free(e->registry);
    store_close(e->store);
    loop_free(e->loop);
    free(e->workers);
    free(e->control_workers);
    free(e->is_claimed);
}

/* copy: of the file at path, or NULL. */
static int engine_load_from(const char *copy, const char *path, struct config **ret)
{
    struct config_problems problems = {0};
    AUTO_BUF text = BUF_INIT;
    int err =
        copy ? config_load_copy(copy, path, ret, &problems) : config_load(path, ret, &problems);
    if (problems.n > 0 && config_problems_format(&problems, &text) == 0)
        (void)!write(STDERR_FILENO, text.data + text.start, text.len);
    config_problems_fini(&problems);
    return err;
}

/* *ret_is_kept: it is that of the engine before. */
static int engine_load(const struct engine_options *o, struct config **ret, bool *ret_is_kept)
{
    int fd = o->config_fd;
    AUTO_FREE char *copy = fd >= 0 ? str_printf("/proc/self/fd/%d", fd) : NULL;
    *ret_is_kept = copy && engine_load_from(copy, o->config_path, ret) == 0;
    if (fd >= 0)
        close(fd);
    return *ret_is_kept ? 0 : engine_load_from(NULL, o->config_path, ret);
}

static void engine_say_ready(struct engine *e)
{
    const struct config *c = e->setup->config;
    LOG_EVENT(LOG_LEVEL_NOTICE, "ready", KV_STR("version", MAILPROXY_VERSION),
              KV_STR("node", c->node), KV_U64("workers", e->n_workers),
              KV_U64("listeners", c->n_listeners), KV_U64("restarts", e->options->restarts));
    wire_say(e->options->supervisor, "ready %" PRIu64, c->shutdown_timeout_ms);
    const struct engine_parts parts = {
        .loop = e->loop, .control = e->control, .workers = e->workers, .n_workers = e->n_workers};
    if (e->options->ready)
        e->options->ready(e->options->ready_arg, &parts);
}

int engine_run(const struct engine_options *o)
{
    struct engine e = {.options = o};
    struct config *c = NULL;
    bool is_kept = false;
    AUTO_FREE char *error = NULL;
    if (engine_load(o, &c, &is_kept) < 0)
        return EX_CONFIG;
    int err = engine_configure_log(c);
    if (err == 0 && o->drop)
        err = o->drop(o->drop_arg, o, c);
    if (err == 0)
        err = engine_assemble(&e, c, &error);
    config_unref(c);
    if (err == 0) {
        engine_publish(&e, setup_ref(e.setup));
        engine_say_ready(&e);
        control_note_start(e.control, is_kept);
        engine_close_others(&e);
        err = loop_run(e.loop);
    } else {
        LOG_EVENT(LOG_LEVEL_ERROR, "start-failed", KV_ERR("error", err), KV_STR("detail", error));
        wire_say(o->supervisor, "trouble %.1000s", error ? error : err_text(err));
    }
    engine_fini(&e);
    LOG_EVENT(LOG_LEVEL_NOTICE, "stopped");
    log_fini();
    return err < 0 ? EX_OSERR : 0;
}
