/* SPDX-License-Identifier: ISC */
/* -f FILE: commands of a file, one a line. */
#pragma once

#include "ctl/run.h"

/* Runs the file's commands ("-" = stdin) over shared connections. Stops at the first failure
 * unless defaults->keep_going. Returns the exit code: that of the failure, PROBLEM_PARTLY when some
 * of several succeeded. */
int batch_run(struct run *r, const struct args_options *defaults);
