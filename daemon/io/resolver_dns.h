/* SPDX-License-Identifier: ISC */
/* Questions to name servers (evdns) that can be forgotten while they are under way. Thread of
 * everything: the loop's. */
#pragma once

#include "base/container/list.h"
#include "io/resolver.h"

#define RESOLVER_ADDRS_MAX 64 /* of one answer */

struct resolver_dns;

enum resolver_dns_result {
    RESOLVER_DNS_GOOD,
    RESOLVER_DNS_NOTHING, /* there is no such name, or nothing of that kind for it */
    RESOLVER_DNS_TIMEOUT,
    RESOLVER_DNS_FAILED,
};

/* Borrowed during the callback. */
struct resolver_dns_answer {
    enum resolver_dns_result result;
    int ttl;                  /* seconds; -1 = unknown */
    bool is_ipv6;             /* what was asked for */
    const char *name;         /* of an address; NULL = none */
    const struct addr *addrs; /* of a name */
    size_t n;
};

typedef void resolver_dns_fn(void *arg, const struct resolver_dns_answer *answer);

/* As resolver_new. */
int resolver_dns_new(struct loop *l, const struct resolver_spec *spec,
                     struct resolver_dns **ret) NODISCARD;
/* What is under way is forgotten. NULL is fine. */
void resolver_dns_free(struct resolver_dns *d);
/* Asks for the addresses of a name, or for the name of an address (of AF_INET or AF_INET6). fn runs
 * once in a later turn of the loop, unless it was forgotten: until then the question is in calls.
 * -ERR_NOMEM, -ERR_DNS: it could not be asked. */
int resolver_dns_ask(struct resolver_dns *d, const char *host, bool is_ipv6, struct list *calls,
                     resolver_dns_fn *fn, void *arg) NODISCARD;
int resolver_dns_ask_name(struct resolver_dns *d, const struct addr *a, struct list *calls,
                          resolver_dns_fn *fn, void *arg) NODISCARD;
/* They go on, for nobody. */
void resolver_dns_forget(struct list *calls);
