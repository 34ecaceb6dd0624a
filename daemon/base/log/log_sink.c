/* SPDX-License-Identifier: ISC */
/* Opening and writing of one destination. */
#include "base/log/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log/log_syslog.h"
#include "base/str.h"

#define LOG_SINK_BLOCK                                                                             \
    (2 * 1024 * 1024)                 /* some 8,000 lines twice: more than a slow disk's pause     \
                                       */
#define LOG_SINK_FILE_MAX (64 * 1024) /* bytes of one write to a file */
#define LOG_SINK_STREAM_MAX PIPE_BUF  /* and to a pipe: lines of two processes never mix */

int log_open_file(const char *path, int *ret_fd)
{
    int fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    switch (errno) { /* err_from_errno speaks of the store there */
    case ELOOP:
        return -ERR_SYMLINK;
    case ENOSPC:
    case EDQUOT:
        return -ERR_NO_SPACE;
    case EROFS:
        return -ERR_PERM;
    default:
        return err_from_errno(errno);
    }
}

/* ---- the standard error ---- */

/* Since log_unblock_stderr. */
static atomic_bool stderr_never_waits;

void log_unblock_stderr(void)
{
    struct stat st;
    atomic_store(&stderr_never_waits, true);
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) || fstat(STDERR_FILENO, &st) < 0)
        return;
    bool is_pipe = S_ISFIFO(st.st_mode);
    if (is_pipe || S_ISCHR(st.st_mode)) {
        /* A description of our own does not change that of the others who have this pipe or
         * terminal. */
        AUTO_CLOSE int fd =
            open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && dup2(fd, STDERR_FILENO) >= 0)
            return;
    }
    if (is_pipe) /* another user's: better all of its writers than a daemon that hangs */
        (void)fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

/* Sockets (of journald, of a service manager) are asked not to wait call by call; anything else
 * that could is looked at first. */
static ssize_t stderr_write(const char *p, size_t n)
{
    ssize_t done = send(STDERR_FILENO, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done >= 0 || errno != ENOTSOCK)
        return done;
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(STDERR_FILENO, p, n);
}

void log_write_stderr(const char *text, size_t n)
{
    while (n > 0) {
        size_t unit = n < PIPE_BUF ? n : PIPE_BUF;
        ssize_t done = atomic_load(&stderr_never_waits) ? stderr_write(text, unit)
                                                        : write(STDERR_FILENO, text, unit);
        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

/* ---- life ---- */

static int sink_open(struct log_sink *s, const struct log_sink_spec *spec)
{
    const char *path = spec->server ? spec->server : spec->path ? spec->path : LOG_SYSLOG_PATH;
    if (spec->target != LOG_TARGET_STDERR && !(s->path = str_dup_c(path)))
        return -ERR_NOMEM;
    if (spec->name && !(s->name = str_dup_c(spec->name)))
        return -ERR_NOMEM;
    s->is_named_only = spec->is_named_only;
    switch (spec->target) {
    case LOG_TARGET_FILE:
        if (spec->fd <= 0)
            return log_open_file(spec->path, &s->fd);
        s->fd = fcntl(spec->fd, F_DUPFD_CLOEXEC, 3);
        return s->fd < 0 ? err_from_errno(errno) : 0;
    case LOG_TARGET_SYSLOG:
        s->facility = log_syslog_facility(spec->facility);
        if (s->facility < 0)
            return -ERR_INVAL;
        s->head = log_syslog_head(spec->tag, spec->has_hostname);
        if (!s->head)
            return -ERR_NOMEM;
        if (log_syslog_address(s->path, spec->server != NULL, &s->to, &s->to_n) < 0)
            return -ERR_INVAL;
        s->fd = log_syslog_socket(s->to.ss_family);
        return s->fd < 0 ? err_from_errno(errno) : 0;
    case LOG_TARGET_STDERR:
        s->fd = STDERR_FILENO;
        break;
    }
    return 0;
}

int log_sink_new(const struct log_sink_spec *spec, struct log_sink **ret)
{
    struct log_sink *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->target = spec->target;
    s->format = spec->format;
    atomic_init(&s->level, (int)spec->level);
    s->fd = -1;
    int err = log_queue_init(&s->queue, LOG_SINK_BLOCK);
    if (err == 0)
        err = sink_open(s, spec);
    if (err < 0) {
        log_sink_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void log_sink_free(struct log_sink *s)
{
    if (!s)
        return;
    if (s->target != LOG_TARGET_STDERR && s->fd >= 0)
        close(s->fd);
    log_queue_fini(&s->queue);
    free(s->path);
    free(s->name);
    free(s->head);
    free(s);
}

bool log_sink_is_like(const struct log_sink *a, const struct log_sink *b)
{
    return a->target == b->target && a->format == b->format && a->facility == b->facility &&
           str_eq(str_of(a->name), str_of(b->name)) && str_eq(str_of(a->head), str_of(b->head)) &&
           (a->target == LOG_TARGET_STDERR || strcmp(a->path, b->path) == 0);
}

/* ---- lines ---- */

bool log_sink_put(struct log_sink *s, enum log_level level, const struct log_line *line)
{
    char packet[LOG_SYSLOG_MAX];
    if (s->target != LOG_TARGET_SYSLOG)
        return log_queue_put(&s->queue, line->text, line->n);
    size_t n = log_syslog_format(packet, s->facility, s->head, level, line);
    return log_queue_put(&s->queue, packet, n);
}

bool log_sink_has_more(const struct log_sink *s)
{
    const char *p;
    return log_queue_next(&s->queue, 1, &p) > 0;
}

int log_sink_write(struct log_sink *s)
{
    static const size_t sizes[] = {[LOG_TARGET_STDERR] = LOG_SINK_STREAM_MAX,
                                   [LOG_TARGET_FILE] = LOG_SINK_FILE_MAX,
                                   [LOG_TARGET_SYSLOG] = 1};
    const char *p;
    size_t n = log_queue_next(&s->queue, sizes[s->target], &p);
    ssize_t done;
    if (n == 0)
        return 0;
    if (s->target == LOG_TARGET_SYSLOG)
        done = log_syslog_send(s->fd, (const struct sockaddr *)&s->to, s->to_n, p, n);
    else if (s->target == LOG_TARGET_STDERR)
        done = stderr_write(p, n);
    else
        done = write(s->fd, p, n);
    if (done < 0)
        return errno == EINTR ? 0 : errno;
    log_queue_advance(&s->queue, (size_t)done);
    return done == 0 ? EIO : 0;
}
