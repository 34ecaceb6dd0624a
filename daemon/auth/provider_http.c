/* SPDX-License-Identifier: ISC */
/* The provider `http`: an auth server that speaks NGINX's auth_http protocol. */
#include "auth/auth_http_reply.h"
#include "auth/auth_http_request.h"
#include "auth/provider.h"
#include "base/cleanup.h"
#include "base/zalloc.h"
#include "io/http/http.h"
#include "store/store.h"

#define WAIT_DEFAULT_MS 1000
#define WAITS_MAX 10
#define REQUEST_USUAL_BYTES 512 /* a buffer that grows moves the password about */

struct http {
    struct auth_provider base;
    struct http_client *client;
};

/* One query at the auth server: the request, and the pause before the next one. */
struct http_talk {
    struct auth_query *q;
    struct http_request *request;
    struct loop_timer pause;
    unsigned waits;
};

/* ---- answers ---- */

static bool take_text(char **dst, struct str src)
{
    *dst = src.n > 0 ? str_dup(src) : NULL;
    return src.n == 0 || *dst;
}

/* Of use for the backend: passwords and tokens of the client, and what the server sent. A digest or
 * a certificate proves nothing there. */
static int http_fill_credentials(struct auth_query *q, const struct auth_http_reply *r)
{
    struct credentials *c = &q->result.backend_cred;
    const struct credentials *asked = &q->ask.cred;
    bool has_own = sasl_is_clear_text(asked->mech);
    struct str user = buf_str(&asked->user);
    if (asked->mech == SASL_EXTERNAL && asked->authzid.len > 0)
        user = buf_str(&asked->authzid);
    c->mech = asked->mech == SASL_NONE || (has_own && !r->has_pass) ? asked->mech : SASL_PLAIN;
    int err = buf_append_str(&c->user, r->has_user ? r->user : user);
    if (err == 0 && (r->has_pass || has_own))
        err = buf_append_str(&c->secret, r->has_pass ? r->pass : buf_str(&asked->secret));
    return err;
}

static void http_accepted(struct auth_query *q, const struct auth_http_reply *r)
{
    struct auth_result *result = &q->result;
    bool has_login = q->ask.cred.mech != SASL_NONE;
    if (!take_text(&result->server_host, r->server) || !take_text(&result->pool, r->pool) ||
        !take_text(&result->backend, r->backend) || http_fill_credentials(q, r) < 0) {
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
        return;
    }
    /* Who it is: the name that the auth server gave, so that aliases of one mailbox count as one
     * user. */
    struct str name = buf_str(&result->backend_cred.user);
    int err = 0;
    if (has_login && str_eq(name, buf_str(&q->ask.cred.user)))
        (void)str_copy(result->user, sizeof(result->user), str_of(q->ask.user));
    else if (has_login || name.n > 0)
        err = user_name_normalise(name, result->user);
    if (err < 0)
        query_refuse(q, AUTH_TEMPFAIL, "the auth server sent an impossible Auth-User");
    else if (has_login && q->ask.r.is_backend_password_needed &&
             result->backend_cred.secret.len == 0)
        query_refuse(q, AUTH_TEMPFAIL, "the auth server did not send Auth-Pass");
    else {
        result->status = AUTH_OK;
        result->server_port = r->port;
        result->smtp_auth = r->smtp_auth;
        query_answer(q);
    }
}

#define SASL_ERROR_MAX 1000 /* a line of SMTP has room for more, a client's buffer may not */

/* Nonsense is left out: the mechanism's usual words are said then. */
static void http_take_sasl_error(struct auth_query *q, struct str base64)
{
    AUTO_BUF text = BUF_INIT;
    if (base64.n == 0 || str_base64_decode(base64, &text) < 0 || text.len > SASL_ERROR_MAX ||
        !str_is_utf8(buf_str(&text)) || str_has_crlf_nul(buf_str(&text)))
        return;
    free(q->result.sasl_error);
    q->result.sasl_error = str_dup(buf_str(&text)); /* NULL: as above */
}

