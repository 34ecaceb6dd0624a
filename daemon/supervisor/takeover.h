/* SPDX-License-Identifier: ISC */
/* What a supervisor hands to the program that takes its place, as text: sockets and engines. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "engine/listen.h"
#include "supervisor/key_process.h"

/* Of the text. A program that knows another one cannot take over, and says so when it is checked.
 */
#define TAKEOVER_FORMAT 4
/* Environment of a supervisor that takes over: the text. */
#define TAKEOVER_ENV "MAILPROXY_TAKE_OVER"

struct content;
struct outbox;

/* An engine as its supervisor sees it. */
struct engine_process {
    pid_t pid;              /* 0 = none */
    int wire;               /* our end; -1 = none */
    uint64_t started_ms;    /* monotonic */
    uint64_t stop_limit_ms; /* its sessions get this long to end */
    uint64_t number;        /* of the content that it works with, or starts with */
    bool is_ready;

    /* Not told to the next program. */
    struct outbox *outbox; /* orders that wait; NULL = none */
    uint64_t heard_ms;     /* when it last said something */
    uint64_t window_ms;    /* since then `words` are counted */
    unsigned words;
};

/* A listening socket that outlives engines. */
struct kept_socket {
    char *address; /* owned */
    int fd;
    pid_t owner; /* only this engine's, ends with it; 0 = of whoever serves */
    enum listen_use use;
    uint64_t number;         /* bound for this content, which is not in force yet; 0 = in force */
    struct listen_file file; /* of a UNIX socket */
    bool is_loss_told; /* it is lost and cannot be bound again; not told to the next program */
};

/* Contents, by their descriptors. */
struct takeover_content {
    int fd; /* -1 = none */
    uint64_t number;
    struct key_process *keys; /* NULL = none; owned where it was parsed */
};

#define OLD_ENGINES_MAX                                                                            \
    8 /* after so many upgrades that all have sessions left, no other begins                       \
       */

/* An engine that an upgrade replaced and that only finishes what it has. */
struct old_engine {
    struct engine_process process;
    uint64_t since_ms, sessions; /* wall clock */
    unsigned number;             /* of its control sockets, from 1: see control_old_path */
    struct content *content;     /* that it works with; not told to the next program */
};

struct takeover {
    unsigned starts;                                    /* engines started so far */
    unsigned failures;                                  /* of them died */
    struct engine_process now;                          /* that serves */
    uint64_t last_number;                               /* of contents */
    struct takeover_content running;                    /* that the engine works with */
    struct takeover_content kept;                       /* to come back with after a failure */
    struct old_engine olds[OLD_ENGINES_MAX];            /* the oldest first */
    struct takeover_content finishing[OLD_ENGINES_MAX]; /* what they work with */
    size_t n_olds;
    struct kept_socket *kept_sockets;
    size_t n_kept;
};

/* Appends the text of t, which is borrowed. */
int takeover_format(const struct takeover *t, struct buf *out) NODISCARD;
/* Reads such a text. *ret is owned (takeover_fini); its descriptors are only numbers. -ERR_SYNTAX.
 */
int takeover_parse(struct str text, struct takeover *ret) NODISCARD;
/* Frees the memory; closes nothing. */
void takeover_fini(struct takeover *t);
