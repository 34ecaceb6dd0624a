/* SPDX-License-Identifier: ISC */
/* What an HTTP reply says before its body, gathered line by line. Pure: no sockets. */
#pragma once

#include "io/http.h"

/* Zero-initialised with max_bytes set is a reply of which nothing is here. */
struct http_reply {
    size_t max_bytes; /* of the headers */
    unsigned status;  /* of the last response (one of 1xx may come first); 0 = none yet */
    struct buf head;  /* bytes of its names and values; they carry passwords */
    struct buf spans; /* where each of them lies */
    size_t body_bytes;
    bool is_body_seen, is_body_delimited;
    bool is_head_complete; /* the empty line is here: a reply cut off before may lack headers */
    bool is_done_early;    /* the headers are here and nothing says where the body ends */
};

/* Wipes what was read. */
void http_reply_fini(struct http_reply *r);
/* Takes a line with its end: the status line, a header, the empty line. 0; -ERR_CANCELLED = enough
 * was read (is_done_early); -ERR_TOO_LONG, -ERR_PROTOCOL, -ERR_NOMEM. RFC 9112. */
int http_reply_line(struct http_reply *r, struct str line) NODISCARD;
/* n bytes of the body came. 0 or -ERR_TOO_LONG. */
int http_reply_body(struct http_reply *r, size_t n) NODISCARD;
/* The headers: *ret owned by the caller (NULL with none), its texts borrowed from r. 0 or
 * -ERR_NOMEM. */
int http_reply_headers(const struct http_reply *r, struct http_header **ret,
                       size_t *ret_n) NODISCARD;
