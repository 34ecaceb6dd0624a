/* SPDX-License-Identifier: ISC */
/* TLS of a server of nginx. */
#pragma once

#include "nginx/nginx_server.h"

/* Sets certificates and priority from the directives that the server has kept. Only of a server
 * with TLS. Errors as nginx_import. */
int nginx_tls_server(struct nginx_import *im, struct nginx_server *s) NODISCARD;
