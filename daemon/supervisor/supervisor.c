/* SPDX-License-Identifier: ISC */
/* The supervisor: keeps sockets, starts engines again with back-off; speaks no mail protocol. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/wire.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define SUPERVISOR_BACKOFF_MIN_MS 100
#define SUPERVISOR_BACKOFF_MAX_MS 5000
#define SUPERVISOR_STABLE_MS 10000 /* an engine that lived this long restarts at once */
#define SUPERVISOR_KILL_AFTER_MS                                                                   \
    30000 /* more than the engine's own limit for its end: see supervisor_stop */

/* ---- the engine that serves ---- */

struct process_spec supervisor_spec(const struct supervisor *s)
{
    return (struct process_spec){.config_path = s->config_path,
                                 .keeper = &s->keeper,
                                 .starts = s->starts,
                                 .restarts = s->failures,
                                 .is_successor = s->old.pid > 0,
                                 .config = -1,
                                 .stop_limit_ms = s->now.stop_limit_ms};
}

/* Takes fd over. */
static void supervisor_keep_config(struct supervisor *s, int fd)
{
    if (s->config >= 0)
        close(s->config);
    s->config = fd;
    s->is_config_used = false;
}

/* In the place of one that died an engine goes on with the configuration of that one: the file may
 * be in the middle of an edit, or a reload that nobody has confirmed. */
static int supervisor_start(struct supervisor *s)
{
    struct process_spec spec = supervisor_spec(s);
    spec.config = s->config;
    s->is_config_used = s->config >= 0;
    int err = process_start_engine(&spec, &s->now);
    if (err < 0)
        return err;
    s->starts++;
    s->restart_at_ms = 0;
    return 0;
}

static void supervisor_start_or_wait(struct supervisor *s)
{
    int err = supervisor_start(s);
    if (err == 0)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-not-started", KV_ERR("error", err));
    s->restart_at_ms = clock_ms() + SUPERVISOR_BACKOFF_MAX_MS;
}

/* Children that serve get the farewells of their sessions done; kill_at_ms is for those that do not
 * end. */
static void supervisor_stop_all(struct supervisor *s)
{
    uint64_t limit = s->now.stop_limit_ms;
    if (s->old.pid > 0 && s->old.stop_limit_ms > limit)
        limit = s->old.stop_limit_ms;
    s->is_stopping = true;
    s->kill_at_ms = clock_ms() + limit + SUPERVISOR_KILL_AFTER_MS;
    notify("STOPPING=1");
    upgrade_stop(s);
    if (s->old.pid > 0)
        kill(s->old.pid, SIGTERM);
}

static void supervisor_stop(struct supervisor *s)
{
    if (s->is_stopping)
        return;
    supervisor_stop_all(s);
    if (s->now.pid > 0)
        kill(s->now.pid, SIGTERM);
}

/* No new sessions: the sockets are closed, so that clients go elsewhere instead of waiting. The
 * engines end when their sessions have ended. */
static void supervisor_quit(struct supervisor *s)
{
    if (s->is_stopping || s->is_quitting)
        return;
    s->is_quitting = true;
    notify("STOPPING=1");
    upgrade_stop(s);
    keeper_forget_network(&s->keeper);
    if (s->now.pid > 0)
        kill(s->now.pid, SIGQUIT);
    else
        supervisor_stop(s);
    if (s->old.pid > 0)
        kill(s->old.pid, SIGQUIT);
}

static void supervisor_log_death(const struct supervisor *s, const char *event,
                                 const struct engine_process *p, int status)
{
    bool is_signal = WIFSIGNALED(status);
    LOG_EVENT(LOG_LEVEL_ERROR, event, KV_I64("pid", p->pid),
              KV_STR("signal", is_signal ? strsignal(WTERMSIG(status)) : NULL),
              KV_I64("status", is_signal ? 0 : WEXITSTATUS(status)),
              KV_MS("lived", clock_ms() - p->started_ms), KV_MS("restart-in", s->backoff_ms));
}

/* The first one after a quiet time restarts at once; then the pause doubles. An engine that never
 * got ready will not do better. */
