/* SPDX-License-Identifier: ISC */
/* An HTTP/1.1 reply, read as its bytes arrive: status, header fields, and where its body ends.
 * Pure: no sockets. RFC 9112. */
#pragma once

#include "base/buf.h"

/* A header field; the texts lie in the reply. */
struct http_header {
    struct str name, value;
};

/* More than this of a body is an error; it is read for the connection's sake and thrown away. */
#define HTTP_BODY_MAX_BYTES (1024 * 1024)

/* Where the next byte belongs. */
enum http_reply_step {
    HTTP_REPLY_HEAD,
    HTTP_REPLY_LENGTH, /* a body of known length */
    HTTP_REPLY_CHUNK_SIZE,
    HTTP_REPLY_CHUNK_DATA,
    HTTP_REPLY_CHUNK_END,
    HTTP_REPLY_TRAILER,
    HTTP_REPLY_DONE,
};

/* Zero-initialised with max_bytes set is a reply of which nothing is here. */
struct http_reply {
    size_t max_bytes; /* of the status line and the fields, those of 1xx replies included */
    /* known when the reply is complete */
    unsigned status;
    struct http_header *headers; /* owned */
    size_t n_headers;
    bool is_kept; /* the connection may carry another request */
    /* private */
    struct buf head; /* carries passwords */
    size_t head_bytes, line, n_lines;
    uint64_t body_left; /* of the body or the chunk */
    size_t body_bytes, line_bytes;
    enum http_reply_step step;
    unsigned n_interim;
    bool is_http_10, has_length, has_digits, is_extension, is_chunked, has_coding;
};

/* Wipes what was read; max_bytes stays. */
void http_reply_fini(struct http_reply *r);
/* Takes bytes as they arrive. 0: the reply is complete, *ret_used bytes were its own, the others
 * are nobody's. -ERR_AGAIN: all were used and more are wanted. -ERR_PROTOCOL, -ERR_TOO_LONG,
 * -ERR_NOMEM: it is broken. A reply that says nothing about the end of its body is complete with
 * its last header field, and its connection of no more use: servers written for NGINX, which reads
 * no body, may neither announce the end nor close. */
int http_reply_feed(struct http_reply *r, struct str in, size_t *ret_used) NODISCARD;
/* What the end of the connection means now; static. */
const char *http_reply_end_text(const struct http_reply *r);
