/* SPDX-License-Identifier: ISC */
/* Calls to the nodes of a fleet, by way of the daemon that is connected: it runs the command on
 * all, or on one, and tells what each said. */
#pragma once

#include "ctl/control_client.h"

struct fleet_link;

/* client: borrowed, outlives it. is_all: its nodes are all that there are. NULL without memory. */
struct fleet_link *fleet_link_new(struct control_client *client, bool is_all);
void fleet_link_free(struct fleet_link *link); /* NULL is fine */
/* One call to a node of a fleet, as client_call. Those that ask all nodes the same, one after
 * another, share one answer of the daemon. */
int fleet_call(struct fleet_link *link, const char *node, const char *method, json_t *params,
               uint64_t timeout_ms, json_t **ret_result,
               struct control_client_error *ret_error) NODISCARD;
/* Did the daemon refuse the last call for all nodes at once? Then no other node need be asked. */
bool fleet_is_refused(const struct fleet_link *link);
