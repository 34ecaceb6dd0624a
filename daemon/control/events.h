/* SPDX-License-Identifier: ISC */
/* Streams of events to operators who watch. All functions: control thread. */
#pragma once

#include "control/request.h"

struct events;
struct client;

/* 0 or -ERR_NOMEM. */
int events_new(struct control *c, struct events **ret) NODISCARD;
void events_free(struct events *e); /* NULL is fine */
/* Ends a stream of a client. False when there is none of that number. */
bool events_cancel(struct control *c, struct client *client, uint64_t stream);
/* Ends all streams of a client. */
void events_forget(struct control *c, struct client *client);
