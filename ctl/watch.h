/* SPDX-License-Identifier: ISC */
/* --watch: runs a listing again and again, repainting the terminal. */
#pragma once

#include "ctl/nodes.h"

/* Repeats until Ctrl-C, which ends the process with code 0. Lost daemons are waited for. Returns
 * only when the command cannot be watched, with the exit code. */
int watch_run(struct run *r, struct args *a);
