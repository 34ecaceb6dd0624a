/* SPDX-License-Identifier: ISC */
/* What an auth server answers: the reply headers of NGINX's auth_http, and ours besides. */
#pragma once

#include "base/str.h"
#include "io/http/http.h"

enum auth_http_verdict {
    AUTH_HTTP_OK,
    AUTH_HTTP_WAIT,    /* ask again after wait_ms (0 = not said) */
    AUTH_HTTP_REFUSED, /* text, code, wait_ms (0 = close) */
    AUTH_HTTP_NONSENSE /* problem says what is wrong */
};

/* Slices are borrowed from the headers; empty = not given. */
struct auth_http_reply {
    enum auth_http_verdict verdict;
    struct str text;       /* as sent: control bytes and all */
    struct str code;       /* Auth-Error-Code, checked: "535 5.7.0" */
    struct str sasl_error; /* Auth-Error-SASL, in base64 as it came */
    uint64_t wait_ms;
    struct str server; /* checked; without the brackets of [v6] */
    uint16_t port;
    struct str pool, backend, user, pass;
    bool has_user, has_pass;
    int smtp_auth;       /* -1 not said, 0 no, 1 yes */
    const char *problem; /* static */
};

/* Reads the headers; the HTTP status plays no part, as for NGINX. A name that comes twice counts
 * the last time, but of several Auth-Status the worst counts. */
void auth_http_reply_parse(const struct http_header *headers, size_t n,
                           struct auth_http_reply *ret);
