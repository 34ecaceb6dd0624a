/* SPDX-License-Identifier: ISC */
/* Hosts as the machine knows them. It blocks: only whoever reads a file asks, never the engine. */
#include <netdb.h>

#include "config/config_hosts.h"

enum { SYSTEM_LIMIT_MS = 15000 };

static int system_find(void *arg, const char *host, struct addr *v, size_t *ret_n,
                       const char **ret_why)
{
    /* As NGINX asks: no addresses of a family that the machine does not have. */
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *all = NULL;
    (void)arg;
    *ret_n = 0;
    int failed = getaddrinfo(host, NULL, &hints, &all);
    if (failed) {
        *ret_why = gai_strerror(failed);
        return -ERR_DNS;
    }
    for (const struct addrinfo *at = all; at && *ret_n < CONFIG_HOST_ADDRS_MAX; at = at->ai_next)
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
            addr_from_sockaddr(&v[(*ret_n)++], at->ai_addr, at->ai_addrlen);
    freeaddrinfo(all);
    *ret_why = "it has no address";
    return *ret_n ? 0 : -ERR_DNS;
}

const struct config_hosts config_hosts_system = {.find = system_find, .limit_ms = SYSTEM_LIMIT_MS};
