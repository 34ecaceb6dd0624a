/* SPDX-License-Identifier: ISC */
/* Streams of events to operators who watch. All functions: control thread. */
#pragma once

#include "rpc/request.h"

struct control;
struct events;

/* 0 or -ERR_NOMEM. */
int events_new(struct control *c, struct events **ret) NODISCARD;
void events_free(struct events *e); /* NULL is fine */
/* Streams to a client what happens from now on, where the filter (NULL = all; a reference is taken)
 * matches. -ERR_TOO_MANY streams of this client, -ERR_NOMEM. */
int events_watch(struct events *e, struct client *client, struct filter *filter,
                 uint64_t *ret_stream) NODISCARD;
/* Sends to a stream the newest of the kept events that its filter matches, at most n, oldest first.
 */
void events_send_last(struct events *e, uint64_t stream, uint64_t n);
/* An event for `event watch`; fields may be NULL. Cheap when nobody watches. */
void control_event(struct control *c, const char *type, const char *session, const char *proto,
                   const char *user, const char *ip, const char *backend, const char *text);
/* The end of a session: the same with its bytes and its age; text is the reason. */
struct control_end {
    const char *session, *proto, *user, *ip, *backend, *text;
    uint64_t in_bytes, out_bytes, age_ms;
};
void control_event_end(struct control *c, const struct control_end *end);
