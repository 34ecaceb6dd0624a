/* SPDX-License-Identifier: ISC */
/* session trace: streams of what is said in sessions. All functions: control thread. */
#pragma once

#include "control/request.h"

struct client;

/* Ends a stream of a client. False when there is none of that number. */
bool traces_cancel(struct control *c, struct client *client, uint64_t stream);
/* Ends all streams of a client that is gone. */
void traces_forget(struct control *c, struct client *client);
