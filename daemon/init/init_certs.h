/* SPDX-License-Identifier: ISC */
/* Where certificates usually are: what clients of ACME and Debian make. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Looks for a certificate of a server or of a domain above it: /etc/mailproxy, then the folders of
 * certbot, dehydrated, lego and acme.sh; at last the self-signed one that Debian's ssl-cert makes.
 * root: a folder that stands before each path, "" = none. Both owned, NULL when there is none;
 * *ret_is_own_sign: clients will not trust it. 0 or -ERR_NOMEM. Blocking: looks whether files are
 * there. */
int init_certs_find(const char *root, const char *server_name, char **ret_cert, char **ret_key,
                    bool *ret_is_own_sign) NODISCARD;
/* The key that stands beside a certificate, by the names of the same programs; NULL = none. Owned.
 */
char *init_certs_key_beside(const char *cert);
