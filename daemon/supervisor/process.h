/* SPDX-License-Identifier: ISC */
/* Child processes of the supervisor: engines, and the check of a new program. */
#pragma once

#include "supervisor/keeper.h"

/* How an engine is to be started. Borrowed. */
struct process_spec {
    const char *program; /* NULL = the one that runs */
    const char *config_path;
    const struct keeper *keeper; /* it gets those of whoever serves */
    unsigned starts, restarts;   /* see struct engine_options */
    bool is_successor;
    uint64_t stop_limit_ms;
    int config; /* see WIRE_CONFIG_ENV, -1 = none */
};

/* Starts an engine; *ret is overwritten. */
int process_start_engine(const struct process_spec *spec, struct engine_process *ret) NODISCARD;
/* Starts `PROGRAM -t`; *ret_output (owned) gives what it says, non-blocking. */
int process_start_check(const char *program, const char *config_path, pid_t *ret_pid,
                        int *ret_output) NODISCARD;
/* Closes the wire and forgets the process. */
void process_forget(struct engine_process *p);

/* Where the running program was started from, so that a newer one is found there after it was
 * replaced (owned; a name that is a symbolic link stays one). arg0: of main. NULL when it cannot be
 * told. */
char *process_program(const char *arg0);
