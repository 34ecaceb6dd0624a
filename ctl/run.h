/* SPDX-License-Identifier: ISC */
/* Runs one parsed command against one or several daemons and prints what they answer. */
#pragma once

#include "ctl/nodes.h"

/* Runs a command and prints its outcome or failure; returns the exit code. */
int run_command(struct run *r, struct args *a);
