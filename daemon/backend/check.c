/* SPDX-License-Identifier: ISC */
/* Active health checks: one check per backend, protocol after protocol, by the dialogue that logins
 * use. */
#include "backend/check.h"

#include <stdio.h>

#include "backend/login.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#define CHECK_FIRST_MAX_MS 1000 /* a new backend is looked at within this time */
#define CHECK_LOOK_MS 1000      /* how often changes that logins found are looked for */
#define CHECK_TIMEOUT_MS 5000   /* by hand, where the pool has no checks */

/* Somebody who waits for the result of a check. */
struct check_waiter {
    struct list link;
    void (*cb)(void *arg, const struct check_result *r);
    void *arg;
};

/* One backend. */
struct check {
    struct list link;
    struct checks *all;
    struct backend *backend;          /* one reference */
    const struct pool *pool;          /* of all->pools */
    const struct pool_member *member; /* of all->pools */
    bool is_wanted;                   /* seen in the newest pools */
    bool is_scheduled;
    enum backend_health seen; /* told last */
    unsigned streak;          /* findings in a row that speak against the present health */
    struct loop_timer timer;
    struct list waiters;
    /* while a check runs */
    struct login *login; /* NULL = none runs */
    struct pools *pools; /* one reference: what the login borrows lives here */
    struct conn conn;
    unsigned todo; /* bits of protocols */
    enum proto_id proto;
    uint64_t begun_us;
    int64_t cert_expires;
};

struct checks {
    struct loop *loop;
    struct resolver *resolver;
    void (*on_changed)(void *arg, struct backend *b);
    void *arg;
    struct pools *pools; /* one reference; NULL before the first configure */
    struct list list;
    struct loop_timer look;
};

static void check_next(struct check *k);

/* ---- what is to be checked ---- */

static bool check_route_leads(const struct config *c, const struct config_listener *l,
                              const char *pool)
{
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct config_route *r = &c->routes[i];
        if (strcmp(r->pool, pool) == 0 && (!r->listener || strcmp(r->listener, l->name) == 0) &&
            (!r->proto || r->proto == l->proto))
            return true;
    }
    return false;
}

/* Does the listener send logins to the pool: by name, by a route, or because it is the default? */
static bool check_is_used_by(const struct config *c, const struct config_listener *l,
                             const struct config_pool *pool)
{
    if (l->pool)
        return strcmp(l->pool, pool->name) == 0;
    return pool == &c->pools[0] || check_route_leads(c, l, pool->name);
}

/* Bits of the protocols that listeners speak with the pool. A pool that nothing leads to is for
 * users pinned to it: they may come by any listener. */
static unsigned check_protocols(const struct config *c, const struct config_pool *pool)
{
    unsigned used = 0, any = 0;
    for (size_t i = 0; i < c->n_listeners; i++) {
        unsigned bit = 1u << c->listeners[i].proto->id;
        any |= bit;
        if (check_is_used_by(c, &c->listeners[i], pool))
            used |= bit;
    }
    return used ? used : any;
}

/* Checks by the clock: not of what an operator took out. */
static bool check_is_due(const struct check *k)
{
    return k->pool->config->check.is_on && atomic_load(&k->backend->admin) != BACKEND_DISABLED &&
           check_protocols(k->all->pools->config, k->pool->config) != 0;
}

/* A tenth more or less, so that many proxies and backends do not march in step. */
static uint64_t check_jitter(uint64_t interval_ms)
{
    uint32_t random;
    hash_random(&random, sizeof(random));
    return interval_ms - interval_ms / 10 + random % (interval_ms / 5 + 1);
}

/* ---- findings ---- */

static void check_tell_change(struct check *k)
{
    enum backend_health h = atomic_load(&k->backend->health);
    if (h == k->seen)
        return;
    k->seen = h;
    k->all->on_changed(k->all->arg, k->backend);
}

/* One finding counts at once when nothing was known, else only with enough others in a row. */
static void check_judge(struct check *k, enum back_failure f, const char *text)
{
    const struct config_check *c = &k->pool->config->check;
    struct backend *b = k->backend;
    enum backend_health now = atomic_load(&b->health);
    enum backend_health found = f == BACK_FAIL_NONE ? BACKEND_UP : BACKEND_DOWN;
    unsigned needed = found == BACKEND_DOWN ? c->fall : c->is_on ? c->rise : 1;
    if (f == BACK_FAIL_INTERNAL) /* our own trouble says nothing about the server */
        return;
    k->streak = found == now ? 0 : k->streak + 1;
    if (found == now || (now != BACKEND_UNKNOWN && k->streak < needed))
        return;
    k->streak = 0;
    (void)backend_set_health(b, found, loop_now_ms(k->all->loop), clock_wall_ms(), text);
    check_tell_change(k);
}

