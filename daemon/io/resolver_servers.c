/* SPDX-License-Identifier: ISC */
/* Name servers from a specification or /etc/resolv.conf, with the time that each of them has. */
#include "io/resolver_servers.h"

#include <errno.h>
#include <event2/dns.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log/log.h"

#define ATTEMPTS 3
#define RESOLV_CONF "/etc/resolv.conf"

static pthread_once_t log_once = PTHREAD_ONCE_INIT;

static void on_dns_log(int is_warning, const char *text)
{
    (void)is_warning;
    log_say(LOG_LEVEL_DEBUG, "resolver: %s", text);
}

static void set_dns_log(void)
{
    evdns_set_log_fn(on_dns_log); /* global, and it would write to stderr */
}

static int add_servers(struct evdns_base *dns, const struct resolver_spec *spec)
{
    char seconds[32];
    uint64_t timeout_ms = spec->timeout_ms ? spec->timeout_ms : RESOLVER_TIMEOUT_MS;
    /* Each attempt gets an equal part, so that a silent server leaves time for the others. */
    uint64_t ms = timeout_ms / ATTEMPTS > 100 ? timeout_ms / ATTEMPTS : 100;
    snprintf(seconds, sizeof(seconds), "%u.%03u", (unsigned)(ms / 1000), (unsigned)(ms % 1000));
    if (!spec->name_servers) {
        AUTO_CLOSE int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
        int err = fd < 0 ? err_from_errno(errno) : 0;
        if (err_is_shortage(err)) /* evdns would take the local host for the name server */
            return err;
        /* No resolv.conf: evdns uses the local host, as libc does. */
        (void)evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE,
                                           RESOLV_CONF);
    }
    for (size_t i = 0; spec->name_servers && spec->name_servers[i]; i++) {
        if (evdns_base_nameserver_ip_add(dns, spec->name_servers[i]) != 0)
            return -ERR_SYNTAX;
    }
    evdns_base_set_option(dns, "timeout:", seconds);
    evdns_base_set_option(dns, "attempts:", "3");
    if (spec->is_case_kept)
        evdns_base_set_option(dns, "randomize-case:", "0");
    return 0;
}

int resolver_servers_new(struct loop *l, const struct resolver_spec *spec, struct evdns_base **ret)
{
    pthread_once(&log_once, set_dns_log);
    struct evdns_base *dns = evdns_base_new(loop_base(l), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    int err = dns ? add_servers(dns, spec) : -ERR_NOMEM;
    if (err < 0) {
        if (dns)
            evdns_base_free(dns, 0);
        return err;
    }
    *ret = dns;
    return 0;
}
