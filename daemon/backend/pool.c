/* SPDX-License-Identifier: ISC */
/* The snapshot of pools: its references, and looking for members in it. */
#include "backend/pool.h"

static void pool_fini(struct pool *p)
{
    for (size_t i = 0; i < p->n_members; i++) {
        backend_unref(p->members[i].backend);
        free(p->members[i].host);
    }
    free(p->members);
    tls_client_unref(p->tls);
    credentials_wipe(&p->master);
    credentials_wipe(&p->check);
}

struct pools *pools_ref(struct pools *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void pools_unref(struct pools *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < p->n; i++)
        pool_fini(&p->v[i]);
    pool_fini(&p->none);
    config_unref(p->config);
    routes_unref(p->routes);
    free(p->v);
    free(p);
}

const struct config_route *pools_routes(const struct pools *p, size_t *ret_n)
{
    *ret_n = p->routes ? p->routes->n : p->config->n_routes;
    return p->routes ? p->routes->v : p->config->routes;
}

void pools_set_routes(struct pools *p, struct routes *routes)
{
    routes_unref(p->routes);
    p->routes = routes_ref(routes);
}

/* ---- look-up ---- */

const struct pool *pools_find(const struct pools *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i].config->name, name) == 0)
            return &p->v[i];
    return NULL;
}

const struct pool_member *pools_member(const struct pools *p, const char *pool, const char *name,
                                       const struct pool **ret_pool)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct pool *q = &p->v[i];
        if (pool && strcmp(q->config->name, pool) != 0)
            continue;
        for (size_t j = 0; j < q->n_members; j++)
            if (strcmp(q->members[j].backend->name, name) == 0) {
                if (ret_pool)
                    *ret_pool = q;
                return &q->members[j];
            }
    }
    return NULL;
}

/* addr: that host is, NULL = it is a name. */
static const struct pool_member *pool_member_at(const struct pool *p, const char *host,
                                                const struct addr *addr, uint16_t port,
                                                enum proto_id proto)
{
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        /* an address may be written in several ways */
        if (m->ports[proto] == port &&
            (addr ? addr_ip_eq(&m->addr, addr) : str_ieq(str_of(m->host), str_of(host))))
            return m;
    }
    return NULL;
}

const struct pool_member *pools_member_at(const struct pools *p, const struct pool *first,
                                          const char *host, uint16_t port, enum proto_id proto,
                                          const struct pool **ret_pool)
{
    struct addr parsed;
    const struct addr *addr = addr_parse(str_of(host), &parsed) == 0 ? &parsed : NULL;
    const struct pool *in = first;
    const struct pool_member *m = pool_member_at(first, host, addr, port, proto);
    for (size_t i = 0; i < p->n && !m; i++) {
        in = &p->v[i];
        m = pool_member_at(in, host, addr, port, proto);
    }
    if (m)
        *ret_pool = in;
    return m;
}