static void check_answer(struct check *k, const struct check_result *r)
{
    struct list waiters;
    list_init(&waiters);
    list_splice_tail(&waiters, &k->waiters);
    LIST_FOREACH_SAFE (it, &waiters) {
        struct check_waiter *w = LIST_ITEM(it, struct check_waiter, link);
        w->cb(w->arg, r);
        free(w);
    }
}

static void check_schedule(struct check *k, uint64_t delay_ms)
{
    k->is_scheduled = check_is_due(k);
    if (k->is_scheduled)
        loop_timer_set(k->all->loop, &k->timer, delay_ms);
    else
        loop_timer_cancel(k->all->loop, &k->timer);
}

static void check_schedule_first(struct check *k)
{
    uint32_t random;
    hash_random(&random, sizeof(random));
    check_schedule(k, random % CHECK_FIRST_MAX_MS);
}

static void check_end(struct check *k, enum back_failure f, const char *text)
{
    struct backend *b = backend_ref(k->backend);
    uint64_t took = clock_us() - k->begun_us;
    atomic_store_explicit(&b->last_check_ms, clock_wall_ms(), memory_order_relaxed);
    atomic_store_explicit(&b->check_us, took, memory_order_relaxed);
    if (k->cert_expires)
        atomic_store_explicit(&b->cert_expires, k->cert_expires, memory_order_relaxed);
    pools_unref(STEAL(k->pools));
    check_judge(k, f, text);
    check_schedule(k, check_jitter(k->pool->config->check.interval_ms));
    /* last: who hears of it may take the backend out of its pool, and the check with it */
    check_answer(k,
                 &(struct check_result){.backend = b, .failure = f, .text = text, .took_us = took});
    backend_unref(b);
}

static void on_login(void *arg, struct login_outcome *o)
{
    struct check *k = arg;
    struct tls_info info;
    char text[BACKEND_REASON_MAX];
    k->login = NULL;
    if (conn_tls_info(&k->conn, &info) && info.cert_expires)
        k->cert_expires = info.cert_expires;
    conn_close(&k->conn);
    if (o->failure == BACK_FAIL_NONE) {
        if (o->learned.n > 0)
            backend_learn(k->backend, k->proto, o->learned);
        check_next(k);
        return;
    }
    snprintf(text, sizeof(text), "%s: %s: %.*s", proto_get(k->proto)->name, o->step,
             STR_ARG(o->message));
    check_end(k, o->failure, text);
}

/* ---- one check ---- */

static int check_start_login(struct check *k)
{
    static const struct proxyhdr own = {.is_local = true};
    pools_unref(k->pools);
    k->pools = pools_ref(k->all->pools);
    const struct pool *p = k->pool;
    const struct config_pool *c = p->config;
    uint64_t timeout = c->check.timeout_ms ? c->check.timeout_ms : CHECK_TIMEOUT_MS;
    struct addr source;
    bool has_source = c->source_address && addr_parse(str_of(c->source_address), &source) == 0;
    const struct login_spec spec = {
        .loop = k->all->loop,
        .resolver = k->all->resolver,
        .conn = &k->conn,
        .proto = proto_get(k->proto),
        .host = k->member->host,
        .port = k->member->ports[k->proto],
        .tls = c->tls,
        .tls_client = p->tls,
        .proxy = c->forward & (FORWARD_PROXY_V1 | FORWARD_PROXY_V2) ? &own : NULL,
        .is_proxy_v2 = c->forward & FORWARD_PROXY_V2,
        .source = has_source ? &source : NULL,
        .env = {.cred = p->check.user.len > 0 ? &p->check : NULL,
                .is_pipelining_allowed = c->is_pipelining,
                .want_capabilities = true,
                .is_check = true,
                .is_ehlo = true,
                .is_auth_wanted = true,
                .server_name = k->pools->config->server_name},
        .total_ms = timeout,
        .done = on_login,
        .arg = k,
    };
    return login_start(&spec, &k->login);
}

static void check_next(struct check *k)
{
    if (k->todo == 0) {
        check_end(k, BACK_FAIL_NONE, "");
        return;
    }
    k->proto = (enum proto_id)__builtin_ctz(k->todo);
    k->todo &= k->todo - 1;
    int err = check_start_login(k);
    if (err < 0)
        check_end(k, BACK_FAIL_INTERNAL, err_text(err));
}

static void check_begin(struct check *k)
{
    loop_timer_cancel(k->all->loop, &k->timer);
    k->is_scheduled = false;
    k->todo = check_protocols(k->all->pools->config, k->pool->config);
    k->begun_us = clock_us();
    k->cert_expires = 0;
    check_next(k);
}

static void on_timer(struct loop_timer *t)
{
    struct check *k = CONTAINER_OF(t, struct check, timer);
    k->is_scheduled = false;
    if (!k->login && check_is_due(k))
        check_begin(k);
}

/* Ends what runs, without a finding. */
static void check_abort(struct check *k)
{
    login_cancel(STEAL(k->login));
    pools_unref(STEAL(k->pools));
}

