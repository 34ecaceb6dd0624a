/* SPDX-License-Identifier: ISC */
/* Asks before destructive commands, with the number of objects that they would hit. */
#pragma once

#include "ctl/nodes.h"

/* file: what the command sends of one. 0 when the command may go on, else an exit code with
 * *problem set. */
int guard_check(struct run *r, struct args *a, struct str file, struct problem *problem);
