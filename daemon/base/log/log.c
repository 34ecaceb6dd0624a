/* SPDX-License-Identifier: ISC */
/* Structured log: levels, replacing of sinks, and the way in for events. */
#include "base/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log_writer.h"
#include "base/str.h"

#define LOG_END_MS 300 /* for the last lines, then again for the thread */

/* ---- levels ---- */

bool log_is_on(enum log_level level)
{
    for (size_t i = 0; i < ARRAY_LEN(log_set.max_level); i++)
        if ((int)level <= atomic_load_explicit(&log_set.max_level[i], memory_order_relaxed))
            return true;
    return false;
}

bool log_set_level(int sink, enum log_level level)
{
    bool is_changed = false;
    log_set_init();
    pthread_mutex_lock(&log_set.lock);
    for (size_t i = 0; i < log_set.n; i++)
        if (sink < 0 || (size_t)sink == i)
            is_changed |= atomic_exchange(&log_set.sinks[i]->level, (int)level) != (int)level;
    log_set_find_max();
    pthread_mutex_unlock(&log_set.lock);
    return is_changed;
}

/* ---- sinks ---- */

/* Under the lock. */
static void sink_set_open_err(struct log_sink *s, int err)
{
    s->open_err = err;
    if (err && s->trouble_wall_ms == 0)
        s->trouble_wall_ms = clock_wall_ms();
}

static void log_not_opened(const char *path, int err)
{
    LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", path), KV_ERR("error", err),
              KV_STR("effect", "the file that is open is written on"));
}

/* A file that is open and cannot be opened again is used on. */
static int sink_new_or_keep(const struct log_sink_spec *spec, struct log_sink **ret)
{
    int err = log_sink_new(spec, ret);
    if (err == 0 || spec->target != LOG_TARGET_FILE || err == -ERR_NOMEM)
        return err;
    struct log_sink_spec same = *spec;
    same.fd = 0;
    for (size_t i = 0; i < log_set.n && same.fd == 0; i++)
        if (log_set.sinks[i]->target == LOG_TARGET_FILE &&
            strcmp(log_set.sinks[i]->path, spec->path) == 0)
            same.fd = log_set.sinks[i]->fd;
    if (same.fd == 0)
        return err;
    int failed = log_sink_new(&same, ret);
    if (failed == 0)
        (*ret)->open_err = err;
    return failed;
}

/* Under the lock. The one among the present sinks that wants to be what the new one is goes on,
 * with the lines that it has. */
static void sink_take_over(struct log_sink **fresh)
{
    for (size_t i = 0; i < log_set.n; i++) {
        struct log_sink *s = log_set.sinks[i];
        if (!s || !log_sink_is_like(s, *fresh))
            continue;
        if (s->target == LOG_TARGET_FILE)
            (void)dup3((*fresh)->fd, s->fd, O_CLOEXEC);
        atomic_store(&s->level, atomic_load(&(*fresh)->level));
        s->is_named_only = (*fresh)->is_named_only;
        sink_set_open_err(s, (*fresh)->open_err);
        log_set.sinks[i] = NULL;
        log_sink_free(*fresh);
        *fresh = s;
        return;
    }
}

static void log_replace(struct log_sink *const *fresh, size_t n)
{
    struct log_sink *now[LOG_SINKS_MAX];
    pthread_mutex_lock(&log_set.lock);
    for (size_t i = 0; i < n; i++) {
        now[i] = fresh[i];
        sink_take_over(&now[i]);
    }
    for (size_t i = 0; i < log_set.n; i++) {
        struct log_sink *s = log_set.sinks[i];
        if (!s)
            continue;
        s->next = log_set.retired;
        log_set.retired = s;
    }
    memcpy(log_set.sinks, now, n * sizeof(now[0]));
    log_set.n = n;
    log_set_find_max();
    pthread_mutex_unlock(&log_set.lock);
    log_writer_wake(true);
}

int log_configure(const struct log_sink_spec *specs, size_t n, size_t *ret_bad)
{
    struct log_sink *fresh[LOG_SINKS_MAX];
    int err = n > LOG_SINKS_MAX ? -ERR_TOO_MANY : 0, open_err[LOG_SINKS_MAX] = {0};
    size_t i = 0;
    log_set_init();
    pthread_mutex_lock(&log_set.admin);
    for (; err == 0 && i < n; i++) {
        err = sink_new_or_keep(&specs[i], &fresh[i]);
        open_err[i] = err ? 0 : fresh[i]->open_err;
    }
    if (err == 0) {
        log_replace(fresh, n);
    } else if (n <= LOG_SINKS_MAX) {
        if (ret_bad)
            *ret_bad = --i;
        while (i-- > 0)
            log_sink_free(fresh[i]);
    }
    pthread_mutex_unlock(&log_set.admin);
    for (i = 0; err == 0 && i < n; i++)
        if (open_err[i])
            log_not_opened(specs[i].path, open_err[i]);
    return err;
}

