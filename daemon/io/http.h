/* SPDX-License-Identifier: ISC */
/* Asynchronous HTTP GET of one URL on a loop (libcurl multi): kept-alive connections, HTTPS, UNIX
 * sockets, exact request headers. */
#pragma once

#include "base/buf.h"
#include "io/loop.h"

struct http_client;
struct http_request;

struct http_spec {
    const char *url;                  /* http or https */
    const char *unix_path;            /* connect there instead; NULL = to the URL's host */
    const char *ca_file;              /* NULL = the system's */
    const char *cert_file, *key_file; /* client certificate */
    bool is_verified;
    size_t max_connections;    /* further requests wait for their turn; 0 = any number */
    size_t max_response_bytes; /* header block, 0 = 64 KiB; more is an error, never a silent cut */
};

/* A reply header, borrowed during the callback. */
struct http_header {
    struct str name, value;
};

struct http_result {
    int err; /* 0, -ERR_TIMEOUT, -ERR_REFUSED, -ERR_DNS, -ERR_TLS, -ERR_TOO_LONG, -ERR_PROTOCOL,
                -ERR_INVAL (URL), -ERR_NOMEM, -ERR_IO */
    const char *error; /* curl's words with an error, else NULL */
    long status;
    const struct http_header *headers;
    size_t n_headers;
};

/* Copies the strings of spec. 0 or -ERR_NOMEM. Thread of everything here: the loop's. */
int http_client_new(struct loop *l, const struct http_spec *spec,
                    struct http_client **ret) NODISCARD;
/* Pending requests end without callback. Allowed in callbacks; NULL is fine. */
void http_client_free(struct http_client *c);
/* Sends GET with exactly these header lines ("Name: value", in this order, after Host; no Accept,
 * no User-Agent unless listed). lines are copied; one with CR, LF, NUL or without colon is
 * -ERR_INVAL, and so is a URL that cannot be read. The body is read (1 MiB at most) and thrown
 * away; when the reply does not say where it ends, cb runs at the end of the headers. cb runs once
 * on the loop; -ERR_x when it could not even start. timeout_ms: for the whole, waiting for a
 * connection included. *ret is borrowed until cb ran. */
int http_get(struct http_client *c, const char *const *lines, size_t n_lines, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret) NODISCARD;
/* cb will not run; the connection is dropped. Only before cb ran; NULL is fine. */
void http_cancel(struct http_request *r);
