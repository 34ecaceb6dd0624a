/* SPDX-License-Identifier: ISC */
/* Where the settings of servers stand in our file. */
#pragma once

#include "nginx/nginx_server.h"

/* What several directives of a server say together: TLS of its listeners, certificates, priority
 * string; and what nginx does without a word. Errors as nginx_import. */
int nginx_place_server(struct nginx_import *im, struct nginx_server *s) NODISCARD;
/* After all servers: what most of them have goes to the top, what differs stays with the listeners;
 * equal pools and auth servers become one; listeners get names. -ERR_NOMEM; -ERR_CONFIG: our file
 * takes fewer auth servers. */
int nginx_place(struct nginx_import *im) NODISCARD;
