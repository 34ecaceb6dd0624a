/* SPDX-License-Identifier: ISC */
/* Resolver: questions joined per name, with a cache, the hosts file and forward-confirmed
 * reverse lookups. */
#include "io/resolver.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/container/map.h"
#include "base/zalloc.h"
#include "io/resolver_dns.h"
#include "io/resolver_hosts.h"
#include "io/resolver_servers.h"
#include "io/resolver_spec.h"

#define CACHE_MAX 1024
#define SECOND_FAMILY_MS 1000 /* how long addresses of one family wait for the other */
#define TTL_MIN_MS 1000
#define TTL_MAX_MS (24 * 3600 * UINT64_C(1000))
#define FAILURE_MS 2000 /* a definite "no" is believed this long */

/* A name or a reverse address: being looked up, or known. */
struct resolver_entry {
    struct resolver *resolver;
    struct buf key;      /* 'h' + lower-case name, or 'r' + struct addr's ip */
    struct list waiters; /* struct resolver_query.link */
    struct list calls;   /* questions to name servers under way */
    struct loop_timer timer;
    struct buf v4, v6;              /* struct addr */
    char *name;                     /* reverse: confirmed name */
    struct addr addr;               /* reverse: the question */
    struct resolver_query *forward; /* reverse: the confirming lookup */
    uint64_t expires_ms;
    uint32_t ttl; /* lowest of the answers, seconds */
    int err;
    bool is_busy;
    bool is_definite; /* the failure is the name's, not the network's */
    bool is_timed_out;
};

struct resolver_query {
    struct list link; /* in the entry's waiters, or alone */
    struct loop_deferred deferred;
    struct resolver_entry *entry; /* while waiting; NULL when the answer is below */
    struct list in_resolver;
    void (*on_addrs)(void *arg, int err, const struct addr *addrs, size_t n);
    void (*on_name)(void *arg, int err, const char *name);
    void *arg;
    int err;
    struct buf addrs; /* copy for an answer at the end of the turn */
    char *name;
    bool is_definite;
};

struct resolver {
    struct loop *loop;
    struct resolver_dns *dns;
    struct resolver_hosts *hosts;
    struct map entries;
    struct list queries;       /* all, by in_resolver */
    struct resolver_spec spec; /* a copy */
};

static void resolver_entry_finish(struct resolver_entry *e);

/* ---- life ---- */