static void check_free(struct check *k, int err)
{
    list_del(&k->link);
    loop_timer_cancel(k->all->loop, &k->timer);
    check_abort(k);
    check_answer(k, &(struct check_result){.err = err, .backend = k->backend, .text = ""});
    backend_set_checked(k->backend, false);
    backend_unref(k->backend);
    free(k);
}

/* ---- following the pools ---- */

static struct check *check_find(struct checks *c, const struct backend *b)
{
    LIST_FOREACH (it, &c->list) {
        struct check *k = LIST_ITEM(it, struct check, link);
        if (k->backend == b)
            return k;
    }
    return NULL;
}

static struct check *check_new(struct checks *c, struct backend *b)
{
    struct check *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->all = c;
    k->backend = backend_ref(b);
    k->seen = atomic_load(&b->health);
    loop_timer_init(&k->timer, on_timer);
    list_init(&k->waiters);
    list_add_tail(&c->list, &k->link);
    return k;
}

static bool check_has_moved(const struct pool_member *a, const struct pool_member *b)
{
    return strcmp(a->host, b->host) != 0 || memcmp(a->ports, b->ports, sizeof(a->ports)) != 0;
}

/* What is known of the backend stays, but not of an address that it no longer has. */
static void check_follow(struct check *k, const struct pool *p, const struct pool_member *m)
{
    bool is_new = !k->member, is_running = k->login != NULL;
    bool has_moved = !is_new && check_has_moved(k->member, m);
    k->is_wanted = true;
    k->pool = p;
    k->member = m;
    backend_set_checked(k->backend, p->config->check.is_on &&
                                        check_protocols(k->all->pools->config, p->config) != 0);
    if (has_moved) {
        k->streak = 0;
        check_abort(k);
    }
    if (has_moved && is_running)
        check_begin(k);
    else if (!is_running && (is_new || has_moved || k->is_scheduled != check_is_due(k)))
        check_schedule_first(k);
}

static void checks_follow_pool(struct checks *c, const struct pool *p)
{
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        struct check *k = check_find(c, m->backend);
        if (!k)
            k = check_new(c, m->backend);
        if (k)
            check_follow(k, p, m);
        else
            LOG_EVENT(LOG_LEVEL_ERROR, "backend-unchecked", KV_STR("backend", m->backend->name),
                      KV_ERR("error", -ERR_NOMEM));
    }
}

void checks_configure(struct checks *c, struct pools *pools)
{
    struct pools *old = c->pools;
    c->pools = pools_ref(pools);
    LIST_FOREACH (it, &c->list)
        LIST_ITEM(it, struct check, link)->is_wanted = false;
    for (size_t i = 0; i < pools->n; i++)
        checks_follow_pool(c, &pools->v[i]);
    LIST_FOREACH_SAFE (it, &c->list) {
        struct check *k = LIST_ITEM(it, struct check, link);
        if (!k->is_wanted)
            check_free(k, -ERR_NO_BACKEND);
    }
    pools_unref(old);
}

/* Changes that logins found, and backends that operators took back in. */
static void on_look(struct loop_timer *t)
{
    struct checks *c = CONTAINER_OF(t, struct checks, look);
    loop_timer_set(c->loop, t, CHECK_LOOK_MS);
    LIST_FOREACH_SAFE (it, &c->list) {
        struct check *k = LIST_ITEM(it, struct check, link);
        check_tell_change(k);
        if (!k->is_scheduled && !k->login && check_is_due(k))
            check_schedule_first(k);
    }
}

int checks_new(struct loop *l, struct resolver *r, void (*on_changed)(void *arg, struct backend *b),
               void *arg, struct checks **ret)
{
    struct checks *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    *c = (struct checks){.loop = l, .resolver = r, .on_changed = on_changed, .arg = arg};
    list_init(&c->list);
    loop_timer_init(&c->look, on_look);
    loop_timer_set(l, &c->look, CHECK_LOOK_MS);
    *ret = c;
    return 0;
}

void checks_free(struct checks *c)
{
    if (!c)
        return;
    LIST_FOREACH_SAFE (it, &c->list)
        check_free(LIST_ITEM(it, struct check, link), -ERR_SHUTDOWN);
    loop_timer_cancel(c->loop, &c->look);
    pools_unref(c->pools);
    free(c);
}

/* ---- by hand ---- */

int check_now(struct checks *c, const char *pool, const char *name,
              void (*cb)(void *arg, const struct check_result *r), void *arg)
{
    const struct pool_member *m = c->pools ? pools_member(c->pools, pool, name, NULL) : NULL;
    struct check *k = m ? check_find(c, m->backend) : NULL;
    if (!k)
        return -ERR_NO_BACKEND;
    if (check_protocols(c->pools->config, k->pool->config) == 0)
        return -ERR_UNSUPPORTED;
    struct check_waiter *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct check_waiter){.cb = cb, .arg = arg};
    list_add_tail(&k->waiters, &w->link);
    if (!k->login)
        check_begin(k);
    return 0;
}
