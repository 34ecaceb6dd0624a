/* SPDX-License-Identifier: ISC */
/* Structured log: one event with key=value fields, to several sinks (stderr, file, syslog), as text
 * or JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_COUNT
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_FILE, LOG_TARGET_SYSLOG };

/* Wanted sink; strings are borrowed for the call of log_configure. */
struct log_sink_spec {
    enum log_target target;
    const char *path;     /* LOG_TARGET_FILE */
    const char *facility; /* LOG_TARGET_SYSLOG: "mail", "daemon", "local0".. */
    enum log_level level;
    enum log_format format;
};

/* Replaces all sinks at once; on error (a file that cannot be opened) the old ones stay and -ERR_x
 * is returned with the failing index in *ret_bad (may be NULL). Before the first call everything
 * from NOTICE up goes to stderr as text. Thread: any; writers see old or new, never half. */
int log_configure(const struct log_sink_spec *specs, size_t n, size_t *ret_bad) NODISCARD;
/* Opens log files again under their names (SIGUSR1, logrotate). */
void log_reopen(void);
/* Changes the level of all sinks, or of the sink with this index when >= 0. False: it was so. */
bool log_set_level(int sink, enum log_level level);
/* True when some sink takes this level: guards expensive fields. */
bool log_is_on(enum log_level level);
/* Closes and flushes everything. */
void log_fini(void);
const char *log_level_name(enum log_level level);
/* -ERR_INVAL for an unknown name. */
int log_level_parse(const char *name, enum log_level *ret) NODISCARD;

/* A field: use the KV_x constructors. */
struct log_field {
    const char *key;
    enum { LOG_F_STR, LOG_F_STRN, LOG_F_U64, LOG_F_I64, LOG_F_ERR, LOG_F_MS } type;
    const char *s;
    uint64_t u;
};
#define KV_STR(k, v) ((struct log_field){k, LOG_F_STR, v, 0}) /* skipped when v is NULL */
#define KV_STRN(k, v) ((struct log_field){k, LOG_F_STRN, (v).p, (v).n})
#define KV_U64(k, v) ((struct log_field){k, LOG_F_U64, 0, v})
#define KV_I64(k, v) ((struct log_field){k, LOG_F_I64, 0, (uint64_t)(v)})
#define KV_ERR(k, e)                                                                               \
    ((struct log_field){k, LOG_F_ERR, 0, (uint64_t)(int64_t)(e)}) /* text of -ERR_x */
#define KV_MS(k, v)                                                                                \
    ((struct log_field){k, LOG_F_MS, 0, v}) /* duration, printed as seconds with 3 decimals */

/* Writes one event: time, level, event name ("session-end"), fields. One write(2) per sink and
 * event; values are escaped (control bytes, quotes; invalid UTF-8) so that a peer can never forge a
 * line. Thread: any. Never blocks on anything but the sink; lines are at most 4096 bytes, cut
 * fields end in "...". */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n);
#define LOG_EVENT(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_event(level, event, log_fields_, sizeof(log_fields_) / sizeof(log_fields_[0]));    \
        }                                                                                          \
    } while (0)
/* Plain sentence (no fields). */
void log_say(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
