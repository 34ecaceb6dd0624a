/* SPDX-License-Identifier: ISC */
/* Authentication of one worker: asks the configured providers in order and remembers right answers.
 */
#include "auth/auth.h"

#include "auth/provider.h"
#include "base/cleanup.h"
#include "base/log/log.h"
#include "store/store.h"

#define QUERIES_KEPT 64                   /* of some 2,300 bytes */
#define CACHE_MAX_BYTES (4 * 1024 * 1024) /* per worker: some thousand answers */

static const struct auth_provider_ops *const kinds[] = {
    [AUTH_TYPE_USERS] = &provider_users_ops,
    [AUTH_TYPE_HTTP] = &provider_http_ops,
    [AUTH_TYPE_BACKEND] = &provider_backend_ops,
};

unsigned auth_mechanisms(const struct config *c, uint64_t provider_mask)
{
    unsigned mask = 0;
    for (size_t i = 0; i < c->n_auths; i++)
        if (provider_mask >> i & 1)
            mask |= kinds[c->auths[i].type]->mechanisms;
    return mask;
}

static void auth_forget_answers(struct auth *a, const char *user)
{
    a->generation++; /* what is being judged now was looked up before */
    cache_forget(a->cache, user);
}

/* ---- providers of a config ---- */

static int auth_snapshot_new(struct auth *a, struct config *c, struct tls_client *const *tls,
                             struct auth_snapshot **ret)
{
    struct auth_snapshot *s = calloc(1, sizeof(*s) + c->n_auths * sizeof(s->v[0]));
    if (!s)
        return -ERR_NOMEM;
    s->refs = 1;
    s->config = config_ref(c);
    for (size_t i = 0; i < c->n_auths; i++) {
        const struct auth_provider_ops *ops = kinds[c->auths[i].type];
        int err = ops->new (a, &c->auths[i], tls ? tls[i] : NULL, &s->v[i]);
        if (err < 0) {
            auth_snapshot_unref(s);
            return err;
        }
        *s->v[i] = (struct auth_provider){.ops = ops, .auth = a, .config = &c->auths[i]};
        s->has_cache = s->has_cache || c->auths[i].cache_ms > 0;
        s->n++;
    }
    *ret = s;
    return 0;
}

int auth_configure(struct auth *a, struct config *c, struct tls_client *const *tls)
{
    struct auth_snapshot *s;
    int err = auth_snapshot_new(a, c, tls, &s);
    if (err < 0)
        return err;
    auth_snapshot_unref(a->snapshot);
    a->snapshot = s;
    auth_forget_answers(a, NULL);
    return 0;
}

int auth_new(struct loop *l, struct jobs *jobs, struct store *store, struct resolver *resolver,
             struct auth **ret)
{
    struct auth *a = calloc(1, sizeof(*a));
    if (!a)
        return -ERR_NOMEM;
    *a = (struct auth){.loop = l, .jobs = jobs, .store = store, .resolver = resolver};
    list_init(&a->queries);
    free_list_init(&a->free_queries, sizeof(struct auth_query), QUERIES_KEPT);
    a->snapshot = calloc(1, sizeof(*a->snapshot)); /* no providers yet */
    int err = a->snapshot ? cache_new(CACHE_MAX_BYTES, &a->cache) : -ERR_NOMEM;
    if (err == 0 && store && store_has_names(store, &a->has_names) < 0)
        a->has_names = true; /* who is locked is found out when they come */
    if (err < 0) {
        auth_free(a);
        return err;
    }
    a->snapshot->refs = 1;
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    while (!list_is_empty(&a->queries)) {
        struct auth_query *q = LIST_ITEM(a->queries.next, struct auth_query, link);
        query_detach(q);
        query_close(a, q);
    }
    auth_snapshot_unref(a->snapshot);
    cache_free(a->cache);
    free_list_fini(&a->free_queries);
    free(a);
}

/* ---- a query begins ---- */

