/* SPDX-License-Identifier: ISC */
/* URLs of servers, http and https, and requests for them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Pieces of a URL, borrowed from its text. */
struct http_url {
    bool is_https;
    struct str host; /* without the brackets of an IPv6 address */
    bool has_brackets;
    uint16_t port;
    bool is_default_port;
    struct str path; /* with the query, without the fragment; "" stands for "/" */
};

/* "http://host[:port][/path][?query]". -ERR_INVAL, also for other schemes and for a user name in
 * it. */
int http_url_parse(struct str text, struct http_url *ret) NODISCARD;
/* Appends the request GET with these header lines ("Name: value"), behind Host unless that is among
 * them. -ERR_INVAL: a line with CR, LF or NUL, or without a name; -ERR_NOMEM. */
int http_url_get(const struct http_url *u, const char *const *lines, size_t n,
                 struct buf *out) NODISCARD;
