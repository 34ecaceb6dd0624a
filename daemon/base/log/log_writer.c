/* SPDX-License-Identifier: ISC */
/* One round after the other over all sinks; between rounds it sleeps until there is a line, or
 * until a sink that did not take the last one may take it. */
#include "base/log/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define WRITER_NAP_MS 20     /* lines of so long go together in one write */
#define WRITER_RETRY_MS 250  /* after a write that failed */
#define WRITER_ROUNDS_MAX 16 /* without a thread: others may go on logging */

enum writer_state {
    WRITER_BUSY,   /* looks for lines before it sleeps */
    WRITER_NAPS,   /* will write soon; urgent lines wake it */
    WRITER_SLEEPS, /* any line wakes it */
};

static struct {
    pthread_mutex_t lock; /* held by who writes, during write(2), too; before log_set.lock */
    pthread_cond_t written;
    pthread_t thread;
    int wake; /* eventfd */
    atomic_bool is_running, is_stopping;
    atomic_bool is_hurried; /* an urgent line has come since the last nap */
    _Atomic int state;
    /* Under log_set.lock, told by written: nothing is queued; the thread has come to its end. */
    bool is_written, has_ended;
    void (*begin)(void); /* of the thread; NULL = nothing */
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .written = PTHREAD_COND_INITIALIZER, .wake = -1};

/* ---- a round; under writer.lock ---- */

/* What a round leaves behind. */
struct writer_round {
    struct pollfd fds[LOG_SINKS_MAX + 1]; /* [0]: the eventfd; then sinks that poll(2) tells of */
    size_t n_fds;
    uint64_t retry_ms; /* monotonic: when to try the others again; 0 = there are none */
    bool did_write;
};

/* The next block of lines; the number of those that were dropped after them opens the one after
 * it. */
static bool writer_turn(struct log_sink *s)
{
    uint64_t dropped;
    struct log_line line;
    pthread_mutex_lock(&log_set.lock);
    bool has_lines = log_queue_turn(&s->queue, &dropped);
    if (dropped > 0) {
        const struct log_field field = KV_U64("lines", dropped);
        log_line_make(&line, s->format, clock_wall_ms(), LOG_LEVEL_WARN, "log-lines-dropped",
                      &field, 1);
        (void)log_sink_put(s, LOG_LEVEL_WARN, &line);
    }
    if (s->open_err == 0 && s->write_errno == 0 && s->queue.dropped == 0)
        s->trouble_wall_ms = 0;
    pthread_mutex_unlock(&log_set.lock);
    return has_lines;
}

/* A change is told to the other sinks; a slow reader is told of by the lines that it loses. */
static void writer_note(struct log_sink *s, int failed)
{
    int before = s->write_errno;
    int trouble = failed == EAGAIN ? 0 : failed;
    if (failed == 0 || trouble) {
        pthread_mutex_lock(&log_set.lock);
        s->write_errno = trouble;
        if (trouble && s->trouble_wall_ms == 0)
            s->trouble_wall_ms = clock_wall_ms();
        pthread_mutex_unlock(&log_set.lock);
    }
    if (trouble && trouble != before) {
        const struct log_field fields[] = {KV_STR("path", s->path ? s->path : "stderr"),
                                           KV_STR("error", strerrordesc_np(trouble))};
        (void)log_set_put(NULL, LOG_LEVEL_ERROR, "log-not-written", fields, ARRAY_LEN(fields));
    } else if (failed == 0 && before) {
        const struct log_field field = KV_STR("path", s->path ? s->path : "stderr");
        (void)log_set_put(NULL, LOG_LEVEL_NOTICE, "log-written-again", &field, 1);
    }
}

