/* SPDX-License-Identifier: ISC */
/* Structured log: one event with key=value fields, to several sinks (stderr, file, syslog), as text
 * or JSON. Nobody waits for a log: lines are queued, and what a full queue drops is counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
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

#define LOG_SINKS_MAX 8

/* ---- sinks ---- */

/* Wanted sink; strings are borrowed for the call of log_configure. */
struct log_sink_spec {
    enum log_target target;
    const char *name;     /* that log_event calls it by; NULL = none */
    bool is_named_only;   /* it takes only what is meant for it by name */
    const char *path;     /* of the file; of syslog's socket, NULL = /dev/log */
    const char *server;   /* LOG_TARGET_SYSLOG: "192.0.2.1:514" by UDP; NULL = the socket */
    const char *tag;      /* LOG_TARGET_SYSLOG: who speaks; NULL = mailproxyd */
    bool has_hostname;    /* LOG_TARGET_SYSLOG: the machine's name is in each packet */
    int fd;               /* LOG_TARGET_FILE: open already (log_open_file), duplicated; 0 = none */
    const char *facility; /* LOG_TARGET_SYSLOG: "mail", "daemon", "local0".. */
    enum log_level level;
    enum log_format format;
};

/* Replaces all sinks at once; on error (a new file that cannot be opened) the old ones stay and
 * -ERR_x is returned with the failing index in *ret_bad (may be NULL). A file that was open and
 * cannot be opened again goes on as it was: that is logged and shown by log_states. Before the
 * first call everything from NOTICE up goes to stderr as text. Thread: any. */
int log_configure(const struct log_sink_spec *specs, size_t n, size_t *ret_bad) NODISCARD;
/* Opens log files again under their names (SIGUSR1, logrotate). A file that cannot be opened goes
 * on as it was; that is logged and shown by log_states. Returns how many. */
size_t log_reopen(void);
/* Opens or makes a log file for appending; its last component must not be a symbolic link. *ret_fd
 * is owned. 0 or -ERR_x (-ERR_SYMLINK: a link). */
int log_open_file(const char *path, int *ret_fd) NODISCARD;
/* The file sinks of this path go on in fd, which is duplicated: somebody with the right to do so
 * has opened it again. fd may be the -ERR_x of that try: they go on as they were, which is logged
 * and shown by log_states. 0, or -ERR_NOT_FOUND: no sink has this path. Thread: any. */
int log_set_fd(const char *path, int fd) NODISCARD;
/* Changes the level of all sinks, or of the sink with this index when >= 0. False: it was so. */
bool log_set_level(int sink, enum log_level level);
/* True when some sink takes this level: guards expensive fields. */
bool log_is_on(enum log_level level);
const char *log_level_name(enum log_level level);
/* -ERR_INVAL for an unknown name. */
int log_level_parse(const char *name, enum log_level *ret) NODISCARD;

/* How a sink is. */
struct log_state {
    enum log_target target;
    char path[256];         /* of a file, cut */
    const char *trouble;    /* what is wrong with it, static text; NULL = nothing */
    const char *reason;     /* why, static text; with trouble */
    uint64_t since_wall_ms; /* with trouble */
    uint64_t dropped;       /* lines, since the sink is there */
};

/* Fills at most max; returns the number of sinks. Thread: any. */
size_t log_states(struct log_state *v, size_t max);
/* Lines that any sink has dropped since the program started. */
uint64_t log_dropped(void);

/* ---- writing ---- */

/* Starts the thread that writes from now on; before, each caller of log_event writes what waits.
 * It inherits what the caller may do (user, sandbox), and calls begin (NULL = nothing) first. 0 or
 * -ERR_x. */
int log_start(void (*begin)(void)) NODISCARD;
/* Waits until what was logged before is written, at most this long. False: some is not. */
bool log_flush(uint64_t limit_ms);
/* Flushes for a fraction of a second at most, ends the thread, closes everything. */
void log_fini(void);
/* For a daemon, once, before it logs: no write to the standard error may wait any more, of this
 * process or of its children. */
void log_unblock_stderr(void);
/* Text as it is to the standard error; after log_unblock_stderr what it does not take at once is
 * lost. Takes no lock and no memory: also for a process that is about to end itself. */
void log_write_stderr(const char *text, size_t n);

/* A field: use the KV_x constructors. */
struct log_field {
    const char *key;
    uint8_t key_n; /* its length */
    enum {
        LOG_F_STR,
        LOG_F_STRN,
        LOG_F_WORD,
        LOG_F_ADDR,
        LOG_F_U64,
        LOG_F_I64,
        LOG_F_ERR,
        LOG_F_MS
    } type;
    union {
        const char *s;
        const struct addr *addr;
    };
    uint64_t u;
};
#define KV_KEY(k) k, (uint8_t)strlen(k) /* of a literal it is a constant */
/* Fields of text and KV_ADDR are skipped when v is NULL. */
#define KV_STR(k, v) ((struct log_field){KV_KEY(k), LOG_F_STR, {.s = v}, 0})
#define KV_STRN(k, v) ((struct log_field){KV_KEY(k), LOG_F_STRN, {.s = (v).p}, (v).n})
/* A word of the program's own (static names, ids), never a peer's or an operator's: it is printed
 * unread, and may hold nothing that wants quotes or an escape. */
#define KV_WORD(k, v) ((struct log_field){KV_KEY(k), LOG_F_WORD, {.s = v}, 0})
#define KV_ADDR(k, a) ((struct log_field){KV_KEY(k), LOG_F_ADDR, {.addr = a}, 0}) /* with port */
#define KV_U64(k, v) ((struct log_field){KV_KEY(k), LOG_F_U64, {0}, v})
#define KV_I64(k, v) ((struct log_field){KV_KEY(k), LOG_F_I64, {0}, (uint64_t)(v)})
#define KV_ERR(k, e) /* text of -ERR_x */                                                          \
    ((struct log_field){KV_KEY(k), LOG_F_ERR, {0}, (uint64_t)(int64_t)(e)})
#define KV_MS(k, v) /* duration, printed as seconds with 3 decimals */                             \
    ((struct log_field){KV_KEY(k), LOG_F_MS, {0}, v})

/* Logs one event: time, level, event name ("session-end"), fields. Values are escaped (control
 * bytes, quotes; invalid UTF-8) so that a peer can never forge a line; lines are at most 4096
 * bytes, cut fields end in "...". Thread: any. Never waits for a sink; a line that a sink has no
 * room for is dropped, and a line says how many once there is room again. names: only the sinks of
 * these names, if there are any of them; NULL = all. */
void log_event(const char *const *names, enum log_level level, const char *event,
               const struct log_field *fields, size_t n);
#define LOG_EVENT(level, event, ...) LOG_EVENT_TO(NULL, level, event, __VA_ARGS__)
#define LOG_EVENT_TO(names, level, event, ...)                                                     \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_event(names, level, event, log_fields_,                                            \
                      sizeof(log_fields_) / sizeof(log_fields_[0]));                               \
        }                                                                                          \
    } while (0)
/* Plain sentence (no fields). */
void log_say(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
