/* SPDX-License-Identifier: ISC */
/* The nodes of a fleet behind one daemon: --fleet asks all of them by one command of that daemon,
 * --node one. To the rest of mailproxyctl each is as a daemon of its own. */
#pragma once

#include "ctl/nodes.h"

/* Finds out which nodes there are, and puts them in the place of the sockets of a's options. 0 or
 * an exit code with *problem set. */
int fleet_open(struct run *r, struct args *a, struct problem *problem);
/* A stream of theirs is one of that daemon (fleet.watch): its parameters; NULL without memory. Then
 * the sockets stay. */
json_t *fleet_stream_params(const struct args *a);
/* The command is over: forgets the nodes that fleet_open found. */
void fleet_close(struct run *r);
