/* SPDX-License-Identifier: ISC */
/* The nodes of a fleet behind one daemon: --fleet asks all of them by one command of that daemon,
 * --node one. To the rest of mailproxyctl each is as a daemon of its own. */
#pragma once

#include "ctl/nodes.h"

/* Finds out which nodes there are, and puts them in the place of the sockets of a's options. 0 or
 * an exit code with *problem set. */
int fleet_open(struct run *r, struct args *a, struct problem *problem);
/* One call to a node of a fleet, as client_call. Those that ask all nodes the same, one after
 * another, share one answer of the daemon. */
int fleet_call(struct fleet_link *link, const char *node, const char *method, json_t *params,
               uint64_t timeout_ms, json_t **ret_result, struct client_error *ret_error) NODISCARD;
/* Did the daemon refuse the last call for all nodes at once? Then no other node need be asked. */
bool fleet_is_refused(const struct fleet_link *link);
/* The command is over: forgets the nodes that fleet_open found. */
void fleet_close(struct run *r);
