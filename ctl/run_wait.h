/* SPDX-License-Identifier: ISC */
/* --wait: follows an operation of the daemon until it is over. */
#pragma once

#include "ctl/answer.h"

/* Follows the operation that an answer names ("op"), with its progress on a terminal. A lost daemon
 * is waited for: what became of the operation is known to the next one. Ctrl-C leaves the operation
 * alone. Returns an exit code. */
int run_wait(struct run_job *job, struct run_node *node, const json_t *answer);
/* The same for an operation with this id. */
int run_wait_op(struct run_job *job, struct run_node *node, const char *id);

/* Draws how far an operation is, on a terminal; takes that away again. */
void run_wait_draw(const struct run_job *job, const json_t *op);
void run_wait_erase(const struct run_job *job);
/* Prints what came of one that is over; returns its exit code, with problem of the job set. */
int run_wait_outcome(struct run_job *job, const struct run_node *node, json_t *op);
