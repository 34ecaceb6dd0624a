/* SPDX-License-Identifier: ISC */
/* A process that ends when files have changed: looking at them may hang in a file system that does
 * not answer, and the supervisor must not. */
#pragma once

#include <sys/types.h>

#include "supervisor/plan.h"

struct file_watch {
    pid_t pid;       /* 0 = none */
    uint64_t number; /* of the content whose files are watched */
    uint64_t due_ms; /* when to begin again; monotonic, 0 = never */
};

/* Watches the files of a plan from what they were when it was made, in the place of what was
 * watched before; none where it names none. What cannot be started is tried again later. */
void watch_start(struct file_watch *w, const struct plan *p, uint64_t number);
void watch_stop(struct file_watch *w);
/* A child has ended. False: it was not this one. *ret_changed: files have changed, and have been as
 * they are for a moment, unless one never is. Else it is to be started again when it is due. */
bool watch_reap(struct file_watch *w, pid_t pid, int status, bool *ret_changed);
