/* SPDX-License-Identifier: ISC */
/* What an HTTP reply says before its body, gathered from libcurl's callbacks; inner part of
 * io/http. */
#pragma once

#include <curl/curl.h>

#include "io/http.h"

struct http_reply {
    CURL *easy;       /* borrowed: knows the status */
    size_t max_bytes; /* of the headers */
    struct buf head;  /* bytes of the header block of the last response; carries passwords */
    struct buf spans; /* of its names and values */
    size_t body_bytes;
    bool is_too_long, is_bad, is_body_seen, is_body_delimited;
    bool is_head_complete; /* the empty line is here: a reply cut off before may lack headers */
    bool is_done_early;    /* the headers are here and nothing says where the body ends */
};

/* Wipes what was read. */
void http_reply_fini(struct http_reply *r);
/* Makes e hand what it reads to r, which it borrows until the transfer ends. */
CURLcode http_reply_attach(struct http_reply *r, CURL *e);
/* Sets up what is the same for all replies; once per handle. */
CURLcode http_reply_set_up(CURL *e);
/* The error (0, -ERR_x as in http_result) of a transfer that curl ended with rc. */
int http_reply_error(const struct http_reply *r, CURLcode rc) NODISCARD;
/* The headers: *ret owned by the caller, NULL with none, its texts borrowed from r. 0 or
 * -ERR_NOMEM. */
int http_reply_headers(const struct http_reply *r, struct http_header **ret,
                       size_t *ret_n) NODISCARD;
