/* SPDX-License-Identifier: ISC */
/* Watching the heartbeats of the loops. */
#include "engine/watchdog.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log/log.h"
#include "sandbox/sandbox.h"

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    uint64_t last_look_ms;
    size_t n;
    const struct loop *loops[];
};

static void watchdog_look(struct watchdog *w)
{
    uint64_t now = clock_ms();
    /* After a sleep of the machine, or a signal that stopped this process, all loops were silent:
     * none of them hangs. */
    bool was_stopped = now - w->last_look_ms > 3000;
    w->last_look_ms = now;
    for (size_t i = 0; i < w->n && !was_stopped; i++) {
        uint64_t heartbeat = loop_heartbeat_ms(w->loops[i]);
        if (!heartbeat || now <= heartbeat || now - heartbeat <= WATCHDOG_SILENCE_MS)
            continue;
        /* Takes no lock and no memory, and waits for nobody: what made the loop hang may have all
         * of them. */
        char text[96];
        int n = snprintf(text, sizeof(text),
                         "mailproxyd: watchdog: loop %zu is silent for %" PRIu64 " ms: aborting\n",
                         i, now - heartbeat);
        log_write_stderr(text, (size_t)n);
        abort();
    }
}

static void *watchdog_main(void *arg)
{
    struct watchdog *w = arg;
    pthread_setname_np(pthread_self(), "watchdog");
    sandbox_enter_watchdog();
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec++;
        pthread_cond_timedwait(&w->wake, &w->lock, &at);
        if (!w->is_stopping)
            watchdog_look(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int watchdog_start(const struct loop *const *loops, size_t n, struct watchdog **ret)
{
    struct watchdog *w = calloc(1, sizeof(*w) + n * sizeof(w->loops[0]));
    if (!w)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        w->loops[i] = loops[i];
    w->n = n;
    w->last_look_ms = clock_ms();
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->lock, NULL);
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a refused system call, see sandbox/sandbox_calls.c */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&w->thread, NULL, watchdog_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        free(w);
        return err_from_errno(failed);
    }
    *ret = w;
    return 0;
}

void watchdog_free(struct watchdog *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
