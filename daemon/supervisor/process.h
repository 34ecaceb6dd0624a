/* SPDX-License-Identifier: ISC */
/* Child processes of the supervisor: engines, and the reading of a configuration. */
#pragma once

#include "supervisor/content.h"
#include "supervisor/takeover.h"

/* How an engine is to be started. Borrowed. */
struct process_spec {
    const char *program; /* NULL = the one that runs */
    const char *config_path;
    unsigned starts, restarts; /* see struct engine_options */
    bool is_successor;
};

/* Starts an engine; *ret is overwritten. */
int process_start_engine(const struct process_spec *spec, struct engine_process *ret) NODISCARD;
/* Starts `PROGRAM -t`, which writes the bundle of the configuration, and its keys, into `memory`
 * (borrowed).
 * ret_output NULL = nobody hears what it says; else *ret_output (owned) gives it, non-blocking.
 * program NULL = the one that runs. */
int process_start_check(const char *program, const char *config_path,
                        const struct content_memory *memory, pid_t *ret_pid,
                        int *ret_output) NODISCARD;
/* Starts a process that writes the bundle of a content into `memory` (borrowed), with the
 * certificates as they are now: content_refresh. */
int process_start_refresh(const struct content *from, const struct content_memory *memory,
                          pid_t *ret_pid) NODISCARD;
/* Closes the channel and forgets the process. */
void process_forget(struct engine_process *p);
/* The channel of an engine has ended: it should end, too; SIGCHLD tells. */
void engine_lose(struct engine_process *p);
/* Ends an engine that does what none does, with the reason for the log. */
void engine_kill(struct engine_process *p, const char *why);

/* Where the running program was started from, so that a newer one is found there after it was
 * replaced (owned; a name that is a symbolic link stays one). arg0: of main. NULL when it cannot be
 * told. */
char *process_program(const char *arg0);
