/* SPDX-License-Identifier: ISC */
/* One query: a deep copy of what is asked, and the ways in which it ends. */
#include "auth/provider.h"
#include "base/cleanup.h"
#include "store/user_file.h"

/* ---- results ---- */

void auth_result_fini(struct auth_result *r)
{
    credentials_wipe(&r->backend_cred);
    free(r->master_user);
    free(r->pool);
    free(r->backend);
    free(r->server_host);
    r->master_user = r->pool = r->backend = r->server_host = NULL;
}

static bool copy_text(char **dst, const char *src)
{
    *dst = str_dup_c(src);
    return !src || *dst;
}

int auth_result_copy(struct auth_result *dst, const struct auth_result *src)
{
    struct auth_result r = *src;
    r.text = r.code = r.log_reason = NULL;
    r.backend_cred = (struct credentials){.mech = SASL_NONE};
    r.master_user = r.pool = r.backend = r.server_host = NULL;
    if (credentials_copy(&r.backend_cred, &src->backend_cred) < 0 ||
        !copy_text(&r.master_user, src->master_user) || !copy_text(&r.pool, src->pool) ||
        !copy_text(&r.backend, src->backend) || !copy_text(&r.server_host, src->server_host)) {
        auth_result_fini(&r);
        return -ERR_NOMEM;
    }
    *dst = r;
    return 0;
}

/* ---- the copy of a request ---- */

static void auth_ask_fini(struct auth_ask *a)
{
    credentials_wipe(&a->cred);
    buf_fini(&a->helo);
    buf_fini(&a->mail_from);
    buf_fini(&a->rcpt_to);
    tls_peer_cert_fini(&a->cert);
    free(a->listener);
    free(a->session_id);
    free(a->client_host);
}

static bool copy_slice(struct buf *dst, struct str *slice)
{
    if (buf_append_str(dst, *slice) < 0)
        return false;
    *slice = buf_str(dst);
    return true;
}

static bool copy_cert(struct tls_peer_cert *dst, const struct tls_peer_cert *src)
{
    return copy_text(&dst->subject, src->subject) && copy_text(&dst->issuer, src->issuer) &&
           copy_text(&dst->serial, src->serial) && copy_text(&dst->fingerprint, src->fingerprint) &&
           copy_text(&dst->pem, src->pem) && copy_text(&dst->identity, src->identity);
}

static int auth_ask_copy(struct auth_ask *a, const struct auth_request *r)
{
    a->r = *r;
    if (credentials_copy(&a->cred, r->cred) < 0 || !copy_text(&a->listener, r->listener) ||
        !copy_text(&a->session_id, r->session_id) || !copy_text(&a->client_host, r->client_host) ||
        !copy_slice(&a->helo, &a->r.helo) || !copy_slice(&a->mail_from, &a->r.mail_from) ||
        !copy_slice(&a->rcpt_to, &a->r.rcpt_to) ||
        (r->peer_cert && !copy_cert(&a->cert, r->peer_cert)))
        return -ERR_NOMEM;
    a->r.cred = &a->cred;
    a->r.listener = a->listener;
    a->r.session_id = a->session_id;
    a->r.client_host = a->client_host;
    if (r->tls) {
        a->tls = *r->tls;
        a->r.tls = &a->tls;
    }
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

struct auth_query *query_ref(struct auth_query *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

void query_unref(struct auth_query *q)
{
    if (!q || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
        return;
    auth_ask_fini(&q->ask);
    auth_result_fini(&q->result);
    explicit_bzero(q, sizeof(*q));
    free(q);
}

struct auth_query *query_new(struct auth *a, const struct auth_request *r)
{
    struct auth_query *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
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
    q->setup = auth_setup_ref(a->setup);
    list_add_tail(&a->queries, &q->link);
    return q;
}

void query_detach(struct auth_query *q)
{
    const struct auth_setup *s = q->setup;
    if (q->at < s->n && s->v[q->at]->ops->abandon)
        s->v[q->at]->ops->abandon(q);
    list_del(&q->link);
    loop_undefer(&q->start);
    q->auth = NULL;
}

/* The worker's part is over: nothing but a job may still hold the memory. */
void query_close(struct auth_query *q)
{
    struct auth_setup *s = q->setup;
    query_unref(q);
    auth_setup_unref(s);
}
