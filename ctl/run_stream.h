/* SPDX-License-Identifier: ISC */
/* Streams: prints notifications of one or several daemons until Ctrl-C, or until they end it. */
#pragma once

#include "ctl/answer.h"

/* Streams until --limit, Ctrl-C (which ends the process with code 0) or a lost connection. Returns
 * an exit code with job->problem set. */
int run_stream(struct run_job *job);
/* From now on Ctrl-C ends the process at once with code 0: there is nothing to undo. */
void run_stop_quietly(void);
