/* SPDX-License-Identifier: ISC */
/* One destination of log lines: the standard error, a file or syslog, each written without ever
 * waiting for a reader. */
#pragma once

#include <stdatomic.h>
#include <sys/socket.h>

#include "base/log/log.h"
#include "base/log/log_line.h"
#include "base/log/log_queue.h"

struct log_sink {
    struct log_sink *next; /* of those that are no longer wanted */
    enum log_target target;
    enum log_format format;
    _Atomic int level;
    char *name; /* NULL = none */
    bool is_named_only;
    char *path;   /* of the file, or of syslog's socket, or the address of its server */
    char *head;   /* LOG_TARGET_SYSLOG: what stands before the process number, "host mailproxyd" */
    int facility; /* LOG_TARGET_SYSLOG */
    struct sockaddr_storage to; /* LOG_TARGET_SYSLOG: with to_n bytes */
    socklen_t to_n;
    int fd; /* the same number for the life of the sink: another file takes its place */
    struct log_queue queue;
    int open_err;             /* -ERR_x of the last try to open its file again, 0 = it went well */
    int write_errno;          /* why the last write failed, 0 = it did not */
    uint64_t trouble_wall_ms; /* since when it has such trouble, or drops lines */
    uint64_t retry_ms;        /* monotonic: no write before */
};

/* *ret is owned. -ERR_NOMEM; -ERR_INVAL: unknown facility; or why the file cannot be opened. */
int log_sink_new(const struct log_sink_spec *spec, struct log_sink **ret) NODISCARD;
/* NULL is fine. Lines that wait are lost. */
void log_sink_free(struct log_sink *s);
/* Do both write to the same place in the same format? */
bool log_sink_is_like(const struct log_sink *a, const struct log_sink *b);
/* Queues the line; false: it was dropped. */
bool log_sink_put(struct log_sink *s, enum log_level level, const struct log_line *line);
/* Writes the next lines of the block that is written out, as many as one call takes. 0: some were
 * written or there are none; else the errno value: EAGAIN = the reader is slow. */
int log_sink_write(struct log_sink *s);
/* Is there more in that block? */
bool log_sink_has_more(const struct log_sink *s);
