/* SPDX-License-Identifier: ISC */
/* One query: a deep copy of what is asked, its way through the providers, and the ways in which it
 * ends. */
#include "auth/provider.h"
#include "base/cleanup.h"
#include "store/store.h"

/* ---- the copy of a request ---- */

static bool copy_slice(struct buf *dst, struct str *slice)
{
    if (buf_append_str(dst, *slice) < 0)
        return false;
    *slice = buf_str(dst);
    return true;
}

static bool copy_cert(struct tls_peer_cert *dst, const struct tls_peer_cert *src)
{
    return auth_copy_text(&dst->subject, src->subject) &&
           auth_copy_text(&dst->issuer, src->issuer) && auth_copy_text(&dst->serial, src->serial) &&
           auth_copy_text(&dst->fingerprint, src->fingerprint) &&
           auth_copy_text(&dst->pem, src->pem) && auth_copy_text(&dst->identity, src->identity);
}

static int auth_ask_copy(struct auth_ask *a, const struct auth_request *r)
{
    a->r = *r;
    if (credentials_copy(&a->cred, r->cred) < 0 || !auth_copy_text(&a->listener, r->listener) ||
        !auth_copy_text(&a->client_host, r->client_host) || !copy_slice(&a->helo, &a->r.helo) ||
        !copy_slice(&a->mail_from, &a->r.mail_from) || !copy_slice(&a->rcpt_to, &a->r.rcpt_to) ||
        (r->tls && !(a->tls = malloc(sizeof(*a->tls)))) ||
        (r->peer_cert && !copy_cert(&a->cert, r->peer_cert)))
        return -ERR_NOMEM;
    a->r.cred = &a->cred;
    a->r.listener = a->listener;
    a->r.client_host = a->client_host;
    if (r->tls)
        *a->tls = *r->tls;
    a->r.tls = a->tls;
    if (r->peer_cert)
        a->r.peer_cert = &a->cert;
    return 0;
}

bool auth_ask_is_own(const struct auth_ask *a)
{
    char name[256];
    struct str authzid = buf_str(&a->cred.authzid);
    return authzid.n == 0 ||
           (user_name_normalise(authzid, name) == 0 && strcmp(name, a->user) == 0);
}

/* ---- life ---- */

void auth_snapshot_unref(struct auth_snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->n; i++)
        s->v[i]->ops->free(s->v[i]);
    config_unref(s->config);
    free(s);
}

