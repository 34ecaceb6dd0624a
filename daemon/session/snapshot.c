/* SPDX-License-Identifier: ISC */
/* Building and sharing the snapshot that new sessions work with. */
#include "session/snapshot.h"

#include "auth/auth.h"
#include "base/cleanup.h"

static void snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        tls_server_unref(s->listeners[i].tls);
    free(s->listeners);
    for (size_t i = 0; s->auth_tls && i < s->config->n_auths; i++)
        tls_client_unref(s->auth_tls[i]);
    free(s->auth_tls);
    tls_client_unref(s->fleet_tls);
    pools_unref(s->pools);
    config_unref(s->config);
    free(s);
}

static int snapshot_listener_init(struct snapshot_listener *l, const struct config_listener *c,
                                  const struct config *config, const struct snapshot *old,
                                  char **ret_error)
{
    l->config = c;
    l->mechanisms = (c->mechanisms | c->hidden_mechanisms) &
                    (auth_mechanisms(config, c->provider_mask) | SASL_BIT_COMMAND);
    if (c->tls == LISTENER_TLS_OFF)
        return 0;
    int err = config_tls_server(&c->tls_config, config->files, &l->tls, ret_error);
    if (err < 0)
        return err;
    const struct snapshot_listener *before = old ? snapshot_listener_find(old, c->name) : NULL;
    if (before && before->tls)
        tls_server_inherit_tickets(l->tls, before->tls);
    return 0;
}

int snapshot_new(struct config *c, struct pools *pools, const struct snapshot *old,
                 struct snapshot **ret, char **ret_error)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct snapshot_listener *listeners = calloc(c->n_listeners + 1, sizeof(*listeners));
    if (!s || !listeners) {
        free(s);
        free(listeners);
        pools_unref(pools);
        config_unref(c);
        return -ERR_NOMEM;
    }
    *s = (struct snapshot){.refs = 1,
                           .generation = old ? old->generation + 1 : 1,
                           .config = c,
                           .pools = pools,
                           .listeners = listeners,
                           .n_listeners = c->n_listeners};
    s->auth_tls = calloc(c->n_auths + 1, sizeof(*s->auth_tls));
    int err = s->auth_tls ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < c->n_auths && err == 0; i++)
        err = config_tls_auth(&c->auths[i], c->files, &s->auth_tls[i], ret_error);
    if (err == 0 && c->fleet.name)
        err = config_tls_fleet(&c->fleet, c->files, &s->fleet_tls, ret_error);
    for (size_t i = 0; i < c->n_listeners && err == 0; i++)
        err = snapshot_listener_init(&s->listeners[i], &c->listeners[i], c, old, ret_error);
    if (err < 0) {
        snapshot_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

int snapshot_with_pools(const struct snapshot *old, struct pools *pools, struct snapshot **ret)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct snapshot_listener *listeners = calloc(old->n_listeners + 1, sizeof(*listeners));
    struct tls_client **auth_tls = calloc(old->config->n_auths + 1, sizeof(struct tls_client *));
    if (!s || !listeners || !auth_tls) {
        free(s);
        free(listeners);
        free(auth_tls);
        pools_unref(pools);
        return -ERR_NOMEM;
    }
    for (size_t i = 0; i < old->config->n_auths; i++)
        if (old->auth_tls[i])
            auth_tls[i] = tls_client_ref(old->auth_tls[i]);
    for (size_t i = 0; i < old->n_listeners; i++) {
        listeners[i] = old->listeners[i];
        if (listeners[i].tls)
            tls_server_ref(listeners[i].tls);
    }
    *s = (struct snapshot){.refs = 1,
                           .generation = old->generation,
                           .config = config_ref(old->config),
                           .pools = pools,
                           .listeners = listeners,
                           .n_listeners = old->n_listeners,
                           .auth_tls = auth_tls,
                           .fleet_tls = old->fleet_tls ? tls_client_ref(old->fleet_tls) : NULL};
    *ret = s;
    return 0;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void on_free_job(struct job *j)
{
    (void)j; /* its end, wherever that comes, is what frees */
}

static void on_free_job_end(struct job *j)
{
    snapshot_free(CONTAINER_OF(j, struct snapshot, free_job));
}

void snapshot_unref(struct snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    s->free_job = (struct job){.run = on_free_job, .drop = on_free_job_end};
    if (!s->post_free || !s->post_free(s->post_free_arg, &s->free_job))
        snapshot_free(s);
}

const struct snapshot_listener *snapshot_listener_find(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        if (strcmp(s->listeners[i].config->name, name) == 0)
            return &s->listeners[i];
    return NULL;
}

static bool snapshot_has_peer(const struct config_nets *nets, const struct addr *peer)
{
    for (size_t i = 0; i < nets->n; i++)
        if (addr_net_has(&nets->v[i], peer))
            return true;
    return false;
}

bool snapshot_listener_wants_proxy(const struct snapshot_listener *l, const struct addr *peer)
{
    return snapshot_has_peer(&l->config->proxy_protocol, peer);
}

bool snapshot_listener_trusts_proxy(const struct snapshot_listener *l, const struct addr *peer)
{
    const struct config_nets *nets = &l->config->proxy_protocol_trusted;
    return nets->v ? snapshot_has_peer(nets, peer) : snapshot_listener_wants_proxy(l, peer);
}
