/* SPDX-License-Identifier: ISC */
/* Structured log: sinks, levels and the one place where events become lines. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_syslog.h"
#include "base/str.h"

#define LOG_SINKS_MAX 8

struct log_sink {
    enum log_target target;
    enum log_format format;
    _Atomic int level;
    char *path;
    int facility;
    int fd;
};

/* Readers hold the lock shared while they write: replacing and reopening wait for them, writers
 * never wait for each other. */
static pthread_rwlock_t log_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct log_sink log_sinks[LOG_SINKS_MAX] = {
    {.target = LOG_TARGET_STDERR, .level = LOG_LEVEL_NOTICE, .fd = STDERR_FILENO}};
static size_t log_n_sinks = 1;
/* Highest level that any sink takes: answers log_is_on without the lock. */
static _Atomic int log_max_level = LOG_LEVEL_NOTICE;

static const char *const log_level_names[LOG_LEVEL_COUNT] = {"error", "warn", "notice", "info",
                                                             "debug"};

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < LOG_LEVEL_COUNT ? log_level_names[level] : "?";
}

int log_level_parse(const char *name, enum log_level *ret)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, log_level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -ERR_INVAL;
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_max_level, memory_order_relaxed);
}

static void log_find_max(void)
{
    int max = -1;
    for (size_t i = 0; i < log_n_sinks; i++) {
        int level = atomic_load(&log_sinks[i].level);
        max = level > max ? level : max;
    }
    atomic_store(&log_max_level, max);
}

static void log_sink_close(struct log_sink *s)
{
    if (s->target != LOG_TARGET_STDERR && s->fd >= 0)
        close(s->fd);
    free(s->path);
    *s = (struct log_sink){.fd = -1};
}

static int log_open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd >= 0 ? fd : err_from_errno(errno);
}

static int log_sink_open(struct log_sink *s, const struct log_sink_spec *spec)
{
    *s = (struct log_sink){.target = spec->target,
                           .format = spec->format,
                           .level = (int)spec->level,
                           .fd = STDERR_FILENO};
    if (spec->target == LOG_TARGET_FILE) {
        s->fd = log_open_file(spec->path);
        if (s->fd < 0)
            return s->fd;
        s->path = str_dup_c(spec->path);
        return s->path ? 0 : -ERR_NOMEM;
    }
    if (spec->target == LOG_TARGET_SYSLOG) {
        s->facility = log_syslog_facility(spec->facility);
        s->fd = log_syslog_connect();
        return s->facility < 0 ? -ERR_INVAL : 0;
    }
    return 0;
}

int log_configure(const struct log_sink_spec *specs, size_t n, size_t *ret_bad)
{
    struct log_sink fresh[LOG_SINKS_MAX];
    if (n > LOG_SINKS_MAX)
        return -ERR_TOO_MANY;
    for (size_t i = 0; i < n; i++) {
        int err = log_sink_open(&fresh[i], &specs[i]);
        if (!err)
            continue;
        for (size_t j = 0; j <= i; j++)
            log_sink_close(&fresh[j]);
        if (ret_bad)
            *ret_bad = i;
        return err;
    }
    pthread_rwlock_wrlock(&log_lock);
    for (size_t i = 0; i < log_n_sinks; i++)
        log_sink_close(&log_sinks[i]);
    for (size_t i = 0; i < n; i++)
        log_sinks[i] = fresh[i];
    log_n_sinks = n;
    log_find_max();
    pthread_rwlock_unlock(&log_lock);
    return 0;
}

void log_reopen(void)
{
    pthread_rwlock_wrlock(&log_lock);
    for (size_t i = 0; i < log_n_sinks; i++) {
        struct log_sink *s = &log_sinks[i];
        int fd = s->target == LOG_TARGET_FILE ? log_open_file(s->path) : -1;
        if (fd < 0)
            continue;
        close(s->fd);
        s->fd = fd;
    }
    pthread_rwlock_unlock(&log_lock);
}

bool log_set_level(int sink, enum log_level level)
{
    bool is_changed = false;
    pthread_rwlock_wrlock(&log_lock);
    for (size_t i = 0; i < log_n_sinks; i++)
        if (sink < 0 || (size_t)sink == i)
            is_changed |= atomic_exchange(&log_sinks[i].level, (int)level) != (int)level;
    log_find_max();
    pthread_rwlock_unlock(&log_lock);
    return is_changed;
}

void log_fini(void)
{
    pthread_rwlock_wrlock(&log_lock);
    for (size_t i = 0; i < log_n_sinks; i++)
        log_sink_close(&log_sinks[i]);
    log_n_sinks = 0;
    log_find_max();
    pthread_rwlock_unlock(&log_lock);
}

/* A sink that cannot take the line loses it: logging never blocks or ends the process. */
static void log_sink_write(const struct log_sink *s, enum log_level level,
                           const struct log_line *line)
{
    if (s->target == LOG_TARGET_SYSLOG) {
        log_syslog_send(s->fd, s->facility, level, line);
        return;
    }
    ssize_t n = write(s->fd, line->text, line->n);
    (void)n;
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    struct log_line lines[2];
    bool is_made[2] = {false, false};
    uint64_t now = clock_wall_ms();
    pthread_rwlock_rdlock(&log_lock);
    for (size_t i = 0; i < log_n_sinks; i++) {
        const struct log_sink *s = &log_sinks[i];
        if ((int)level > atomic_load_explicit(&s->level, memory_order_relaxed))
            continue;
        if (!is_made[s->format])
            log_line_make(&lines[s->format], s->format, now, level, event, fields, n);
        is_made[s->format] = true;
        log_sink_write(s, level, &lines[s->format]);
    }
    pthread_rwlock_unlock(&log_lock);
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
