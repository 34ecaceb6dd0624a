/* SPDX-License-Identifier: ISC */
/* The control sockets. All functions: control thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct rpc;
struct server;

/* Serves the sockets of the configuration. 0 or -ERR_NOMEM. */
int server_new(struct rpc *rpc, struct server **ret) NODISCARD;
/* Closes all clients and sockets. NULL is fine. */
void server_free(struct server *s);
/* Serves on a listening socket, which it owns unless it fails; path as in the config. */
int server_listen(struct server *s, int fd, const char *path) NODISCARD;
/* Goes on with another descriptor where it serves this path; the clients stay. The same;
 * -ERR_NOT_FOUND. */
int server_relisten(struct server *s, int fd, const char *path) NODISCARD;
/* Closes the sockets; their clients are dropped some seconds later. Those of later sockets stay. */
void server_retire(struct server *s);
/* No client of a closed socket is left. */
bool server_has_no_clients(const struct server *s);
/* Under a limit of so many descriptors the last ones are not for clients of control sockets: how
 * many. Thread: any. */
uint64_t server_spare_fds(uint64_t limit);
/* Connected clients that have a role. */
size_t server_clients(const struct server *s);
