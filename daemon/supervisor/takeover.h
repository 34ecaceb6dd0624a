/* SPDX-License-Identifier: ISC */
/* What a supervisor hands to the program that takes its place, as text: sockets and engines. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

/* Of the text. A program that knows another one cannot take over, and says so when it is checked.
 */
#define TAKEOVER_FORMAT 1
/* Environment of a supervisor that takes over: the text. */
#define TAKEOVER_ENV "MAILPROXY_TAKE_OVER"

/* An engine as its supervisor sees it. */
struct engine_process {
    pid_t pid;              /* 0 = none */
    int wire;               /* our end; -1 = none */
    uint64_t started_ms;    /* monotonic */
    uint64_t stop_limit_ms; /* its sessions get this long to end */
};

/* A listening socket that outlives engines. */
struct kept_socket {
    char *address; /* owned */
    int fd;
    pid_t owner; /* only this engine's, ends with it; 0 = of whoever serves */
};

struct takeover {
    unsigned starts;                     /* engines started so far */
    unsigned failures;                   /* of them died */
    struct engine_process now, old;      /* that serves; that only finishes what it has */
    uint64_t old_since_ms, old_sessions; /* wall clock */
    struct kept_socket *kept;
    size_t n_kept;
};

/* Appends the text of t, which is borrowed. */
int takeover_format(const struct takeover *t, struct buf *out) NODISCARD;
/* Reads such a text. *ret is owned (takeover_fini); its descriptors are only numbers. -ERR_SYNTAX.
 */
int takeover_parse(struct str text, struct takeover *ret) NODISCARD;
/* Frees the memory; closes nothing. */
void takeover_fini(struct takeover *t);
