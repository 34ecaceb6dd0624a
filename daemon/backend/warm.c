/* SPDX-License-Identifier: ISC */
/* Keeps connections to mail servers ready: made when one is taken, replaced when they are old. */
#include "backend/warm.h"

#include "base/cleanup.h"
#include "base/container/map.h"
#include "proto/registry/registry.h"

#define WARM_TICK_MS 1000
/* Servers close connections without a login: Dovecot after 180 s, Postfix after 300. */
#define WARM_AGE_MS 60000
#define WARM_RETRY_MS 5000 /* before the next try where one has failed */

/* A member of a pool, by one protocol. */
struct warm_place {
    struct warm *warm;
    const struct pool *pool;
    const struct pool_member *member;
    enum proto_id proto;
    struct list conns; /* oldest first */
    unsigned n_conns;
    uint64_t wanted_ms, retry_ms; /* when somebody logged in last, when it may be tried again */
};

struct warm_conn {
    struct list link;
    struct warm_place *place;
    struct login *login;
    struct conn conn;
    struct loop_deferred dead;
    uint64_t ready_ms; /* 0 = not yet */
};

struct warm {
    struct loop *loop;
    struct resolver *resolver;
    struct pools *pools;
    struct map places; /* by member and protocol */
    struct loop_timer timer;
    size_t n_ready;
};

struct warm_key {
    const struct pool_member *member;
    uint64_t proto;
};

/* ---- one connection ---- */

static void on_warm_dead(struct loop_deferred *d)
{
    free(CONTAINER_OF(d, struct warm_conn, dead));
}

/* Its login is gone, or somebody else's. */
static void warm_drop(struct warm_conn *c)
{
    struct warm *w = c->place->warm;
    w->n_ready -= c->ready_ms != 0;
    list_del(&c->link);
    c->place->n_conns--;
    loop_defer(w->loop, &c->dead);
}

static void warm_close(struct warm_conn *c)
{
    login_cancel(STEAL(c->login));
    warm_drop(c);
}

static void on_warm_ready(void *arg)
{
    struct warm_conn *c = arg;
    struct warm *w = c->place->warm;
    c->ready_ms = loop_now_ms(w->loop);
    w->n_ready++;
}

/* It could not be made, or the server left. */
static void on_done(void *arg, struct login_outcome *o)
{
    struct warm_conn *c = arg;
    (void)o;
    conn_close(&c->conn);
    c->place->retry_ms = loop_now_ms(c->place->warm->loop) + WARM_RETRY_MS;
    c->login = NULL;
    warm_drop(c);
}

/* ---- one place ---- */

static int warm_open(struct warm_place *p)
{
    struct warm *w = p->warm;
    const struct config_pool *c = p->pool->config;
    const struct config *config = w->pools->config;
    struct addr source;
    struct warm_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return -ERR_NOMEM;
    struct login_spec spec = {
        .loop = w->loop,
        .resolver = w->resolver,
        .conn = &conn->conn,
        .proto = proto_get(p->proto),
        .is_connect_untimed = true,
        .env = {.is_pipelining_allowed = c->is_pipelining,
                .want_capabilities = true,
                .is_warming = true,
                .is_ehlo = true,
                .server_name = config->server_name},
        .connect_ms = config->timeouts.connect_ms,
        .login_ms = config->timeouts.login_ms,
        .ready = on_warm_ready,
        .done = on_done,
        .arg = conn,
    };
    login_spec_to(&spec, p->pool, p->member, &source);
    conn->place = p;
    conn->dead.fn = on_warm_dead;
    list_init(&conn->dead.link);
    int err = login_start(&spec, &conn->login);
    if (err < 0) {
        free(conn);
        return err;
    }
    list_add_tail(&p->conns, &conn->link);
    p->n_conns++;
    return 0;
}

