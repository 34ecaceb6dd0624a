/* SPDX-License-Identifier: ISC */
/* Private to io/http: a client, its requests, its connections and what it knows of its servers.
 */
#pragma once

#include "io/conn.h"
#include "io/http/http.h"

#define HTTP_ADDRESSES_MAX 8
#define HTTP_WHY_MAX 192

/* What is known of one address. */
struct http_server {
    struct addr at;
    unsigned failures;        /* in a row */
    uint64_t closed_until_ms; /* it is passed over until then */
    uint64_t last_success_ms;
};

struct http_client {
    struct loop *loop;
    struct resolver *resolver;
    struct tls_client *tls; /* NULL = http */
    struct buf start;       /* request line and Host */
    char *name, *unix_path; /* to resolve and to verify; unix_path NULL = TCP */
    struct addr fixed;      /* the host as an address; AF_UNSPEC = a name */
    uint16_t port;
    size_t max_connections, max_response_bytes;
    uint64_t connect_ms;
    struct list waiting;    /* struct http_request without a connection */
    struct list busy, idle; /* struct http_conn */
    size_t n_conns;
    struct http_server servers[HTTP_ADDRESSES_MAX];
    size_t n_servers;
    /* How a connection gives its request back, which has none then. result: borrowed for the call;
     * NULL = a kept connection was dead, ask again on a new one. */
    void (*on_result)(struct http_request *r, const struct http_result *result);
    struct loop_deferred end;
    bool is_dead; /* its memory goes at the end of the turn */
};

struct http_request {
    struct list link; /* in waiting, or alone */
    struct http_client *client;
    struct http_conn *conn; /* NULL = waits for one */
    struct buf text;        /* all of it; carries a password */
    struct loop_timer timeout;
    uint64_t started_ms, deadline_ms;
    void (*cb)(void *arg, const struct http_result *r);
    void *arg;
    bool is_repeated; /* on a new connection, because a kept one was dead */
};

enum http_phase { /* in the order of what works until then */
                  HTTP_START,
                  HTTP_CONNECT,
                  HTTP_SECURE,
                  HTTP_BUSY, /* asked */
                  HTTP_IDLE,
                  HTTP_DEAD /* its memory goes at the end of the turn */
};

/* One connection; made for a request, kept for others. */
struct http_conn {
    struct list link; /* in busy or idle */
    struct http_client *client;
    struct http_request *request; /* NULL = idle */
    struct conn conn;
    struct http_reply reply;
    struct resolver_query *query;
    struct loop_timer timer; /* one address has had its time, or it was idle for long enough */
    struct loop_deferred later;
    struct addr addrs[HTTP_ADDRESSES_MAX];
    size_t n_addrs, next_addr;
    struct addr at; /* where it leads */
    enum http_phase phase;
    /* Of the addresses that were tried the one that came furthest, of several the last. */
    enum http_phase failed_in;
    int err;
    char why[HTTP_WHY_MAX];
    bool is_kept; /* has carried a request before */
};

/* http_conn.c */

/* A new connection for a request. -ERR_NOMEM. Fails later, if at all. */
int http_conn_open(struct http_client *c, struct http_request *r) NODISCARD;
/* Asks on an idle connection. -ERR_CLOSED: it is dead now. */
int http_conn_reuse(struct http_conn *h, struct http_request *r) NODISCARD;
/* Closes it, whatever it does; its request, if any, is without a connection then. */
void http_conn_kill(struct http_conn *h);
/* Its request had to wait too long for the reply: the server is to blame unless it served others
 * meanwhile. */
void http_conn_blame(struct http_conn *h);

/* http_server.c */

/* May a connection to this address be tried now? With true after failures, nobody else may for
 * a while. */
bool http_server_try(struct http_client *c, const struct addr *at);
void http_server_failed(struct http_client *c, const struct addr *at, int err);
void http_server_worked(struct http_client *c, const struct addr *at);
/* What is known of an address; NULL = nothing. */
struct http_server *http_server_find(struct http_client *c, const struct addr *at);
