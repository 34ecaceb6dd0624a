/* SPDX-License-Identifier: ISC */
/* Name servers as a resolver asks them: an evdns base made from a specification. */
#pragma once

#include "io/resolver.h"

struct evdns_base;

enum { RESOLVER_TIMEOUT_MS = 30000 }; /* of a whole lookup where the specification has none */

/* 0, -ERR_NOMEM, -ERR_SYNTAX (a name server's address), or the system's shortage of descriptors.
 * Thread: the loop's, or before it runs. */
int resolver_servers_new(struct loop *l, const struct resolver_spec *spec,
                         struct evdns_base **ret) NODISCARD;