static void supervisor_engine_died(struct supervisor *s, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    struct engine_process gone = s->now;
    process_forget(&s->now);
    s->now.stop_limit_ms = gone.stop_limit_ms;
    if (s->is_stopping || s->is_quitting || is_clean || !s->was_ready) {
        s->status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
        supervisor_stop(s);
        return;
    }
    uint64_t now = clock_ms();
    bool was_stable = now - gone.started_ms >= SUPERVISOR_STABLE_MS;
    if (was_stable || s->backoff_ms == 0)
        s->backoff_ms = was_stable ? 0 : SUPERVISOR_BACKOFF_MIN_MS;
    else
        s->backoff_ms = s->backoff_ms * 2 < SUPERVISOR_BACKOFF_MAX_MS ? s->backoff_ms * 2
                                                                      : SUPERVISOR_BACKOFF_MAX_MS;
    supervisor_log_death(s, "engine-died", &gone, status);
    s->failures++;
    if (s->is_config_used) /* it did not get ready with it: the file may be better */
        supervisor_keep_config(s, -1);
    s->restart_at_ms = now + s->backoff_ms;
    if (s->backoff_ms == 0)
        supervisor_start_or_wait(s);
}

/* ---- words of engines ---- */

/* A socket that is kept for whoever serves is not bound again: an engine may not know of it yet. */
static int supervisor_bind(struct supervisor *s, const struct engine_process *from, char *text,
                           int *ret_fd, char **ret_error)
{
    struct listen_spec spec;
    int err = wire_bind_parse(text, &spec);
    if (err < 0)
        return err;
    *ret_fd = keeper_find(&s->keeper, spec.address);
    if (*ret_fd >= 0)
        return 0;
    err = listen_open(&spec, ret_fd, ret_error);
    if (err < 0)
        return err;
    return keeper_add(&s->keeper, spec.address, *ret_fd, from == &s->now ? 0 : from->pid);
}

static void supervisor_answer_bind(struct supervisor *s, const struct engine_process *from,
                                   char *text, int way)
{
    AUTO_FREE char *error = NULL;
    int fd = -1;
    int err = supervisor_bind(s, from, text, &fd, &error);
    if (err == 0)
        (void)!wire_send(way, "ok", fd);
    else
        wire_say(way, "error %.1000s", error ? error : err_text(err));
}

static void supervisor_ready(struct supervisor *s)
{
    s->was_ready = true;
    s->is_config_used = false;
    notify("READY=1\nSTATUS=serving");
    if (s->old.pid > 0)
        upgrade_tell_old(s);
}

static void hear_limit(struct engine_process *from, const char *number)
{
    (void)!str_to_u64(str_of(number), UINT64_MAX / 2, &from->stop_limit_ms);
}

/* way: what came along, or -1; closed by the caller unless it is set to -1. */
static void supervisor_hear_now(struct supervisor *s, const char *text, int *way)
{
    const char *rest;
    if (strcmp(text, "config") == 0) {
        supervisor_keep_config(s, *way);
        *way = -1;
    } else if ((rest = wire_after(text, "close"))) {
        keeper_forget(&s->keeper, rest);
    } else if ((rest = wire_after(text, "ready"))) {
        hear_limit(&s->now, rest);
        supervisor_ready(s);
    } else if ((rest = wire_after(text, "reloaded"))) {
        hear_limit(&s->now, rest);
        s->upgrade.is_reloaded = true;
        notify("READY=1");
    } else if (strcmp(text, "upgrade") == 0) {
        upgrade_begin(s);
    } else if (strcmp(text, "start") == 0) {
        upgrade_start(s);
    } else if (strcmp(text, "stop") == 0) {
        supervisor_stop_all(s);
    }
}

static void supervisor_hear_next(struct supervisor *s, const char *text)
{
    struct upgrade *u = &s->upgrade;
    const char *rest;
    if ((rest = wire_after(text, "trouble"))) {
        buf_clear(&u->text);
        (void)!buf_append_c(&u->text, rest);
    } else if ((rest = wire_after(text, "ready")) && !s->is_stopping) {
        hear_limit(&u->next, rest);
        upgrade_finish(s);
    }
}

