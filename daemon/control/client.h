/* SPDX-License-Identifier: ISC */
/* An operator's connection as the rest of the control plane sees it. All functions: control thread.
 */
#pragma once

#include "control/request.h"

struct client;
struct parts;

/* Sends a line; borrowed. A client that does not read is dropped. */
void client_send(struct client *c, const json_t *message);
/* The same with an answer whose result is JSON already; both borrowed. */
void client_send_result(struct client *c, const json_t *id, struct str result);
/* Closes soon; harmless when that is already so. reason is for the log, static. */
void client_drop(struct client *c, const char *reason);
const struct peer *client_peer(const struct client *c);
/* For request.c: the client waits for this request, and no longer. */
void client_request_begun(struct client *c, struct request *r);
void client_request_done(struct client *c, struct request *r);
/* What it has sent of a long file. */
struct parts *client_parts(struct client *c);
/* How many streams it has: with some of them it may stay after the end of its requests. */
void client_add_streams(struct client *c, int n);
/* Bytes that it has not read yet. */
size_t client_backlog(const struct client *c);