/* Brings a place to what it should have now. */
static void warm_fill(struct warm_place *p)
{
    uint64_t now = loop_now_ms(p->warm->loop);
    bool is_wanted = now - p->wanted_ms < WARM_WANTED_MS &&
                     backend_may_be_usable(p->member->backend, p->proto, now);
    LIST_FOREACH_SAFE (it, &p->conns) {
        struct warm_conn *c = CONTAINER_OF(it, struct warm_conn, link);
        if (!is_wanted || (c->ready_ms && now - c->ready_ms >= WARM_AGE_MS))
            warm_close(c);
    }
    while (is_wanted && now >= p->retry_ms && p->n_conns < p->pool->config->warm)
        if (warm_open(p) < 0)
            p->retry_ms = now + WARM_RETRY_MS;
}

static struct warm_place *warm_add_place(struct warm *w, const struct warm_key *key,
                                         const struct pool *pool)
{
    struct warm_place *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct warm_place){.warm = w, .pool = pool, .member = key->member};
    p->proto = (enum proto_id)key->proto;
    list_init(&p->conns);
    if (map_put(&w->places, str_n((const char *)key, sizeof(*key)), p, NULL) == 0)
        return p;
    free(p);
    return NULL;
}

/* ---- all ---- */

static void on_warm_tick(struct loop_timer *t)
{
    struct warm *w = CONTAINER_OF(t, struct warm, timer);
    void *p;
    for (size_t at = 0; map_next(&w->places, &at, NULL, &p);)
        warm_fill(p);
    loop_timer_set(w->loop, &w->timer, WARM_TICK_MS);
}

int warm_new(struct loop *l, struct resolver *r, struct warm **ret)
{
    struct warm *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct warm){.loop = l, .resolver = r};
    loop_timer_init(&w->timer, on_warm_tick);
    *ret = w;
    return 0;
}

static void warm_clear(struct warm *w)
{
    void *value;
    for (size_t at = 0; map_next(&w->places, &at, NULL, &value);) {
        struct warm_place *p = value;
        LIST_FOREACH_SAFE (it, &p->conns)
            warm_close(CONTAINER_OF(it, struct warm_conn, link));
        free(p);
    }
    map_fini(&w->places);
    w->places = (struct map){0};
    pools_unref(STEAL(w->pools));
}

void warm_free(struct warm *w)
{
    if (!w)
        return;
    loop_timer_cancel(w->loop, &w->timer);
    warm_clear(w);
    free(w);
}

void warm_configure(struct warm *w, struct pools *pools)
{
    if (w->pools == pools)
        return;
    warm_clear(w);
    w->pools = pools_ref(pools);
    loop_timer_cancel(w->loop, &w->timer);
    for (size_t i = 0; i < pools->n; i++)
        if (pools->v[i].config->warm > 0)
            loop_timer_set(w->loop, &w->timer, WARM_TICK_MS);
}

struct login *warm_take(struct warm *w, const struct pool *pool, const struct pool_member *m,
                        enum proto_id proto)
{
    const struct warm_key key = {m, (uint64_t)proto};
    /* A login that began before a reload has a pool of the configuration before. */
    bool is_known = w && w->pools && pool >= w->pools->v && pool < w->pools->v + w->pools->n;
    if (!is_known || pool->config->warm == 0)
        return NULL;
    struct warm_place *p = map_get(&w->places, str_n((const char *)&key, sizeof(key)));
    if (!p && !(p = warm_add_place(w, &key, pool)))
        return NULL;
    struct login *login = NULL;
    p->wanted_ms = loop_now_ms(w->loop);
    LIST_FOREACH_SAFE (it, &p->conns) {
        struct warm_conn *c = CONTAINER_OF(it, struct warm_conn, link);
        if (login || !c->ready_ms)
            continue;
        login = STEAL(c->login);
        warm_drop(c);
    }
    warm_fill(p);
    return login;
}

size_t warm_ready(const struct warm *w)
{
    return w->n_ready;
}
