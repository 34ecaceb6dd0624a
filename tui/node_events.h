/* SPDX-License-Identifier: ISC */
/* The stream of events: opened, joined with what is known, held back during a pause. */
#pragma once

#include "tui/node.h"

/* Opens the stream, unless it is open or refused. */
void node_watch(struct node *n);
/* Closes it. */
void node_unwatch(struct node *n);
/* A notification has come; arg: the node, the right type for rpc_client_ops. */
void node_on_event(void *arg, const json_t *params);
