/* SPDX-License-Identifier: ISC */
/* Asynchronous HTTP/1.1 GET of one URL on a loop: kept-alive connections, HTTPS, UNIX sockets,
 * several addresses of one name, exact request fields. */
#pragma once

#include "io/http/http_reply.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/tls/tls.h"

struct http_client;
struct http_request;

struct http_spec {
    const char *url;           /* as http_url_parse takes it */
    struct resolver *resolver; /* borrowed, outlives the client; NULL = the host is an address */
    struct tls_client *tls;    /* for https, a reference is taken; else NULL */
    size_t max_connections;    /* further requests wait for their turn; 0 = 16 */
    size_t max_response_bytes; /* header block, 0 = 64 KiB; more is an error, never a silent cut */
    uint64_t connect_ms;       /* to connect to one address, TLS included; 0 = 5 s */
};

struct http_result {
    int err;           /* 0, -ERR_TIMEOUT, -ERR_REFUSED, -ERR_UNREACHABLE, -ERR_DNS, -ERR_TLS,
                          -ERR_TLS_VERIFY,           -ERR_TLS_NAME, -ERR_CLOSED, -ERR_TOO_LONG, -ERR_PROTOCOL,
                          -ERR_NOMEM, -ERR_IO */
    const char *error; /* with an error what happened where, for the log; else NULL */
    unsigned status;
    const struct http_header *headers; /* borrowed during the callback, as all of this */
    size_t n_headers;
};

/* 0, -ERR_INVAL (not a URL, or https without tls) or -ERR_NOMEM. Thread of everything here: the
 * loop's. */
int http_client_new(struct loop *l, const struct http_spec *spec,
                    struct http_client **ret) NODISCARD;
/* Pending requests end without callback. Allowed in callbacks; NULL is fine. */
void http_client_free(struct http_client *c);
/* Sends GET with Host and then exactly these fields: "Name: value\r\n" each. They are copied, into
 * memory that is wiped; what is no such line is -ERR_INVAL. The body is read (HTTP_BODY_MAX_BYTES
 * at most) and thrown away; redirects are not followed. cb runs once on the loop, never in this
 * call; -ERR_x when it could not even start. timeout_ms: for the whole, waiting for a connection
 * included. *ret is borrowed until cb ran. A kept connection on which the server hangs up before
 * the first byte of its reply is replaced once by a new one. An address that failed is passed over
 * for some seconds; when that is so for all of them, requests fail at once. */
int http_get(struct http_client *c, struct str fields, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret) NODISCARD;
/* False: it waits for a connection. */
bool http_is_sent(const struct http_request *r);
/* cb will not run; the connection is dropped. Only before cb ran; NULL is fine. */
void http_cancel(struct http_request *r);
