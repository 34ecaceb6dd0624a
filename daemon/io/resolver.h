/* SPDX-License-Identifier: ISC */
/* Names to addresses and back, asynchronous (evdns), one per loop, cached by TTL. */
#pragma once

#include "base/addr.h"
#include "io/loop.h"

struct resolver;
struct resolver_query;

struct resolver_spec {
    const char *const *name_servers; /* "10.0.0.1", "[::1]:5353"; NULL-terminated, used by turns,
                                        silent ones are passed over; NULL = /etc/resolv.conf */
    uint64_t timeout_ms;             /* for a whole lookup; 0 = 30 s */
    uint64_t valid_ms;               /* 0 = the TTL of the answer, else this for every answer */
    bool is_ipv4_off, is_ipv6_off;
    bool is_case_kept; /* letters of questions are not made upper and lower case at random */
};

/* 0, -ERR_NOMEM, -ERR_SYNTAX (a name server's address), -ERR_IO. Thread of everything here: the
 * loop's. */
int resolver_new(struct loop *l, const struct resolver_spec *spec, struct resolver **ret) NODISCARD;
/* Pending queries end without callback (and must not be cancelled afterwards). Allowed in
 * callbacks; NULL is fine. */
void resolver_free(struct resolver *r);
/* Other name servers and times from now on: answers of the former are forgotten, open questions are
 * asked again; nothing happens where all is as before. Errors as of resolver_new: then nothing has
 * changed. */
int resolver_configure(struct resolver *r, const struct resolver_spec *spec) NODISCARD;
/* It was made from, or configured to, the same. */
bool resolver_is_like(const struct resolver *r, const struct resolver_spec *spec);
/* Nobody waits for it. */
bool resolver_is_idle(const struct resolver *r);
/* Addresses of a host name (A and AAAA, order kept, /etc/hosts and numeric forms included; numeric
 * ones answer at once through the callback in this turn's end). cb runs once unless cancelled: err
 * 0 with n >= 1 addresses (borrowed, port 0), -ERR_DNS, -ERR_TIMEOUT. Returns NULL when out of
 * memory (cb not called). A addresses come before AAAA ones. Names are cached (1024 at most),
 * failures for a moment. Servers that all say SERVFAIL count as silent: -ERR_TIMEOUT. */
struct resolver_query *
resolver_lookup(struct resolver *r, const char *host,
                void (*cb)(void *arg, int err, const struct addr *addrs, size_t n), void *arg);
/* PTR with forward confirmation: name valid ([A-Za-z0-9.-] only) and resolving back to the address.
 * err 0: name; -ERR_NOT_FOUND: none or mismatch; -ERR_DNS / -ERR_TIMEOUT: temporary. */
struct resolver_query *resolver_reverse(struct resolver *r, const struct addr *a,
                                        void (*cb)(void *arg, int err, const char *name),
                                        void *arg);
/* cb will not run. NULL is fine. */
void resolver_cancel(struct resolver_query *q);
