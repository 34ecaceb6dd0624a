/* SPDX-License-Identifier: ISC */
/* The supervisor: keeps sockets and contents, starts engines; speaks no mail protocol. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define SUPERVISOR_TICK_MS 1000 /* how often silence is looked for */

/* ---- signals ---- */

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
        engines_reap(s);
        break;
    case SIGHUP:
        notify("RELOADING=1");
        supervisor_pass_on(s, SIGHUP);
        break;
    case SIGUSR1:
        (void)log_reopen();
        if (s->now.pid > 0) /* one that starts has those of before */
            reading_deliver_logs(&s->now, s->running);
        for (size_t i = 0; i < s->n_olds; i++)
            reading_deliver_logs(&s->olds[i].process, s->olds[i].content);
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

/* ---- the loop ---- */

static uint64_t supervisor_due_ms(const struct supervisor *s, uint64_t now)
{
    const uint64_t times[] = {s->is_stopping ? s->kill_at_ms : s->restart_at_ms, s->upgrade.late_ms,
                              s->reading.pid > 0 ? s->reading.late_ms : 0,
                              s->loading.pid > 0 ? s->loading.late_ms : 0,
                              now + SUPERVISOR_TICK_MS};
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] && times[i] < due)
            due = times[i];
    return due;
}

static void supervisor_look(struct supervisor *s)
{
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    size_t n = supervisor_engines(s, engines);
    uint64_t now = clock_ms();
    for (size_t i = 0; i < n; i++)
        if (!outbox_is_empty(engines[i]) && !outbox_waits_for_room(engines[i]) &&
            outbox_flush(engines[i]) < 0)
            engine_lose(engines[i]);
    engines_tick(s, now);
    reading_tick(s, now);
    loading_tick(s, now);
    upgrade_tick(s, now);
    rebind_tick(s, now);
    notify_alive(now);
    s->turn_ms = now;
}

/* Is something to be done for this engine? */
static bool supervisor_serve_engine(struct supervisor *s, struct engine_process *p, short events)
{
    if (events & POLLOUT && outbox_flush(p) < 0)
        engine_lose(p);
    if (!(events & (POLLIN | POLLHUP | POLLERR)))
        return events != 0;
    words_hear(s, p);
    return true;
}

/* Signals first, then one engine a turn: each event may change which engine is which. */
static void supervisor_turn(struct supervisor *s)
{
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    size_t n_engines = supervisor_engines(s, engines);
    struct pollfd p[SUPERVISOR_ENGINES_MAX + 2] = {{.fd = s->signal_fd, .events = POLLIN},
                                                   {.fd = s->upgrade.output, .events = POLLIN}};
    for (size_t i = 0; i < n_engines; i++)
        p[i + 2] = (struct pollfd){.fd = engines[i]->wire, /* -1: passed over */
                                   .events = outbox_waits_for_room(engines[i]) ? POLLIN | POLLOUT
                                                                               : POLLIN};
    uint64_t now = clock_ms(), due = supervisor_due_ms(s, now);
    int n = poll(p, n_engines + 2, due > now ? (int)(due - now) : 0);
    if (n > 0 && p[0].revents)
        supervisor_signal(s);
    else if (n > 0 && p[1].revents)
        upgrade_read(s);
    else
        for (size_t i = 0; n > 0 && i < n_engines; i++) {
            size_t k = (i + s->next_engine) % n_engines;
            if (supervisor_serve_engine(s, engines[k], p[k + 2].revents)) {
                s->next_engine = k + 1;
                break;
            }
        }
    supervisor_look(s);
}

/* ---- life ---- */

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
    watch_stop(&s->watch);
    socket_store_fini(&s->sockets);
    store_locks_fini(&s->stores);
    process_forget(&s->now);
    for (size_t i = 0; i < s->n_olds; i++) {
        process_forget(&s->olds[i].process);
        content_unref(s->olds[i].content);
    }
    process_forget(&s->upgrade.next);
    buf_fini(&s->upgrade.text);
    content_unref(s->upgrade.content);
    content_unref(s->running);
    content_unref(s->pending);
    content_unref(s->kept);
    content_unref(s->for_start);
    free(s->program);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}

static void supervisor_init(struct supervisor *s, const char *config_path, const char *arg0)
{
    *s = (struct supervisor){.config_path = config_path,
                             .program = process_program(arg0),
                             .signal_fd = -1,
                             .now = {.wire = -1},
                             .reading = {.memory = {-1, -1}},
                             .upgrade = {.output = -1, .memory = {-1, -1}, .next = {.wire = -1}}};
}

/* The loop, after what brought it there. */
static int supervisor_serve(struct supervisor *s, int err)
{
    if (err < 0) {
        fprintf(stderr, "mailproxyd: not started: %s\n", err_text(err));
        s->status = EX_OSERR;
        s->is_stopping = true;
    }
    while (!s->is_stopping || s->now.pid > 0 || s->n_olds > 0 || s->upgrade.next.pid > 0)
        supervisor_turn(s);
    supervisor_fini(s);
    return s->status;
}

/* The first reading of the file, in this process: nobody waits for it yet. Of mere warnings the
 * engine speaks. */
static int supervisor_load(const char *path, struct content **ret)
{
    struct content_memory m;
    struct config_problems problems = {0};
    int err = content_memory_make(&m);
    if (err < 0)
        return err;
    err = content_write(path, m.bundle, m.keys, &problems);
    if (err < 0) {
        config_problems_say(&problems);
        content_memory_close(&m);
        return err;
    }
    config_problems_fini(&problems);
    err = content_new(m.bundle, m.keys, ret);
    if (err == 0)
        (*ret)->number = 1;
    return err;
}

static int supervisor_start(struct supervisor *s, struct content *c)
{
    AUTO_FREE char *error = NULL;
    s->last_number = c->number;
    int err = supervisor_signals(s);
    if (err == 0)
        err = engines_start(s, c, &error);
    if (error)
        fprintf(stderr, "mailproxyd: %s\n", error);
    content_unref(c);
    return err;
}

int supervisor_run(const char *config_path, const char *arg0)
{
    struct supervisor s;
    struct content *c = NULL;
    int err = supervisor_load(config_path, &c);
    if (err == -ERR_CONFIG)
        return EX_CONFIG;
    supervisor_init(&s, config_path, arg0);
    if (err == 0)
        err = supervisor_start(&s, c);
    return supervisor_serve(&s, err);
}

int supervisor_take_over(const char *config_path, const char *arg0)
{
    struct supervisor s;
    supervisor_init(&s, config_path, arg0);
    int err = upgrade_take_over(&s);
    if (err == 0)
        err = supervisor_signals(&s);
    if (err == 0) {
        engines_reap(&s); /* who ended while the program changed */
        reading_watch(&s);
    }
    return supervisor_serve(&s, err);
}