/* An answer may depend on all that a provider is told. */
static int query_make_key(struct auth_query *q)
{
    const struct auth_request *r = &q->ask.r;
    char client[ADDR_TEXT_MAX], proxy[ADDR_TEXT_MAX];
    AUTO_BUF context = BUF_INIT;
    addr_format_ip(client, &r->client);
    addr_format_ip(proxy, &r->proxy_dst);
    int err = buf_printf(&context, "%s\n%s\n%s\n%s\n%s\n%s\n%d", r->proto->name, r->listener,
                         client, r->has_proxy_header ? proxy : "", r->tls ? r->tls->version : "",
                         r->peer_cert && r->peer_cert->fingerprint ? r->peer_cert->fingerprint : "",
                         r->is_backend_password_needed);
    return err < 0 ? err : cache_key(q->auth->cache, r->cred, buf_str(&context), &q->key);
}

static bool query_find_cached(struct auth_query *q)
{
    struct auth *a = q->auth;
    struct auth_result r;
    if (!query_is_cacheable(q) ||
        !cache_get(a->cache, &q->key, q->ask.r.cred, loop_now_ms(a->loop), &r))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (r.source == kinds[i]->name)
            r.source = kinds[i]->cached_name;
    q->result = r;
    return true;
}

static void query_start(struct loop_deferred *d)
{
    struct auth_query *q = CONTAINER_OF(d, struct auth_query, start);
    struct str user = buf_str(&q->ask.cred.user);
    if (q->ask.cred.mech != SASL_NONE && user_name_normalise(user, q->ask.user) < 0)
        query_refuse(q, AUTH_REJECTED, "not a possible login name");
    else if (query_is_cacheable(q) && query_make_key(q) < 0)
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
    else if (query_find_cached(q))
        query_end(q);
    else
        query_ask(q, 0);
}

struct auth_query *auth_check(struct auth *a, const struct auth_request *r,
                              void (*cb)(void *arg, struct auth_result *res), void *arg)
{
    struct auth_query *q = query_new(a, r);
    if (!q)
        return NULL;
    q->cb = cb;
    q->arg = arg;
    q->start.fn = query_start;
    loop_defer(a->loop, &q->start);
    return q;
}

void auth_cancel(struct auth_query *q)
{
    if (!q)
        return;
    q->cb = NULL;
    q->keys_cb = NULL;
    const struct auth_provider_ops *asked = q->work ? q->snapshot->v[q->at]->ops : NULL;
    if (asked && asked->is_asked && asked->is_asked(q))
        return;
    struct auth *a = q->auth;
    query_detach(q);
    query_close(a, q);
}

/* ---- SCRAM keys ---- */

static void keys_start(struct loop_deferred *d)
{
    struct auth_query *q = CONTAINER_OF(d, struct auth_query, start);
    struct str user = buf_str(&q->ask.cred.user);
    const struct auth_snapshot *s = q->snapshot;
    while (q->at < s->n && !s->v[q->at]->ops->keys)
        q->at++;
    if (q->at == s->n || user_name_normalise(user, q->ask.user) < 0)
        query_keys(q, 0, NULL);
    else
        s->v[q->at]->ops->keys(s->v[q->at], q);
}

struct auth_query *auth_keys(struct auth *a, struct str user,
                             void (*cb)(void *arg, int err, const struct sasl_scram_keys *keys),
                             void *arg)
{
    struct auth_query *q = query_new(a, NULL);
    if (!q)
        return NULL;
    if (buf_append_str(&q->ask.cred.user, user) < 0) {
        query_detach(q);
        query_close(a, q);
        return NULL;
    }
    q->keys_cb = cb;
    q->arg = arg;
    q->start.fn = keys_start;
    loop_defer(a->loop, &q->start);
    return q;
}

/* ---- the cache ---- */

void auth_judged(struct auth *a, const struct credentials *cred, bool is_right)
{
    cache_judge(a->cache, cred, is_right);
}

void auth_forget(struct auth *a, const char *user)
{
    a->has_names = true;
    auth_forget_answers(a, user);
}
