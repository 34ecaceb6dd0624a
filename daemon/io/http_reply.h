/* SPDX-License-Identifier: ISC */
/* A reply of HTTP/1.x: cut out of a stream byte run by byte run, headers kept, body thrown away. No
 * I/O in here. */
#pragma once

#include "base/buf.h"
#include "io/http.h"

enum http_reply_state {
    HTTP_REPLY_STATUS,
    HTTP_REPLY_HEADERS,
    HTTP_REPLY_BODY,
    HTTP_REPLY_CHUNK_SIZE,
    HTTP_REPLY_CHUNK,
    HTTP_REPLY_CHUNK_END,
    HTTP_REPLY_TRAILER,
    HTTP_REPLY_DONE
};

struct http_reply {
    enum http_reply_state state;
    size_t max_head_bytes;
    struct buf line;  /* beginning of an incomplete line */
    struct buf head;  /* names and values, one behind the other */
    struct buf spans; /* where they are */
    size_t head_bytes;
    uint64_t left, body_bytes; /* of the body or the chunk; of all so far */
    long status;
    bool has_begun; /* any byte came */
    bool is_kept;   /* the connection may serve the next request */
    bool has_length, is_chunked;
};

void http_reply_init(struct http_reply *r, size_t max_head_bytes);
/* Wipes and frees: replies carry passwords. */
void http_reply_fini(struct http_reply *r);
/* Takes bytes of the stream. 0 when the reply is complete, with what belongs to it in *ret_used;
 * -ERR_AGAIN: more is needed, all was used; -ERR_PROTOCOL, -ERR_TOO_LONG (header block, or a body
 * over 1 MiB), -ERR_NOMEM. A reply that does not say where its body ends is complete with its
 * headers, and not is_kept: servers written for NGINX, which reads no body, send such. */
int http_reply_feed(struct http_reply *r, struct str in, size_t *ret_used) NODISCARD;
/* Headers of a complete reply, borrowed from it; the array is owned. NULL when out of memory. */
struct http_header *http_reply_headers(const struct http_reply *r, size_t *ret_n);
