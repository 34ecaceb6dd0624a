/* SPDX-License-Identifier: ISC */
/* The order in which a login's destination is looked for. */
#include "session/route.h"

#include "base/cleanup.h"

void route_fini(struct route *r)
{
    backend_unref(r->dynamic);
    free(r->host);
    *r = (struct route){0};
}

static bool route_glob(const char *pattern, struct str s)
{
    return !pattern || str_glob(str_of(pattern), s);
}

static bool route_matches(const struct config_route *r, const struct route_request *q)
{
    struct str user = str_of(q->user);
    ptrdiff_t at = -1;
    for (size_t i = 0; i < user.n; i++)
        if (user.p[i] == '@')
            at = (ptrdiff_t)i;
    struct str domain = at < 0 ? STR_NULL : str_n(user.p + at + 1, user.n - (size_t)at - 1);
    return route_glob(r->user, user) &&
           (!r->domain || (at >= 0 && route_glob(r->domain, domain))) &&
           (!r->listener || strcmp(r->listener, q->listener->name) == 0) &&
           (!r->proto || r->proto == q->proto);
}

const struct config_route *route_rule(const struct config_route *v, size_t n,
                                      const struct route_request *q)
{
    for (size_t i = 0; i < n; i++)
        if (route_matches(&v[i], q))
            return &v[i];
    return NULL;
}

static int route_pool(const struct snapshot *snapshot, const char *name, const char *reason,
                      struct route *ret)
{
    const struct pool *p = pools_find(snapshot->pools, name);
    if (!p)
        return -ERR_NO_POOL;
    *ret = (struct route){.pool = p, .reason = reason};
    return 0;
}

/* The pool of a login for which no single backend was named. */
static int route_to_pool(const struct snapshot *snapshot, const struct route_request *q,
                         struct route *ret)
{
    const struct config *c = snapshot->pools->config;
    if (q->pool)
        return route_pool(snapshot, q->pool, "user's pool", ret);
    if (q->listener->pool)
        return route_pool(snapshot, q->listener->pool, "listener", ret);
    size_t n;
    const struct config_route *routes = pools_routes(snapshot->pools, &n);
    const struct config_route *rule = route_rule(routes, n, q);
    if (rule) {
        int err = route_pool(snapshot, rule->pool, "route", ret);
        if (err == 0)
            ret->rule = rule;
        return err;
    }
    if (c->n_pools == 0)
        return -ERR_NO_POOL;
    return route_pool(snapshot, c->pools[0].name, "default pool", ret);
}

/* An address that an auth server named: a member of the login's pool or of another one, else a
 * dynamic backend, which is reached as the login's pool says. */
static int route_address(const struct snapshot *snapshot, struct backend_registry *registry,
                         const struct route_request *q, struct route *ret)
{
    struct route of_pool = {.pool = &snapshot->pools->none};
    int err = snapshot->pools->config->n_pools > 0 ? route_to_pool(snapshot, q, &of_pool) : 0;
    if (err < 0)
        return err;
    struct route r = {.reason = "auth server", .pool = of_pool.pool, .port = q->server_port};
    r.member = pools_member_at(snapshot->pools, r.pool, q->server_host, q->server_port,
                               q->proto->id, &r.pool);
    if (!r.member) {
        r.dynamic = backend_registry_dynamic(registry, q->server_host, q->server_port);
        r.host = str_dup_c(q->server_host);
        if (!r.dynamic || !r.host) {
            route_fini(&r);
            return -ERR_NOMEM;
        }
    }
    *ret = r;
    return 0;
}

int route_find(const struct snapshot *snapshot, struct backend_registry *registry,
               const struct route_request *q, struct route *ret)
{
    if (q->server_host)
        return route_address(snapshot, registry, q, ret);
    if (q->backend) {
        struct route r = {.reason = "user's backend"};
        r.member = pools_member(snapshot->pools, q->pool, q->backend, &r.pool);
        if (!r.member)
            return -ERR_NO_BACKEND;
        *ret = r;
        return 0;
    }
    return route_to_pool(snapshot, q, ret);
}
