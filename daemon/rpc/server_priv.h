/* SPDX-License-Identifier: ISC */
/* Inside of the control server: its sockets and clients. All functions: control thread. */
#pragma once

#include "io/loop.h"
#include "rpc/client.h"
#include "rpc/peer.h"
#include "rpc/upload.h"

struct event;

struct server_socket {
    struct list link;
    struct server *server;
    int fd;
    char *path;
    struct event *event;
    size_t n_clients;
};

struct server {
    struct rpc *rpc;
    struct list sockets, clients;
    size_t n_clients, n_pending;
    struct loop_timer check, leave;
    struct loop_timer resume; /* nobody is accepted until then */
    bool is_paused;
};

struct client {
    struct list link;
    struct rpc *rpc;
    struct server *server;        /* NULL: it is one of the daemon itself */
    struct server_socket *socket; /* likewise, and without descriptor and events */
    const struct client_sink *sink;
    void *sink_arg;
    struct peer peer;
    int fd;
    struct event *read, *write;
    struct buf in, out;
    struct upload parts;
    size_t scanned; /* of in: no LF before */
    struct request *running;
    struct loop_slice pump;
    struct loop_deferred end;
    struct list links; /* struct client_link */
    size_t n_streams;
    uint64_t drop_at_ms; /* dropped for slowness: closed then, whether it has read that or not; 0 */
    bool is_cut_short;   /* the client could take more than was sent */
    bool is_reading, is_writing, is_eof, is_last, is_dead;
};

/* Greets a new client and reads what it says. Owns fd unless it fails. 0 or -ERR_NOMEM. */
int client_open(struct server_socket *socket, int fd, const struct peer *peer) NODISCARD;
/* Now and then: one that closed only its sending side is seen to be gone by this, when nothing is
 * sent to it, and one that was dismissed has had its time. */
void client_check(struct client *c);
/* Its socket is closed. Who waits for events would not know why they end; who asks connects again.
 */
void client_leave(struct client *c);
/* Closes and frees it at once. */
void client_end(struct client *c);
