/* SPDX-License-Identifier: ISC */
/* The engine: the process that serves clients. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct control;
struct loop;
struct worker;

/* The parts of an engine that serves, for who runs it in its own program. Borrowed; they live until
 * engine_run returns. */
struct engine_parts {
    struct loop *loop; /* of the control thread */
    struct control *control;
    struct worker *const *workers;
    size_t n_workers;
};

struct engine_options {
    const char *config_path; /* without a supervisor */
    unsigned starts;         /* engines before this one under the same supervisor */
    unsigned restarts;       /* those of them that died */
    bool is_successor;       /* another engine is there and uses the same store */
    int supervisor; /* wire to the supervisor, from which everything comes that stands in a file;
                       -1 = none: the engine opens files and sockets itself */
    /* Gives up privileges once everything is open; NULL = stay. Returns 0 or -ERR_x. Borrowed for
     * engine_run. */
    int (*drop)(void *arg, const struct engine_options *o, const void *config);
    void *drop_arg;
    /* Once everything serves, on the control thread; NULL = nobody asks. */
    void (*ready)(void *arg, const struct engine_parts *parts);
    void *ready_arg;
};

/* Runs until the end; returns the exit status (sysexits: 0, 78 for a bad config, 71 for what the
 * system refused). */
int engine_run(const struct engine_options *o);
