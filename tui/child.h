/* SPDX-License-Identifier: ISC */
/* Work that may take its time, in a process of its own whose output is read as it comes. */
#pragma once

#include <stdio.h>

#include "base/buf.h"

struct child {
    int pid, fd;    /* pid 0 = none */
    struct buf out; /* read and not yet taken */
    int status;     /* exit status; 128 and above: it was killed */
};

/* Runs fn(arg, out) in a child; what it returns becomes the exit status. -ERR_IO. */
int child_start(struct child *c, int (*fn)(void *arg, FILE *out), void *arg) NODISCARD;
bool child_is_running(const struct child *c);
/* Reads what is there. True when the child is over, once; then status is set. */
bool child_read(struct child *c);
/* Ends it. */
void child_stop(struct child *c);