struct auth_query *query_ref(struct auth_query *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

/* True when it was the last reference: what the query held is freed, and it is wiped. */
static bool query_leave(struct auth_query *q)
{
    if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
        return false;
    struct auth_ask *a = &q->ask;
    credentials_wipe(&a->cred);
    buf_fini(&a->helo);
    buf_fini(&a->mail_from);
    buf_fini(&a->rcpt_to);
    tls_peer_cert_fini(&a->cert);
    free(a->listener);
    free(a->client_host);
    free(a->tls);
    auth_result_fini(&q->result);
    store_user_fini(&q->login);
    explicit_bzero(q, offsetof(struct auth_query, text));
    return true;
}

void query_unref(struct auth_query *q)
{
    if (q && query_leave(q))
        free(q);
}

/* Which providers judge clients of a listener: none where a reload has taken it away since they
 * came, for nobody knows which ones it would have now. */
struct auth_query *query_new(struct auth *a, const struct auth_request *r)
{
    struct auth_query *q = free_list_take(&a->free_queries);
    if (!q)
        return NULL;
    memset(q, 0, offsetof(struct auth_query, text));
    q->text[0] = q->code[0] = q->reason[0] = '\0';
    atomic_init(&q->refs, 1);
    list_init(&q->link);
    list_init(&q->start.link);
    q->ask.cred.mech = q->result.backend_cred.mech = SASL_NONE;
    q->result.smtp_auth = -1;
    if (r && auth_ask_copy(&q->ask, r) < 0) {
        query_unref(q);
        return NULL;
    }
    q->auth = a;
    q->generation = a->generation;
    q->snapshot = a->snapshot;
    q->snapshot->refs++;
    /* No configuration yet; keys of a user, whoever asks for them: all. */
    q->providers = UINT64_MAX;
    if (a->snapshot->config && q->ask.listener) {
        const struct config_listener *l =
            config_listener_find(a->snapshot->config, q->ask.listener);
        q->providers = l ? l->provider_mask : 0;
    }
    list_add_tail(&a->queries, &q->link);
    return q;
}

void query_detach(struct auth_query *q)
{
    const struct auth_snapshot *s = q->snapshot;
    if (q->at < s->n && s->v[q->at]->ops->abandon)
        s->v[q->at]->ops->abandon(q);
    if (q->abandon_names)
        q->abandon_names(q);
    list_del(&q->link);
    loop_undefer(&q->start);
    q->auth = NULL;
}

/* The worker's part is over: nothing but a job may still hold the memory. */
void query_close(struct auth *a, struct auth_query *q)
{
    struct auth_snapshot *s = q->snapshot;
    if (query_leave(q))
        free_list_give(&a->free_queries, q);
    auth_snapshot_unref(s);
}

/* ---- the way through the providers ---- */

/* On whose account a hash is computed: the client's address, an IPv6 one for its /64. Behind a
 * trusted address (webmail, a UNIX socket) are many people: each user name there is a source. */
uint64_t query_source(const struct auth_query *q)
{
    const struct auth_ask *a = &q->ask;
    const struct config *c = q->snapshot->config;
    struct addr key = addr_limit_key(&a->r.client);
    char name[sizeof(key.ip) + sizeof(a->user)];
    size_t n = sizeof(key.ip);
    memcpy(name, key.ip, sizeof(key.ip));
    if (c && config_limits_trust(&c->limits, &a->r.client)) {
        size_t n_user = strlen(a->user);
        memcpy(name + n, a->user, n_user);
        n += n_user;
    }
    return jobs_source(q->auth->jobs, str_n(name, n));
}

void query_end(struct auth_query *q)
{
    struct auth *a = q->auth;
    query_detach(q);
    q->result.provider = (unsigned)q->at;
    if (q->cb)
        q->cb(q->arg, &q->result);
    query_close(a, q);
}

bool query_is_cacheable(const struct auth_query *q)
{
    return q->snapshot->has_cache && sasl_is_clear_text(q->ask.cred.mech) &&
           q->ask.cred.secret.len > 0;
}

void query_finish(struct auth_query *q)
{
    struct auth *a = q->auth;
    struct auth_result *r = &q->result;
    uint64_t ttl_ms = q->snapshot->v[q->at]->config->cache_ms;
    /* Looked up before cached answers were forgotten: it may be one of those. */
    bool is_stale = q->generation != a->generation;
    bool is_free = r->status == AUTH_OK && r->refusal == AUTH_OK && !r->is_held;
    if (is_free && ttl_ms > 0 && !is_stale && query_is_cacheable(q))
        cache_put(a->cache, &q->key, &q->ask.cred, r, !r->is_backend_judge, loop_now_ms(a->loop),
                  ttl_ms);
    query_end(q);
}

void query_refuse(struct auth_query *q, enum auth_status status, const char *reason)
{
    char *sasl_error = STEAL(q->result.sasl_error); /* it stays, as the words and the code do */
    auth_result_fini(&q->result);
    q->result.sasl_error = sasl_error;
    q->result.status = status;
    (void)str_copy(q->reason, sizeof(q->reason), str_of(reason));
    q->result.log_reason = q->reason;
    if (q->at < q->snapshot->n)
        q->result.source = q->snapshot->v[q->at]->ops->name;
    query_end(q);
}

void query_say(struct auth_query *q, struct str text)
{
    (void)str_copy(q->text, sizeof(q->text), text);
    q->result.text = q->text[0] ? q->text : NULL;
}

/* Index of the first provider from i on that may judge the query; the number of them when none. */
static size_t query_find(const struct auth_query *q, size_t i)
{
    const struct auth_snapshot *s = q->snapshot;
    enum sasl_mech mech = q->ask.cred.mech;
    for (; i < s->n; i++) {
        const struct auth_provider_ops *ops = s->v[i]->ops;
        bool can_judge =
            mech == SASL_NONE || ops->is_always_asked || ops->mechanisms & SASL_BIT(mech);
        if (can_judge && q->providers >> i & 1)
            break;
    }
    return i;
}

bool query_is_last(const struct auth_query *q)
{
    return query_find(q, q->at + 1) == q->snapshot->n;
}

/* Mail without a login needs no provider but the listener's consent: the routes say where it goes.
 */
void query_ask(struct auth_query *q, size_t from)
{
    const struct auth_snapshot *s = q->snapshot;
    q->at = query_find(q, from);
    if (q->at < s->n) {
        s->v[q->at]->ops->check(s->v[q->at], q);
    } else if (s->n == 0) {
        query_refuse(q, AUTH_TEMPFAIL, "no provider is configured");
    } else if (q->providers == 0) {
        query_refuse(q, AUTH_TEMPFAIL, "its listener is gone");
    } else if (q->ask.cred.mech != SASL_NONE) {
        query_refuse(q, AUTH_REJECTED, "no provider knows the user");
    } else {
        q->result.status = AUTH_OK;
        q->result.source = "none";
        query_end(q);
    }
}

void query_pass(struct auth_query *q)
{
    query_ask(q, q->at + 1);
}

void query_keys(struct auth_query *q, int err, const struct sasl_scram_keys *keys)
{
    struct auth *a = q->auth;
    query_detach(q);
    if (q->keys_cb)
        q->keys_cb(q->arg, err, keys);
    query_close(a, q);
}
