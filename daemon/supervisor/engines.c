/* SPDX-License-Identifier: ISC */
/* The life of engines: started, ready, silent, dead, started again with back-off. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define ENGINES_BACKOFF_MIN_MS 100
#define ENGINES_BACKOFF_MAX_MS 5000
#define ENGINES_STABLE_MS 10000 /* an engine that lived this long restarts at once */
#define ENGINES_KILL_AFTER_MS                                                                      \
    30000                       /* more than the engine's own limit for its end: see engine_stop */
#define ENGINES_SILENT_MS 30000 /* one that serves and says nothing hangs */
#define ENGINES_LOST_MS 5000    /* one whose channel is closed is about to end */
#define ENGINES_STARTING_MS 300000 /* a store may have to be converted */
#define ENGINES_PAUSE_MS 3000 /* this process itself did not run for so long: nobody is judged */

/* ---- starting ---- */

int engines_start(struct supervisor *s, struct content *c, char **ret_error)
{
    int err = reading_prepare(s, c, SOCKET_STORE_ALL, ret_error);
    const struct process_spec spec = supervisor_spec(s);
    if (err == 0)
        err = process_start_engine(&spec, &s->now);
    if (err < 0) {
        socket_store_roll_back(&s->sockets, c->number);
        return err;
    }
    content_ref(c);
    content_unref(s->running);
    s->running = c;
    s->now.number = c->number;
    s->now.stop_limit_ms = c->plan.stop_limit_ms;
    s->starts++;
    s->restart_at_ms = 0;
    reading_deliver(s, &s->now, c, 0);
    return 0;
}

/* In the place of one that died an engine goes on with what was confirmed last, contents of files
 * included: on the disk there may be anything by now. */
static void engines_restart(struct supervisor *s)
{
    AUTO_FREE char *error = NULL;
    struct content *read = STEAL(s->for_start);
    struct content *c = read ? read : s->kept ? s->kept : s->running;
    bool is_file_wanted = s->is_file_wanted;
    s->is_file_wanted = false;
    s->restart_at_ms = 0;
    if (is_file_wanted && reading_start(s) == 0)
        return;
    int err = engines_start(s, c, &error);
    content_unref(read);
    if (err == 0)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-not-started", KV_ERR("error", err), KV_STR("detail", error));
    s->restart_at_ms = clock_ms() + ENGINES_BACKOFF_MAX_MS;
}

void engines_ready(struct supervisor *s)
{
    s->was_ready = true;
    socket_store_commit(&s->sockets, &s->running->plan, SOCKET_STORE_ALL, s->running->number);
    notify("READY=1\nSTATUS=serving");
    upgrade_tell_olds(s);
    upgrade_link_olds(s);
    reading_watch(s);
    if (s->are_files_refused)
        reading_tell_files(s);
}

/* ---- ending ---- */

/* Children that serve get the farewells of their sessions done; kill_at_ms is for those that do not
 * end. */
void supervisor_stop_all(struct supervisor *s)
{
    uint64_t limit = s->now.stop_limit_ms;
    for (size_t i = 0; i < s->n_olds; i++)
        if (s->olds[i].process.stop_limit_ms > limit)
            limit = s->olds[i].process.stop_limit_ms;
    s->is_stopping = true;
    s->kill_at_ms = clock_ms() + limit + ENGINES_KILL_AFTER_MS;
    /* A service manager must not be the one who cuts a paced end short. */
    char text[80];
    snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
             (limit + ENGINES_KILL_AFTER_MS) * 1000);
    notify(text);
    upgrade_stop(s);
    reading_stop(s);
    loading_stop(s);
    watch_stop(&s->watch);
    for (size_t i = 0; i < s->n_olds; i++)
        kill(s->olds[i].process.pid, SIGTERM);
}

void supervisor_stop(struct supervisor *s)
{
    if (s->is_stopping)
        return;
    supervisor_stop_all(s);
    if (s->now.pid > 0)
        kill(s->now.pid, SIGTERM);
}

/* No new sessions: the sockets are closed, so that clients go elsewhere instead of waiting. The
 * engines end when their sessions have ended. */
void supervisor_quit(struct supervisor *s)
{
    if (s->is_stopping || s->is_quitting)
        return;
    s->is_quitting = true;
    notify("STOPPING=1");
    upgrade_stop(s);
    reading_stop(s);
    watch_stop(&s->watch);
    socket_store_forget_network(&s->sockets);
    if (s->now.pid > 0)
        kill(s->now.pid, SIGQUIT);
    else
        supervisor_stop(s);
    for (size_t i = 0; i < s->n_olds; i++)
        kill(s->olds[i].process.pid, SIGQUIT);
}

static void engines_log_death(const struct supervisor *s, const char *event,
                              const struct engine_process *p, int status)
{
    bool is_signal = WIFSIGNALED(status);
    LOG_EVENT(LOG_LEVEL_ERROR, event, KV_I64("pid", p->pid),
              KV_STR("signal", is_signal ? strsignal(WTERMSIG(status)) : NULL),
              KV_I64("status", is_signal ? 0 : WEXITSTATUS(status)),
              KV_MS("lived", clock_ms() - p->started_ms), KV_MS("restart-in", s->backoff_ms));
}

