/* SPDX-License-Identifier: ISC */
/* An operator's connection as commands see it. All functions: control thread. */
#pragma once

#include "base/container/list.h"
#include "rpc/request.h"

struct client;

/* What goes on for a client beyond one request: a stream, or a list that is open. Embed it. */
struct client_link {
    struct list link;
    struct client *client; /* NULL: it is gone, or not attached */
    uint64_t stream;       /* its number; 0 = no stream. With streams a client stays after the end
                            * of its requests. */
    /* stream.cancel: detaches and ends it. Only of streams. */
    void (*cancel)(struct client_link *l);
    /* The client is gone; the link is detached already. */
    void (*gone)(struct client_link *l);
};
/* The other members are set. */
void client_attach(struct client *c, struct client_link *l);
/* Harmless when it is not attached. */
void client_detach(struct client_link *l);

/* A client of the daemon itself, on behalf of a peer: what it asks is checked as for anybody, and
 * what it is told goes to functions. */
struct client_sink {
    /* An answer or a notification; borrowed. Also within client_ask; must not close the client. */
    void (*send)(void *arg, const json_t *message);
    size_t (*backlog)(void *arg); /* bytes that were not passed on yet */
};
/* sink and arg: borrowed. -ERR_NOMEM. */
int client_open_own(struct rpc *rpc, const struct peer *peer, const struct client_sink *sink,
                    void *arg, struct client **ret) NODISCARD;
/* A request of it, with the id 1; one at a time. params: borrowed, may be NULL. */
void client_ask(struct client *c, const char *method, const json_t *params);
/* Its streams end, and its sink hears no more. NULL is fine. */
void client_close_own(struct client *c);

/* Sends a line; borrowed. A client that does not read is dropped. */
void client_send(struct client *c, const json_t *message);
/* Bytes that it has not read yet. */
size_t client_backlog(const struct client *c);
