/* SPDX-License-Identifier: ISC */
/* OpenSSL's cipher strings, told by what they let through, in GnuTLS's words. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/* What of TLS a server of nginx allows. */
struct nginx_tls_wish {
    unsigned versions;       /* NGINX_TLS_ bits */
    struct str ciphers;      /* OpenSSL's cipher string: TLS 1.2 and older */
    struct str suites;       /* of TLS 1.3, names with ":"; empty = OpenSSL's */
    struct str groups;       /* names with ":"; empty or "auto" = OpenSSL's */
    bool is_server_choosing; /* ssl_prefer_server_ciphers */
    bool has_dh_params;      /* without them OpenSSL offers no DHE */
};

enum { NGINX_TLS_1_0 = 1, NGINX_TLS_1_1 = 2, NGINX_TLS_1_2 = 4, NGINX_TLS_1_3 = 8 };

/* Appends the GnuTLS priority string that is nearest, and to ret_why, in words separated by "; ",
 * where it lets through more or less than OpenSSL would: nothing when it is the same. -ERR_NOMEM;
 * -ERR_INVAL: nothing would be left (ret_why tells). */
int nginx_ciphers_priority(const struct nginx_tls_wish *w, struct buf *ret_priority,
                           struct buf *ret_why) NODISCARD;
/* The names, in OpenSSL's words and order, of the cipher suites of TLS 1.2 and older that a cipher
 * string lets through, of those that GnuTLS has, too; separated by ":". For tests. */
int nginx_ciphers_list(struct str ciphers, struct buf *ret) NODISCARD;
