/* SPDX-License-Identifier: ISC */
/* The URL of an HTTP server, in the forms that NGINX's auth_http takes. Pure: resolves nothing. */
#pragma once

#include "base/str.h"

/* Slices of the text that was parsed. */
struct http_url {
    bool is_tls;
    struct str unix_path; /* n 0 = TCP */
    struct str host;      /* value of the Host field: the name without port, "[::1]", "localhost" */
    struct str name;      /* to resolve and to verify: the host without brackets */
    uint16_t port;
    struct str target; /* path and query as written; a '/' belongs before it when it has none */
};

/* "[http://|https://]host[:port][/path][?query]", "[http://]unix:/socket[:/path]". 0, or -ERR_INVAL
 * with the end of a sentence that begins with the URL in *ret_why (static). */
int http_url_parse(const char *text, struct http_url *ret, const char **ret_why) NODISCARD;
