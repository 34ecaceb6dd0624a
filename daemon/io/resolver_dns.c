/* SPDX-License-Identifier: ISC */
/* Calls of evdns: each is answered by evdns once, maybe after everything else is gone. */
#include "io/resolver_dns.h"

#include <event2/dns.h>
#include <netinet/in.h>

#include "io/resolver_servers.h"

struct resolver_dns {
    struct evdns_base *base;
    bool is_closed;
    size_t n_calls; /* the memory stays until the last callback of evdns */
};

struct dns_call {
    struct list link; /* in the list of whoever asked; alone = forgotten */
    struct resolver_dns *dns;
    resolver_dns_fn *fn; /* NULL = nobody waits any more */
    void *arg;
};

int resolver_dns_new(struct loop *l, const struct resolver_spec *spec, struct resolver_dns **ret)
{
    struct resolver_dns *d = calloc(1, sizeof(*d));
    if (!d)
        return -ERR_NOMEM;
    int err = resolver_servers_new(l, spec, &d->base);
    if (err < 0) {
        free(d);
        return err;
    }
    *ret = d;
    return 0;
}

static void dns_destroy(struct resolver_dns *d)
{
    if (d->is_closed && d->n_calls == 0)
        free(d);
}

void resolver_dns_free(struct resolver_dns *d)
{
    if (!d)
        return;
    struct evdns_base *base = d->base;
    d->n_calls++; /* it stays for this function */
    d->is_closed = true;
    evdns_base_free(base, 1); /* every request still calls back, when the loop turns */
    d->n_calls--;
    dns_destroy(d);
}

void resolver_dns_forget(struct list *calls)
{
    while (!list_is_empty(calls)) {
        struct dns_call *call = LIST_ITEM(calls->next, struct dns_call, link);
        list_del(&call->link);
        call->fn = NULL;
    }
}

static struct dns_call *call_begin(struct resolver_dns *d, struct list *calls, resolver_dns_fn *fn,
                                   void *arg)
{
    struct dns_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->dns = d;
    call->fn = fn;
    call->arg = arg;
    list_add_tail(calls, &call->link);
    d->n_calls++;
    return call;
}

static void call_end(struct dns_call *call)
{
    struct resolver_dns *d = call->dns;
    list_del(&call->link);
    free(call);
    d->n_calls--;
    dns_destroy(d);
}

static void on_dns_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
    const struct dns_call call = *(struct dns_call *)arg;
    struct resolver_dns_answer answer = {.result = RESOLVER_DNS_FAILED, .ttl = ttl};
    struct addr addrs[RESOLVER_ADDRS_MAX];
    call_end(arg);
    if (!call.fn)
        return;
    if (result == DNS_ERR_NONE)
        answer.result = count > 0 ? RESOLVER_DNS_GOOD : RESOLVER_DNS_NOTHING;
    else if (result == DNS_ERR_TIMEOUT)
        answer.result = RESOLVER_DNS_TIMEOUT;
    else if (result == DNS_ERR_NOTEXIST || result == DNS_ERR_NODATA)
        answer.result = RESOLVER_DNS_NOTHING;
    if (answer.result == RESOLVER_DNS_GOOD && type == DNS_PTR)
        answer.name = *(char **)addresses;
    answer.is_ipv6 = type == DNS_IPv6_AAAA;
    bool has_addrs = type == DNS_IPv4_A || type == DNS_IPv6_AAAA;
    for (int i = 0; answer.result == RESOLVER_DNS_GOOD && has_addrs && i < count; i++) {
        struct sockaddr_in sin = {.sin_family = AF_INET};
        struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
        if (i == RESOLVER_ADDRS_MAX)
            break;
        if (answer.is_ipv6) {
            memcpy(&sin6.sin6_addr, (const char *)addresses + 16 * i, 16);
            addr_from_sockaddr(&addrs[answer.n++], (struct sockaddr *)&sin6, sizeof(sin6));
        } else {
            memcpy(&sin.sin_addr, (const char *)addresses + 4 * i, 4);
            addr_from_sockaddr(&addrs[answer.n++], (struct sockaddr *)&sin, sizeof(sin));
        }
    }
    answer.addrs = addrs;
    call.fn(call.arg, &answer);
}

int resolver_dns_ask(struct resolver_dns *d, const char *host, bool is_ipv6, struct list *calls,
                     resolver_dns_fn *fn, void *arg)
{
    struct dns_call *call = call_begin(d, calls, fn, arg);
    if (!call)
        return -ERR_NOMEM;
    void *request = is_ipv6 ? evdns_base_resolve_ipv6(d->base, host, 0, on_dns_answer, call)
                            : evdns_base_resolve_ipv4(d->base, host, 0, on_dns_answer, call);
    if (!request)
        call_end(call);
    return request ? 0 : -ERR_DNS;
}

int resolver_dns_ask_name(struct resolver_dns *d, const struct addr *a, struct list *calls,
                          resolver_dns_fn *fn, void *arg)
{
    struct sockaddr_storage ss;
    struct dns_call *call = call_begin(d, calls, fn, arg);
    if (!call)
        return -ERR_NOMEM;
    (void)addr_to_sockaddr(a, &ss);
    void *request = NULL;
    if (ss.ss_family == AF_INET)
        request = evdns_base_resolve_reverse(d->base, &((struct sockaddr_in *)&ss)->sin_addr, 0,
                                             on_dns_answer, call);
    else if (ss.ss_family == AF_INET6)
        request = evdns_base_resolve_reverse_ipv6(d->base, &((struct sockaddr_in6 *)&ss)->sin6_addr,
                                                  0, on_dns_answer, call);
    if (!request)
        call_end(call);
    return request ? 0 : -ERR_DNS;
}