/* One block at most: the other sinks are waiting. */
static void writer_write(struct log_sink *s, struct writer_round *r)
{
    uint64_t now = clock_ms();
    if (s->retry_ms <= now) {
        s->retry_ms = 0;
        if (!log_sink_has_more(s) && !writer_turn(s))
            return;
    }
    while (s->retry_ms == 0 && log_sink_has_more(s)) {
        int failed = log_sink_write(s);
        writer_note(s, failed);
        if (failed == EAGAIN) {
            r->fds[r->n_fds++] = (struct pollfd){.fd = s->fd, .events = POLLOUT};
            return;
        }
        if (failed)
            s->retry_ms = clock_ms() + WRITER_RETRY_MS;
        else
            r->did_write = true;
    }
    if (s->retry_ms > 0 && (r->retry_ms == 0 || s->retry_ms < r->retry_ms))
        r->retry_ms = s->retry_ms;
}

/* Sinks that are no longer wanted get one try. */
static void writer_end_retired(void)
{
    pthread_mutex_lock(&log_set.lock);
    struct log_sink *list = log_set.retired;
    log_set.retired = NULL;
    pthread_mutex_unlock(&log_set.lock);
    while (list) {
        struct log_sink *s = list;
        list = s->next;
        while ((log_sink_has_more(s) || writer_turn(s)) && log_sink_write(s) == 0)
            ;
        do
            log_queue_discard(&s->queue);
        while (writer_turn(s));
        pthread_mutex_lock(&log_set.lock);
        log_set.dropped += s->queue.dropped_total;
        pthread_mutex_unlock(&log_set.lock);
        log_sink_free(s);
    }
}

static void writer_go_round(struct writer_round *r)
{
    struct log_sink *sinks[LOG_SINKS_MAX];
    *r = (struct writer_round){.fds = {{.fd = writer.wake, .events = POLLIN}}, .n_fds = 1};
    writer_end_retired();
    pthread_mutex_lock(&log_set.lock);
    size_t n = log_set.n;
    memcpy(sinks, log_set.sinks, sizeof(sinks));
    pthread_mutex_unlock(&log_set.lock);
    for (size_t i = 0; i < n; i++)
        writer_write(sinks[i], r);
}

/* Are there lines that a round would write? For a flush: are there any at all? */
static bool writer_has_work(void)
{
    bool has_work = false, is_written = true;
    uint64_t now = clock_ms();
    pthread_mutex_lock(&log_set.lock);
    has_work = log_set.retired != NULL;
    for (size_t i = 0; i < log_set.n; i++) {
        const struct log_sink *s = log_set.sinks[i];
        is_written &= log_queue_is_empty(&s->queue);
        has_work |= s->queue.fill_n > 0 && !log_sink_has_more(s) && s->retry_ms <= now;
    }
    writer.is_written = is_written && !has_work;
    if (writer.is_written)
        pthread_cond_broadcast(&writer.written);
    pthread_mutex_unlock(&log_set.lock);
    return has_work;
}

/* ---- the thread ---- */

static void writer_clear_wake(void)
{
    uint64_t n;
    (void)!read(writer.wake, &n, sizeof(n));
}

static void writer_nap(struct pollfd *wake)
{
    atomic_store(&writer.state, WRITER_NAPS);
    bool is_hurried = atomic_exchange(&writer.is_hurried, false);
    if (!is_hurried && !atomic_load(&writer.is_stopping) && poll(wake, 1, WRITER_NAP_MS) > 0)
        writer_clear_wake();
    atomic_store(&writer.state, WRITER_BUSY);
}

/* A line that comes after the look at the queues finds the state that it follows. Where lines come
 * all the time the naps follow each other, and nobody has to wake the thread. */
static void writer_sleep(struct writer_round *r)
{
    uint64_t now = clock_ms();
    int wait_ms = r->retry_ms == 0 ? -1 : r->retry_ms > now ? (int)(r->retry_ms - now) : 0;
    if (r->did_write && r->n_fds == 1 && wait_ms < 0) {
        writer_nap(r->fds);
        if (writer_has_work())
            return;
    }
    atomic_store(&writer.state, WRITER_SLEEPS);
    if (!writer_has_work() && !atomic_load(&writer.is_stopping))
        (void)poll(r->fds, r->n_fds, wait_ms);
    bool is_woken = atomic_exchange(&writer.state, WRITER_BUSY) == WRITER_BUSY;
    if (r->fds[0].revents)
        writer_clear_wake();
    if (r->fds[0].revents && is_woken)
        writer_nap(r->fds);
}

