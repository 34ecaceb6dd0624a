/* SPDX-License-Identifier: ISC */
/* From the resolver keys of a config to what a resolver is made from. */
#include "config/config.h"

struct resolver_spec config_resolver_spec(const struct config_resolver *c)
{
    return (struct resolver_spec){
        .name_servers = c->name_servers.n ? c->name_servers.v : NULL,
        .timeout_ms = c->timeout_ms,
        .valid_ms = c->valid_ms,
        .is_ipv4_off = c->is_ipv4_off,
        .is_ipv6_off = c->is_ipv6_off,
        .is_case_kept = !c->is_case_random,
    };
}