static void on_reply(void *arg, const struct http_result *result)
{
    struct http_talk *k = arg;
    struct auth_query *q = k->q;
    struct auth_http_reply r;
    AUTO_BUF text = BUF_INIT;
    char why[QUERY_REASON_MAX];
    k->request = NULL;
    if (result->err < 0) {
        snprintf(why, sizeof(why), "auth server: %s%s%s", err_text(result->err),
                 result->error ? ": " : "", result->error ? result->error : "");
        query_refuse(q, AUTH_TEMPFAIL, why);
        return;
    }
    auth_http_reply_parse(result->headers, result->n_headers, &r);
    switch (r.verdict) {
    case AUTH_HTTP_OK:
        http_accepted(q, &r);
        break;
    case AUTH_HTTP_WAIT:
        if (!q->cb)
            query_refuse(q, AUTH_TEMPFAIL, "the client left");
        else if (k->waits++ >= WAITS_MAX)
            query_refuse(q, AUTH_TEMPFAIL, "the auth server said WAIT too often");
        else
            loop_timer_set(q->auth->loop, &k->pause, r.wait_ms ? r.wait_ms : WAIT_DEFAULT_MS);
        break;
    case AUTH_HTTP_REFUSED:
        /* The auth server's text is for the client, but nothing in it is for its terminal. */
        if (reply_append_clean(&text, r.text, REPLY_TEXT_MAX) == 0)
            query_say(q, buf_str(&text));
        (void)str_copy(q->code, sizeof(q->code), r.code);
        q->result.code = q->code[0] ? q->code : NULL;
        q->result.wait_ms = r.wait_ms;
        http_take_sasl_error(q, r.sasl_error);
        q->result.is_final = r.wait_ms == 0;
        snprintf(why, sizeof(why), "refused by the auth server%s%.200s", q->text[0] ? ": " : "",
                 q->text); /* its own words are the reason, too */
        query_refuse(q, AUTH_REJECTED, why);
        break;
    case AUTH_HTTP_NONSENSE:
        /* The status judges nobody, but it says why: a wrong address has 404, a crash 500. */
        if (result->status != 200)
            snprintf(why, sizeof(why), "%s (HTTP status %u)", r.problem, result->status);
        query_refuse(q, AUTH_TEMPFAIL, result->status != 200 ? why : r.problem);
        break;
    }
}

/* ---- requests ---- */

static int http_send(struct http_talk *k)
{
    struct auth_query *q = k->q;
    const struct http *p = CONTAINER_OF(q->snapshot->v[q->at], struct http, base);
    AUTO_SECRET_BUF fields = BUF_INIT;
    int err = buf_reserve(&fields, REQUEST_USUAL_BYTES);
    if (err == 0)
        err = auth_http_request(&q->ask.r, p->base.config, &fields);
    if (err < 0)
        return err;
    return http_get(p->client, buf_str(&fields), p->base.config->timeout_ms, on_reply, k,
                    &k->request);
}

/* Starts a request; the query ends when not even that works. */
static void http_ask(struct http_talk *k)
{
    int err = http_send(k);
    if (err < 0)
        query_refuse(k->q, AUTH_TEMPFAIL, err_text(err));
}

static void on_pause_over(struct loop_timer *t)
{
    struct http_talk *k = CONTAINER_OF(t, struct http_talk, pause);
    http_ask(k);
}

static void http_check(struct auth_provider *p, struct auth_query *q)
{
    struct http_talk *k;
    (void)p;
    if (q->ask.cred.mech != SASL_EXTERNAL && !auth_ask_is_own(&q->ask)) {
        query_refuse(q, AUTH_REJECTED, "may not act as somebody else");
        return;
    }
    if (!(k = zalloc(sizeof(*k)))) {
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
        return;
    }
    k->q = q;
    loop_timer_init(&k->pause, on_pause_over);
    q->work = k;
    http_ask(k);
}

static void http_abandon(struct auth_query *q)
{
    struct http_talk *k = q->work;
    if (!k)
        return;
    http_cancel(k->request);
    loop_timer_cancel(q->auth->loop, &k->pause);
    q->work = NULL;
    free(k);
}

/* The auth server counts attempts: it hears of the end of what it was asked, and its connection
 * serves the next request. What was not sent yet is not sent for a client that left. */
static bool http_is_asked(const struct auth_query *q)
{
    const struct http_talk *k = q->work;
    return k->request && http_is_sent(k->request);
}

/* ---- the provider ---- */

static void http_free(struct auth_provider *base)
{
    struct http *p = CONTAINER_OF(base, struct http, base);
    http_client_free(p->client);
    free(p);
}

static int http_new(struct auth *a, const struct config_auth *c, struct tls_client *tls,
                    struct auth_provider **ret)
{
    const struct http_spec spec = {
        .url = c->url, .resolver = a->resolver, .tls = tls, .max_connections = c->connections};
    struct http *p = calloc(1, sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    int err = http_client_new(a->loop, &spec, &p->client);
    if (err < 0) {
        http_free(&p->base);
        return err == -ERR_INVAL ? -ERR_CONFIG : err;
    }
    *ret = &p->base;
    return 0;
}

const struct auth_provider_ops provider_http_ops = {
    .name = "http",
    .cached_name = "http (cached)",
    .mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_CRAM_MD5) |
                  SASL_BIT(SASL_APOP) | SASL_BIT(SASL_EXTERNAL) | SASL_BIT(SASL_XOAUTH2) |
                  SASL_BIT(SASL_OAUTHBEARER),
    .new = http_new,
    .free = http_free,
    .check = http_check,
    .abandon = http_abandon,
    .is_asked = http_is_asked,
};
