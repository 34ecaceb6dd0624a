/* SPDX-License-Identifier: ISC */
/* Certificates of tls.directory that engines want one by one: read by a child process, since a file
 * system may not answer and a file may be anything. */
#pragma once

#include <sys/types.h>

#include "engine/wire.h"
#include "supervisor/content.h"
#include "supervisor/takeover.h"

#define LOADING_QUEUE_MAX (WIRE_LOADS_MAX * (OLD_ENGINES_MAX + 2)) /* what all engines may want */

/* What engines wait for; zeroed: nothing. */
struct loading {
    pid_t pid;               /* of the child; 0 = none */
    int memory;              /* that it writes */
    pid_t engine;            /* that wants them */
    struct wire_loaded what; /* that it reads */
    uint64_t late_ms;        /* when to lose patience; monotonic */
    unsigned careful;        /* so many are read one by one: a child has died of one of them */
    struct load_request {
        pid_t engine;
        uint32_t entry;
    } queue[LOADING_QUEUE_MAX];
    size_t n_queue;
};

/* Writes the records of some entries of a content's directory (engine/wire.h); what cannot be used
 * is a record, too. keys: the channel by which the content's key process takes keys, for which the
 * records have places; -1 = there is none. Blocking: reads files. -ERR_x: not all were written. */
int loading_write(const struct content *c, const uint32_t *entries, size_t n, int fd,
                  int keys) NODISCARD;