/* What the program ends with. An engine that was told to end before it listens ends by that signal:
 * nothing has failed. */
static int engines_last_status(const struct supervisor *s, int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    bool is_told = s->is_stopping && (WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT);
    return is_told ? 0 : EX_SOFTWARE;
}

/* The first one after a quiet time restarts at once; then the pause doubles. An engine that never
 * got ready will not do better. */
static void engines_died(struct supervisor *s, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->now.is_ready;
    struct engine_process gone = s->now;
    process_forget(&s->now);
    s->now.stop_limit_ms = gone.stop_limit_ms;
    /* What was under way for it. */
    reading_drop_pending(s);
    if (!s->reading.is_for_start)
        reading_stop(s);
    if (s->running && s->running != s->kept)
        socket_store_roll_back(&s->sockets, s->running->number);
    if (s->is_stopping || s->is_quitting || is_clean || !s->was_ready) {
        s->status = engines_last_status(s, status);
        supervisor_stop(s);
        return;
    }
    uint64_t now = clock_ms();
    bool was_stable = now - gone.started_ms >= ENGINES_STABLE_MS;
    if (was_stable || s->backoff_ms == 0)
        s->backoff_ms = was_stable ? 0 : ENGINES_BACKOFF_MIN_MS;
    else
        s->backoff_ms =
            s->backoff_ms * 2 < ENGINES_BACKOFF_MAX_MS ? s->backoff_ms * 2 : ENGINES_BACKOFF_MAX_MS;
    gone.wire = -1;
    engines_log_death(s, "engine-died", &gone, status);
    s->failures++;
    s->is_file_wanted = !gone.is_ready; /* with what it had it does not start */
    s->restart_at_ms = now + s->backoff_ms;
    if (s->backoff_ms == 0)
        engines_restart(s);
}

/* False: it was none of those. */
static bool engines_old_died(struct supervisor *s, pid_t pid, int status)
{
    size_t at = 0;
    while (at < s->n_olds && s->olds[at].process.pid != pid)
        at++;
    if (at == s->n_olds)
        return false;
    struct old_engine old = s->olds[at];
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        engines_log_death(s, "old-engine-died", &old.process, status);
    else
        LOG_EVENT(LOG_LEVEL_NOTICE, "old-engine-ended", KV_I64("pid", pid));
    socket_store_forget_owner(&s->sockets, pid);
    process_forget(&old.process);
    content_unref(old.content);
    memmove(&s->olds[at], &s->olds[at + 1], (--s->n_olds - at) * sizeof(s->olds[0]));
    upgrade_tell_olds(s);
    reading_release_stores(s);
    return true;
}

void engines_reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->now.pid)
            engines_died(s, status);
        else if (!engines_old_died(s, pid, status) && !reading_reap_keys(s, pid, status) &&
                 !reading_reap(s, pid, status) && !reading_reap_watch(s, pid, status) &&
                 !loading_reap(s, pid, status))
            (void)upgrade_reap(s, pid, status);
    }
}

/* ---- patience ---- */

static void engines_kill_all(struct supervisor *s)
{
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    size_t n = supervisor_engines(s, engines);
    for (size_t i = 0; i < n; i++) {
        if (engines[i]->pid <= 0)
            continue;
        LOG_EVENT(LOG_LEVEL_ERROR, "engine-killed", KV_I64("pid", engines[i]->pid),
                  KV_STR("reason", "it did not stop"));
        kill(engines[i]->pid, SIGKILL);
    }
    s->kill_at_ms = UINT64_MAX;
}

/* Its own watchdog should have ended it long before. */
static void engines_look_at(struct engine_process *p, uint64_t now)
{
    uint64_t limit = p->wire < 0   ? ENGINES_LOST_MS
                     : p->is_ready ? ENGINES_SILENT_MS
                                   : ENGINES_STARTING_MS;
    if (p->pid <= 0 || now <= p->heard_ms + limit)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-killed", KV_I64("pid", p->pid),
              KV_STR("reason", p->wire < 0 ? "it lives on without its channel"
                                           : "it has been silent for too long"));
    engine_lose(p);
    kill(p->pid, SIGKILL);
}

void engines_tick(struct supervisor *s, uint64_t now)
{
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX];
    size_t n = supervisor_engines(s, engines);
    bool was_paused = now > s->turn_ms + ENGINES_PAUSE_MS && s->turn_ms;
    for (size_t i = 0; i < n; i++) {
        if (was_paused)
            engines[i]->heard_ms = now;
        engines_look_at(engines[i], now);
    }
    if (s->is_stopping && s->kill_at_ms && now >= s->kill_at_ms)
        engines_kill_all(s);
    if (!s->is_stopping && s->now.pid == 0 && s->restart_at_ms && now >= s->restart_at_ms)
        engines_restart(s);
}