static void *writer_main(void *arg)
{
    struct writer_round r;
    (void)arg;
    pthread_setname_np(pthread_self(), "log");
    if (writer.begin)
        writer.begin();
    pthread_mutex_lock(&writer.lock);
    do {
        writer_go_round(&r);
        writer_sleep(&r);
    } while (!atomic_load(&writer.is_stopping));
    writer_go_round(&r);
    pthread_mutex_unlock(&writer.lock);
    pthread_mutex_lock(&log_set.lock);
    writer.has_ended = true;
    pthread_cond_broadcast(&writer.written);
    pthread_mutex_unlock(&log_set.lock);
    return NULL;
}

static void writer_wake_thread(void)
{
    const uint64_t one = 1;
    atomic_store(&writer.state, WRITER_BUSY);
    (void)!write(writer.wake, &one, sizeof(one));
}

void log_writer_wake(bool is_urgent)
{
    if (!atomic_load_explicit(&writer.is_running, memory_order_acquire)) {
        (void)log_writer_flush(0);
        return;
    }
    if (is_urgent) /* before the look: a thread that is about to nap sees it, or is woken */
        atomic_store(&writer.is_hurried, true);
    int state = atomic_load(&writer.state);
    if (state == WRITER_SLEEPS || (state == WRITER_NAPS && is_urgent))
        writer_wake_thread();
}

int log_writer_start(void (*begin)(void))
{
    sigset_t all, old;
    if (atomic_load(&writer.is_running))
        return 0;
    writer.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer.wake < 0)
        return err_from_errno(errno);
    atomic_store(&writer.is_stopping, false);
    writer.has_ended = false;
    writer.begin = begin;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a refused system call, see sandbox/sandbox_calls.c */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&writer.thread, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        close(writer.wake);
        return err_from_errno(failed);
    }
    atomic_store_explicit(&writer.is_running, true, memory_order_release);
    return 0;
}

/* ---- the end ---- */

/* Until the thread has set this; false: it has not. */
static bool writer_wait(const bool *what, uint64_t limit_ms)
{
    const uint64_t late_ms = clock_ms() + limit_ms;
    const struct timespec until = {.tv_sec = (time_t)(late_ms / 1000),
                                   .tv_nsec = (long)(late_ms % 1000) * 1000000};
    int failed = 0;
    pthread_mutex_lock(&log_set.lock);
    while (!*what && failed == 0)
        failed = pthread_cond_clockwait(&writer.written, &log_set.lock, CLOCK_MONOTONIC, &until);
    bool is_set = *what;
    pthread_mutex_unlock(&log_set.lock);
    return is_set;
}

bool log_writer_flush(uint64_t limit_ms)
{
    if (!atomic_load(&writer.is_running)) {
        struct writer_round r = {.did_write = true};
        pthread_mutex_lock(&writer.lock);
        for (unsigned i = 0; i < WRITER_ROUNDS_MAX && (i == 0 || writer_has_work()); i++)
            writer_go_round(&r);
        (void)writer_has_work();
        bool is_written = writer.is_written;
        pthread_mutex_unlock(&writer.lock);
        return is_written;
    }
    pthread_mutex_lock(&log_set.lock);
    writer.is_written = false; /* until the thread has looked again */
    pthread_mutex_unlock(&log_set.lock);
    writer_wake_thread();
    return writer_wait(&writer.is_written, limit_ms);
}

bool log_writer_stop(uint64_t limit_ms)
{
    (void)log_writer_flush(limit_ms);
    if (!atomic_load(&writer.is_running))
        return true;
    atomic_store(&writer.is_stopping, true);
    writer_wake_thread();
    if (!writer_wait(&writer.has_ended, limit_ms))
        return false;
    (void)pthread_join(writer.thread, NULL);
    atomic_store(&writer.is_running, false);
    close(writer.wake);
    writer.wake = -1;
    return true;
}
