/* SPDX-License-Identifier: ISC */
/* What an auth server is asked: the request headers of NGINX's auth_http. */
#pragma once

#include "auth/auth.h"

/* Appends the header lines after Host in NGINX's order, each with its line end. Escaping is
 * NGINX's: in the login, the password and the certificate blanks, '%' and control bytes become %XX;
 * in other texts only control bytes do (they never get here, but would forge headers). */
int auth_http_request(const struct auth_request *r, const struct config_auth *c,
                      struct buf *out) NODISCARD;
