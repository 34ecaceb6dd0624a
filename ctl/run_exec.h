/* SPDX-License-Identifier: ISC */
/* Attends a move with --exec: runs the command for each user that the daemon names, and tells it
 * what came of it. */
#pragma once

#include "ctl/answer.h"
#include "ctl/exec_command.h"

/* Runs the commands of an operation until it is over. A lost connection is made anew, and the
 * commands go on meanwhile; Ctrl-C cancels the operation and ends the commands. Returns an exit
 * code; problem of the job set. */
int run_exec(struct run_job *job, struct run_node *node, const char *id);
/* The same for the answer that began a move. */
int run_exec_answer(struct run_job *job, struct run_node *node, const json_t *answer);
/* Before anything is sent: does the command line want commands run, and may they be? 0 or an exit
 * code. */
int run_exec_check(struct run_job *job);
/* Does it? */
bool run_exec_is_wanted(const struct args *a);