static void supervisor_hear_old(struct supervisor *s, const char *text)
{
    const char *rest = wire_after(text, "sessions");
    if (rest && str_to_u64(str_of(rest), UINT64_MAX, &s->old_sessions) == 0)
        upgrade_tell_old(s);
}

/* One message of any engine. */
static void supervisor_hear(struct supervisor *s, struct engine_process *from)
{
    char text[WIRE_TEXT_MAX];
    AUTO_CLOSE int way = -1;
    if (wire_receive(from->wire, text, &way) < 0) {
        close(from->wire); /* its end; SIGCHLD tells the rest */
        from->wire = -1;
    } else if (wire_after(text, "bind")) {
        supervisor_answer_bind(s, from, text, way);
    } else if (from == &s->now) {
        supervisor_hear_now(s, text, &way);
    } else if (from == &s->old) {
        supervisor_hear_old(s, text);
    } else {
        supervisor_hear_next(s, text);
    }
}

/* ---- other events ---- */

static void supervisor_old_died(struct supervisor *s, int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        supervisor_log_death(s, "old-engine-died", &s->old, status);
    else
        LOG_EVENT(LOG_LEVEL_NOTICE, "old-engine-ended", KV_I64("pid", s->old.pid));
    keeper_forget_owner(&s->keeper, s->old.pid);
    process_forget(&s->old);
    s->old_sessions = 0;
    upgrade_tell_old(s);
}

static void supervisor_reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->now.pid)
            supervisor_engine_died(s, status);
        else if (pid == s->old.pid)
            supervisor_old_died(s, status);
        else
            (void)upgrade_reap(s, pid, status);
    }
}

static void supervisor_pass_on(const struct supervisor *s, int number)
{
    if (s->now.pid > 0)
        kill(s->now.pid, number);
    else
        LOG_EVENT(LOG_LEVEL_WARN, "signal-unheard", KV_STR("signal", strsignal(number)),
                  KV_STR("reason", "no engine runs"));
}

static void supervisor_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        supervisor_reap(s);
        break;
    case SIGHUP:
        notify("RELOADING=1");
        supervisor_pass_on(s, SIGHUP);
        break;
    case SIGUSR1:
        (void)log_reopen();
        supervisor_pass_on(s, SIGUSR1);
        if (s->old.pid > 0)
            kill(s->old.pid, SIGUSR1);
        break;
    case SIGUSR2:
        supervisor_pass_on(s, SIGUSR2);
        break;
    case SIGQUIT:
        supervisor_quit(s);
        break;
    default:
        supervisor_stop(s);
        break;
    }
}

static int supervisor_wait_ms(const struct supervisor *s)
{
    uint64_t now = clock_ms(), due = s->is_stopping ? s->kill_at_ms : s->restart_at_ms;
    if (s->upgrade.late_ms && (due == 0 || s->upgrade.late_ms < due))
        due = s->upgrade.late_ms;
    if (due == 0 || due == UINT64_MAX)
        return -1;
    return due > now ? (int)(due - now) : 0;
}

static void supervisor_kill(struct supervisor *s)
{
    const pid_t pids[] = {s->now.pid, s->old.pid, s->upgrade.next.pid};
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        if (pids[i] <= 0)
            continue;
        LOG_EVENT(LOG_LEVEL_ERROR, "engine-killed", KV_I64("pid", pids[i]),
                  KV_STR("reason", "it did not stop"));
        kill(pids[i], SIGKILL);
    }
    s->kill_at_ms = UINT64_MAX;
}

static void supervisor_look(struct supervisor *s)
{
    uint64_t now = clock_ms();
    if (s->is_stopping && s->kill_at_ms && now >= s->kill_at_ms)
        supervisor_kill(s);
    if (!s->is_stopping && s->now.pid == 0 && s->restart_at_ms && now >= s->restart_at_ms)
        supervisor_start_or_wait(s);
    upgrade_look(s, now);
}