/* Under admin: the sinks stay. fd is duplicated; or -ERR_x. */
static void sink_set_fd(struct log_sink *s, int fd)
{
    int err = fd;
    if (fd >= 0)
        err = dup3(fd, s->fd, O_CLOEXEC) < 0 ? err_from_errno(errno) : 0;
    pthread_mutex_lock(&log_set.lock);
    sink_set_open_err(s, err);
    pthread_mutex_unlock(&log_set.lock);
    if (err < 0)
        log_not_opened(s->path, err);
}

size_t log_reopen(void)
{
    size_t n_failed = 0;
    log_set_init();
    pthread_mutex_lock(&log_set.admin);
    for (size_t i = 0; i < log_set.n; i++) {
        int fd = -1;
        if (log_set.sinks[i]->target != LOG_TARGET_FILE)
            continue;
        int err = log_open_file(log_set.sinks[i]->path, &fd);
        sink_set_fd(log_set.sinks[i], err < 0 ? err : fd);
        n_failed += err < 0;
        if (fd >= 0)
            close(fd);
    }
    pthread_mutex_unlock(&log_set.admin);
    return n_failed;
}

int log_set_fd(const char *path, int fd)
{
    int err = -ERR_NOT_FOUND;
    log_set_init();
    pthread_mutex_lock(&log_set.admin);
    for (size_t i = 0; i < log_set.n; i++) {
        struct log_sink *s = log_set.sinks[i];
        if (s->target != LOG_TARGET_FILE || strcmp(s->path, path) != 0)
            continue;
        sink_set_fd(s, fd);
        err = 0;
    }
    pthread_mutex_unlock(&log_set.admin);
    return err;
}

/* ---- how they are ---- */

static void sink_state(const struct log_sink *s, struct log_state *ret)
{
    *ret = (struct log_state){.target = s->target, .dropped = s->queue.dropped_total};
    str_copy(ret->path, sizeof(ret->path), str_of(s->path ? s->path : ""));
    if (s->write_errno) {
        ret->trouble = "cannot be written";
        ret->reason = strerrordesc_np(s->write_errno);
    } else if (s->queue.dropped > 0) {
        ret->trouble = "loses lines";
        ret->reason = "it takes them more slowly than they come";
    } else if (s->open_err) {
        ret->trouble = "cannot be opened again";
        ret->reason = err_text(s->open_err);
    }
    ret->since_wall_ms = ret->trouble ? s->trouble_wall_ms : 0;
}

size_t log_states(struct log_state *v, size_t max)
{
    log_set_init();
    pthread_mutex_lock(&log_set.lock);
    size_t n = log_set.n;
    for (size_t i = 0; i < n && i < max; i++)
        sink_state(log_set.sinks[i], &v[i]);
    pthread_mutex_unlock(&log_set.lock);
    return n;
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&log_set.lock);
    uint64_t n = log_set.dropped;
    for (size_t i = 0; i < log_set.n; i++)
        n += log_set.sinks[i]->queue.dropped_total;
    pthread_mutex_unlock(&log_set.lock);
    return n;
}

/* ---- events ---- */

void log_event(const char *const *names, enum log_level level, const char *event,
               const struct log_field *fields, size_t n)
{
    log_writer_wake(log_set_put(names, level, event, fields, n));
}

void log_say(enum log_level level, const char *fmt, ...)
{
    if (!log_is_on(level))
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    LOG_EVENT(level, "message", KV_STR("text", text));
}

/* ---- start and end ---- */

int log_start(void (*begin)(void))
{
    return log_writer_start(begin);
}

bool log_flush(uint64_t limit_ms)
{
    return log_writer_flush(limit_ms);
}

/* Sinks of a thread that hangs stay: the process is about to end. */
void log_fini(void)
{
    log_set_init();
    pthread_mutex_lock(&log_set.admin);
    bool is_stopped = log_writer_stop(LOG_END_MS);
    pthread_mutex_lock(&log_set.lock);
    for (size_t i = 0; i < log_set.n && is_stopped; i++)
        log_sink_free(log_set.sinks[i]);
    log_set.n = 0;
    log_set_find_max();
    pthread_mutex_unlock(&log_set.lock);
    pthread_mutex_unlock(&log_set.admin);
}
