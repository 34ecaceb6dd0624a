/* SPDX-License-Identifier: ISC */
/* Names of hosts in the addresses of listeners: they become addresses while a file is read, so that
 * whoever runs the config never looks anything up. */
#pragma once

#include "config/config_places.h"

enum { CONFIG_HOST_ADDRS_MAX = 64 }; /* of one name */

/* Who knows hosts. */
struct config_hosts {
    /* Puts the addresses of a host into v, n <= CONFIG_HOST_ADDRS_MAX of them, port 0. 0 with n >=
     * 1; -ERR_DNS with *ret_why, the reason as a static text. */
    int (*find)(void *arg, const char *host, struct addr *v, size_t *ret_n, const char **ret_why);
    void *arg;
    uint64_t limit_ms; /* no name is looked up later than this after the first one */
};
/* getaddrinfo, which blocks: /etc/hosts and name servers as the machine says. */
extern const struct config_hosts config_hosts_system;

/* Letters, digits, '-', '_' and '.', and no address gone wrong ("1.2.3"). */
bool config_is_host(struct str name);
/* Is it "mail.example.org:143", the name of a host with a port? Then *ret_host is the name. */
bool config_host_split(struct str address, struct str *ret_host, uint16_t *ret_port);
/* Replaces each such address of a listener by those of its host. A name without addresses stays and
 * is a problem. 0, -ERR_NOMEM. Thread: any. */
int config_hosts_resolve(struct config *c, const struct config_places *places,
                         const struct config_hosts *hosts,
                         struct config_problems *problems) NODISCARD;