/* One event a turn: each may change which engine is which. */
static void supervisor_turn(struct supervisor *s)
{
    struct engine_process *const engines[] = {&s->now, &s->old, &s->upgrade.next};
    struct pollfd p[ARRAY_LEN(engines) + 2] = {{.fd = s->signal_fd, .events = POLLIN},
                                               {.fd = s->upgrade.output, .events = POLLIN}};
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        p[i + 2] = (struct pollfd){.fd = engines[i]->wire, .events = POLLIN}; /* -1: passed over */
    int n = poll(p, ARRAY_LEN(p), supervisor_wait_ms(s));
    size_t i = 2;
    while (n > 0 && i < ARRAY_LEN(p) && !p[i].revents)
        i++;
    if (n > 0 && i < ARRAY_LEN(p))
        supervisor_hear(s, engines[i - 2]);
    else if (n > 0 && p[1].revents)
        upgrade_read(s);
    else if (n > 0)
        supervisor_signal(s);
    supervisor_look(s);
}

/* ---- life ---- */

/* A folder for the daemon's own files, owned by the user that it will be. An existing one is left
 * alone. */
static int supervisor_make_folder(const char *path, const struct config *c)
{
    if (mkdir(path, 0755) < 0) {
        if (errno == EEXIST)
            return 0;
        fprintf(stderr, "mailproxyd: %s: %s\n", path, strerror(errno));
        return err_from_errno(errno);
    }
    const struct passwd *pw = c->user && geteuid() == 0 ? getpwnam(c->user) : NULL;
    if (pw && chown(path, pw->pw_uid, pw->pw_gid) < 0)
        return err_from_errno(errno);
    return 0;
}

static int supervisor_make_folders(const struct config *c)
{
    int err = supervisor_make_folder(c->state_dir, c);
    return err < 0 ? err : supervisor_make_folder(c->run_dir, c);
}

static int supervisor_signals(struct supervisor *s)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? err_from_errno(errno) : 0;
}

static void supervisor_fini(struct supervisor *s)
{
    keeper_fini(&s->keeper);
    process_forget(&s->now);
    process_forget(&s->old);
    process_forget(&s->upgrade.next);
    buf_fini(&s->upgrade.text);
    free(s->program);
    supervisor_keep_config(s, -1);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}

static int supervisor_load(const char *path, struct config **ret)
{
    struct config_problems problems = {0};
    int err = config_load_to_start(path, ret, &problems);
    if (err < 0) /* of mere warnings the engine speaks */
        config_problems_say(&problems);
    config_problems_fini(&problems);
    return err;
}

static void supervisor_init(struct supervisor *s, const char *config_path, const char *arg0)
{
    *s = (struct supervisor){.config_path = config_path,
                             .program = process_program(arg0),
                             .signal_fd = -1,
                             .config = -1,
                             .now = {.wire = -1},
                             .old = {.wire = -1},
                             .upgrade = {.output = -1, .next = {.wire = -1}}};
}

/* The loop, after what brought it there. */
static int supervisor_serve(struct supervisor *s, int err)
{
    if (err < 0) {
        fprintf(stderr, "mailproxyd: not started: %s\n", err_text(err));
        s->status = EX_OSERR;
        s->is_stopping = true;
    }
    while (!s->is_stopping || s->now.pid > 0 || s->old.pid > 0 || s->upgrade.next.pid > 0)
        supervisor_turn(s);
    supervisor_fini(s);
    return s->status;
}

int supervisor_run(const char *config_path, const char *arg0)
{
    struct supervisor s;
    struct config *c = NULL;
    if (supervisor_load(config_path, &c) < 0)
        return EX_CONFIG;
    supervisor_init(&s, config_path, arg0);
    s.now.stop_limit_ms = c->shutdown_timeout_ms;
    int err = supervisor_make_folders(c);
    if (err == 0)
        err = keeper_bind_all(&s.keeper, c);
    config_unref(c);
    if (err == 0)
        err = supervisor_signals(&s);
    if (err == 0)
        err = supervisor_start(&s);
    return supervisor_serve(&s, err);
}

int supervisor_take_over(const char *config_path, const char *arg0)
{
    struct supervisor s;
    supervisor_init(&s, config_path, arg0);
    int err = upgrade_take_over(&s);
    if (err == 0)
        err = supervisor_signals(&s);
    if (err == 0)
        supervisor_reap(&s); /* who ended while the program changed */
    return supervisor_serve(&s, err);
}