int resolver_new(struct loop *l, const struct resolver_spec *spec, struct resolver **ret)
{
    struct resolver *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    list_init(&r->queries);
    r->loop = l;
    int err = resolver_spec_copy(spec, &r->spec);
    if (err == 0)
        err = resolver_dns_new(l, spec, &r->dns);
    if (err == 0)
        err = resolver_hosts_new("/etc/hosts", &r->hosts);
    if (err != 0) {
        resolver_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

static void resolver_query_free(struct resolver_query *q)
{
    list_del(&q->link);
    list_del(&q->in_resolver);
    loop_undefer(&q->deferred);
    buf_fini(&q->addrs);
    free(q->name);
    free(q);
}

static void resolver_entry_free(struct resolver_entry *e)
{
    resolver_dns_forget(&e->calls);
    loop_timer_cancel(e->resolver->loop, &e->timer);
    resolver_cancel(e->forward);
    buf_fini(&e->key);
    buf_fini(&e->v4);
    buf_fini(&e->v6);
    free(e->name);
    free(e);
}

void resolver_free(struct resolver *r)
{
    size_t pos = 0;
    struct str key;
    void *value;
    if (!r)
        return;
    /* Queries first: they are in the lists of entries. */
    while (!list_is_empty(&r->queries))
        resolver_query_free(LIST_ITEM(r->queries.next, struct resolver_query, in_resolver));
    while (map_next(&r->entries, &pos, &key, &value)) {
        struct resolver_entry *e = value;
        e->forward = NULL; /* was one of them */
        resolver_entry_free(e);
    }
    map_fini(&r->entries);
    resolver_hosts_free(r->hosts);
    resolver_spec_fini(&r->spec);
    resolver_dns_free(r->dns);
    free(r);
}

/* ---- answers ---- */

static void on_query_deferred(struct loop_deferred *d)
{
    struct resolver_query *q = CONTAINER_OF(d, struct resolver_query, deferred);
    const struct addr *addrs = (const struct addr *)buf_str(&q->addrs).p;
    bool is_good = q->err == 0;
    list_del(&q->in_resolver);
    /* The callback may free the resolver. */
    if (q->on_name)
        q->on_name(q->arg, q->err, is_good ? q->name : NULL);
    else
        q->on_addrs(q->arg, q->err, is_good ? addrs : NULL,
                    is_good ? q->addrs.len / sizeof(*addrs) : 0);
    resolver_query_free(q);
}

/* Copies the result: the entry may go before the callback runs. */
static void query_take_result(struct resolver_query *q, const struct resolver_entry *e)
{
    q->entry = NULL;
    q->err = e->err;
    q->is_definite = e->is_definite;
    if (e->err != 0)
        return;
    int err = buf_append_str(&q->addrs, buf_str(&e->v4));
    if (err == 0)
        err = buf_append_str(&q->addrs, buf_str(&e->v6));
    if (e->name && !(q->name = str_dup_c(e->name)))
        err = -ERR_NOMEM;
    if (err != 0)
        q->err = err;
}

/* Always at the end of the turn: callers never see their callback run inside the call that asked.
 */
static void resolver_query_end(struct resolver_query *q, const struct resolver_entry *e)
{
    list_del(&q->link);
    query_take_result(q, e);
    loop_defer(e->resolver->loop, &q->deferred);
}

static struct resolver_query *resolver_query_new(struct resolver *r, void *arg)
{
    struct resolver_query *q = zalloc(sizeof(*q));
    if (!q)
        return NULL;
    list_init(&q->link);
    list_init(&q->in_resolver);
    list_init(&q->deferred.link);
    q->deferred.fn = on_query_deferred;
    q->arg = arg;
    list_add_tail(&r->queries, &q->in_resolver);
    return q;
}

void resolver_cancel(struct resolver_query *q)
{
    if (q)
        resolver_query_free(q);
}

/* ---- entries ---- */

static uint64_t resolver_timeout_ms(const struct resolver *r)
{
    return r->spec.timeout_ms ? r->spec.timeout_ms : RESOLVER_TIMEOUT_MS;
}

static bool resolver_entry_is_fresh(const struct resolver_entry *e, uint64_t now_ms)
{
    return e->is_busy || now_ms < e->expires_ms;
}

/* Room for one more: what is stale goes; when nothing is, the first idle one. */
static void entries_make_room(struct resolver *r)
{
    size_t pos = 0;
    struct str key;
    void *value;
    uint64_t now_ms = loop_now_ms(r->loop);
    for (int pass = 0; pass < 2 && r->entries.count >= CACHE_MAX; pass++) {
        pos = 0;
        while (map_next(&r->entries, &pos, &key, &value)) {
            struct resolver_entry *e = value;
            if (e->is_busy || (pass == 0 && resolver_entry_is_fresh(e, now_ms)))
                continue;
            map_del(&r->entries, buf_str(&e->key));
            resolver_entry_free(e);
            if (pass == 1)
                break;
        }
    }
}

static void on_entry_timer(struct loop_timer *t)
{
    struct resolver_entry *e = CONTAINER_OF(t, struct resolver_entry, timer);
    e->is_timed_out = e->v4.len + e->v6.len == 0;
    resolver_entry_finish(e);
}

static struct resolver_entry *resolver_entry_new(struct resolver *r, const struct buf *key)
{
    entries_make_room(r);
    struct resolver_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->resolver = r;
    list_init(&e->waiters);
    list_init(&e->calls);
    loop_timer_init(&e->timer, on_entry_timer);
    if (buf_append_str(&e->key, buf_str(key)) == 0 &&
        map_put(&r->entries, buf_str(key), e, NULL) == 0)
        return e;
    buf_fini(&e->key);
    free(e);
    return NULL;
}

/* The usable entry of a key: known, busy, or made anew (then *ret_is_new). A stale one is emptied
 * and used again. */
static struct resolver_entry *resolver_entry_get(struct resolver *r, const struct buf *key,
                                                 bool *ret_is_new)
{
    struct resolver_entry *e = map_get(&r->entries, buf_str(key));
    *ret_is_new = !e || !resolver_entry_is_fresh(e, loop_now_ms(r->loop));
    if (!e)
        e = resolver_entry_new(r, key);
    if (!e || !*ret_is_new)
        return e;
    buf_clear(&e->v4);
    buf_clear(&e->v6);
    free(e->name);
    e->name = NULL;
    e->err = -ERR_DNS;
    e->ttl = UINT32_MAX;
    e->is_definite = true; /* until something temporary happens */
    e->is_timed_out = false;
    e->is_busy = true;
    loop_timer_set(r->loop, &e->timer, resolver_timeout_ms(r));
    return e;
}

static uint64_t resolver_entry_valid_ms(const struct resolver_entry *e)
{
    if (e->err != 0)
        return e->is_definite ? FAILURE_MS : 0;
    if (e->resolver->spec.valid_ms)
        return e->resolver->spec.valid_ms;
    uint64_t ms = (uint64_t)e->ttl * 1000;
    return ms < TTL_MIN_MS ? TTL_MIN_MS : ms > TTL_MAX_MS ? TTL_MAX_MS : ms;
}

/* Settles the entry and all that wait for it. e->err is set by reverse lookups; here for addresses.
 */
static void resolver_entry_finish(struct resolver_entry *e)
{
    resolver_dns_forget(&e->calls);
    resolver_cancel(e->forward);
    e->forward = NULL;
    loop_timer_cancel(e->resolver->loop, &e->timer);
    if (e->v4.len + e->v6.len > 0)
        e->err = 0;
    else if (e->is_timed_out)
        e->err = -ERR_TIMEOUT;
    if (e->is_timed_out)
        e->is_definite = false;
    e->is_busy = false;
    e->expires_ms = loop_now_ms(e->resolver->loop) + resolver_entry_valid_ms(e);
    while (!list_is_empty(&e->waiters))
        resolver_query_end(LIST_ITEM(e->waiters.next, struct resolver_query, link), e);
}

/* ---- name servers ---- */

static void on_addresses(void *arg, const struct resolver_dns_answer *answer)
{
    struct resolver_entry *e = arg;
    if (answer->result == RESOLVER_DNS_GOOD) {
        struct buf *b = answer->is_ipv6 ? &e->v6 : &e->v4;
        if (buf_append(b, answer->addrs, answer->n * sizeof(*answer->addrs)) != 0)
            e->is_definite = false;
        if (answer->ttl >= 0 && (uint32_t)answer->ttl < e->ttl)
            e->ttl = (uint32_t)answer->ttl;
    } else if (answer->result == RESOLVER_DNS_TIMEOUT) {
        e->is_timed_out = true;
    } else if (answer->result == RESOLVER_DNS_FAILED) {
        e->is_definite = false;
    }
    if (list_is_empty(&e->calls))
        resolver_entry_finish(e);
    else if (e->v4.len + e->v6.len > 0 && resolver_timeout_ms(e->resolver) > SECOND_FAMILY_MS)
        loop_timer_set(e->resolver->loop, &e->timer, SECOND_FAMILY_MS);
}

/* Numeric or in the hosts file; true when that answers it. */
static bool resolver_entry_answer_locally(struct resolver_entry *e, struct str host)
{
    struct addr a;
    e->ttl = 1;
    if (addr_parse(host, &a) == 0 && a.port == 0)
        return buf_append(a.family == AF_INET ? &e->v4 : &e->v6, &a, sizeof(a)) == 0;
    const struct resolver *r = e->resolver;
    /* Out of memory here falls through to the name servers. */
    if (resolver_hosts_find(r->hosts, loop_now_ms(r->loop), host,
                            r->spec.is_ipv4_off ? NULL : &e->v4,
                            r->spec.is_ipv6_off ? NULL : &e->v6) == 0 &&
        e->v4.len + e->v6.len > 0)
        return true;
    e->ttl = UINT32_MAX;
    return false;
}

static void resolver_entry_start_forward(struct resolver_entry *e, const char *host)
{
    const struct resolver *r = e->resolver;
    bool is_known = resolver_entry_answer_locally(e, str_of(host));
    for (int is_ipv6 = 0; is_ipv6 < 2 && !is_known; is_ipv6++) {
        if (is_ipv6 ? r->spec.is_ipv6_off : r->spec.is_ipv4_off)
            continue;
        /* A question that cannot be asked counts as a temporary failure. */
        if (resolver_dns_ask(r->dns, host, is_ipv6, &e->calls, on_addresses, e) < 0)
            e->is_definite = false;
    }
    if (list_is_empty(&e->calls))
        resolver_entry_finish(e);
}

/* "host" and what the query waits for. A name with a NUL cannot get here; an empty or overlong one
 * is answered like an unknown one by evdns. */
struct resolver_query *
resolver_lookup(struct resolver *r, const char *host,
                void (*cb)(void *arg, int err, const struct addr *addrs, size_t n), void *arg)
{
    AUTO_BUF key = BUF_INIT;
    bool is_new;
    if (buf_append_char(&key, 'h') != 0 || buf_append_c(&key, host) != 0 || !buf_cstr(&key))
        return NULL;
    str_lower(key.data + key.start);
    struct resolver_query *q = resolver_query_new(r, arg);
    struct resolver_entry *e = q ? resolver_entry_get(r, &key, &is_new) : NULL;
    if (!e) {
        resolver_cancel(q);
        return NULL;
    }
    q->on_addrs = cb;
    q->entry = e;
    list_add_tail(&e->waiters, &q->link);
    if (is_new)
        resolver_entry_start_forward(e, buf_cstr(&key) + 1);
    else if (!e->is_busy)
        resolver_query_end(q, e);
    return q;
}

/* ---- reverse ---- */

static void reverse_end(struct resolver_entry *e, int err, bool is_definite)
{
    e->err = err;
    e->is_definite = is_definite;
    e->is_timed_out = err == -ERR_TIMEOUT;
    if (err != 0) {
        free(e->name);
        e->name = NULL;
    }
    resolver_entry_finish(e);
}

static void on_forward(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct resolver_entry *e = arg;
    bool is_definite = e->forward && e->forward->is_definite;
    e->forward = NULL; /* it ends with this callback */
    for (size_t i = 0; err == 0 && i < n; i++) {
        if (addr_ip_eq(&addrs[i], &e->addr)) {
            reverse_end(e, 0, true);
            return;
        }
    }
    if (err == 0 || (err == -ERR_DNS && is_definite))
        reverse_end(e, -ERR_NOT_FOUND, true);
    else
        reverse_end(e, err, false);
}

static void on_pointer(void *arg, const struct resolver_dns_answer *answer)
{
    struct resolver_entry *e = arg;
    const char *name = answer->name;
    const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t n = name ? strlen(name) : 0;
    bool is_host_name = n > 0 && n <= 253 && strspn(name, letters) == n;
    if (answer->result == RESOLVER_DNS_TIMEOUT) {
        reverse_end(e, -ERR_TIMEOUT, false);
    } else if (answer->result == RESOLVER_DNS_FAILED) {
        reverse_end(e, -ERR_DNS, false);
    } else if (!is_host_name) {
        reverse_end(e, -ERR_NOT_FOUND, true);
    } else if (!(e->name = str_dup_c(name)) ||
               !(e->forward = resolver_lookup(e->resolver, name, on_forward, e))) {
        reverse_end(e, -ERR_DNS, false);
    } else if (answer->ttl >= 0) {
        e->ttl = (uint32_t)answer->ttl;
    }
}

static void resolver_entry_start_reverse(struct resolver_entry *e)
{
    if (e->addr.family != AF_INET && e->addr.family != AF_INET6)
        reverse_end(e, -ERR_NOT_FOUND, true); /* UNIX peers have no name */
    else if (resolver_dns_ask_name(e->resolver->dns, &e->addr, &e->calls, on_pointer, e) < 0)
        reverse_end(e, -ERR_DNS, false);
}

struct resolver_query *resolver_reverse(struct resolver *r, const struct addr *a,
                                        void (*cb)(void *arg, int err, const char *name), void *arg)
{
    AUTO_BUF key = BUF_INIT;
    bool is_new;
    if (buf_append_char(&key, 'r') != 0 || buf_append_char(&key, (char)a->family) != 0 ||
        buf_append(&key, a->ip, sizeof(a->ip)) != 0)
        return NULL;
    struct resolver_query *q = resolver_query_new(r, arg);
    struct resolver_entry *e = q ? resolver_entry_get(r, &key, &is_new) : NULL;
    if (!e) {
        resolver_cancel(q);
        return NULL;
    }
    q->on_name = cb;
    q->entry = e;
    list_add_tail(&e->waiters, &q->link);
    if (is_new) {
        e->addr = *a;
        resolver_entry_start_reverse(e);
    } else if (!e->is_busy) {
        resolver_query_end(q, e);
    }
    return q;
}

/* ---- other name servers ---- */

/* Asks anew what is not answered. */
static void resolver_entry_restart(struct resolver_entry *e)
{
    if (e->forward) /* another entry's question */
        return;
    resolver_dns_forget(&e->calls);
    buf_clear(&e->v4);
    buf_clear(&e->v6);
    e->is_timed_out = false;
    loop_timer_set(e->resolver->loop, &e->timer, resolver_timeout_ms(e->resolver));
    if (*buf_str(&e->key).p == 'h')
        resolver_entry_start_forward(e, buf_cstr(&e->key) + 1);
    else
        resolver_entry_start_reverse(e);
}

int resolver_configure(struct resolver *r, const struct resolver_spec *spec)
{
    struct resolver_dns *dns, *old = r->dns;
    struct resolver_spec copy;
    size_t pos = 0;
    struct str key;
    void *value;
    if (resolver_is_like(r, spec))
        return 0;
    int err = resolver_spec_copy(spec, &copy);
    if (err < 0)
        return err;
    err = resolver_dns_new(r->loop, spec, &dns);
    if (err < 0) {
        resolver_spec_fini(&copy);
        return err;
    }
    r->dns = dns;
    resolver_spec_fini(&r->spec);
    r->spec = copy;
    while (map_next(&r->entries, &pos, &key, &value)) {
        struct resolver_entry *e = value;
        if (e->is_busy)
            resolver_entry_restart(e);
        else
            e->expires_ms = 0;
    }
    resolver_dns_free(old);
    return 0;
}

bool resolver_is_like(const struct resolver *r, const struct resolver_spec *spec)
{
    return resolver_spec_eq(&r->spec, spec);
}

bool resolver_is_idle(const struct resolver *r)
{
    return list_is_empty(&r->queries);
}
