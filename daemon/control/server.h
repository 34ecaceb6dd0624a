/* SPDX-License-Identifier: ISC */
/* The control sockets and their clients: lines in, lines out. All functions: control thread. */
#pragma once

#include "control/request.h"

struct parts;
struct server;

/* Serves the sockets of the configuration. 0 or -ERR_NOMEM. */
int server_new(struct control *c, struct server **ret) NODISCARD;
/* Closes all clients and sockets. NULL is fine. */
void server_free(struct server *s);
/* Serves on a listening socket, which it owns unless it fails; path as in the config. */
int server_listen(struct server *s, int fd, const char *path) NODISCARD;
/* Closes the sockets; their clients are dropped some seconds later. Those of later sockets stay. */
void server_retire(struct server *s);
/* No client of a closed socket is left. */
bool server_is_forsaken(const struct server *s);
/* Connected clients that have a role. */
size_t server_clients(const struct server *s);

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
