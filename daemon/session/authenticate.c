/* SPDX-License-Identifier: ISC */
/* From credentials to a judged user with a destination. */
#include "session/session_priv.h"
#include "session/trace_tap.h"

/* Clients that give up later were kept waiting: mail programs do so after half a minute and more.
 */
#define AUTHENTICATE_PATIENCE_MS 10000

/* Does the backend of this login want a clear secret? Only the config can say so before the answer
 * is there. */
static bool authenticate_needs_password(const struct session *s)
{
    struct route route;
    const struct route_request q = {
        .user = s->user ? s->user : "", .proto = s->proto, .listener = s->listener->config};
    if (route_find(s->snapshot, s->env->registry, &q, &route) < 0)
        return true;
    const struct config_pool *pool = route.pool->config;
    bool is_trusted =
        pool->master_user || (s->proto->has_client_name && pool->smtp_auth == CONFIG_SMTP_AUTH_OFF);
    route_fini(&route);
    return !is_trusted;
}

static const struct authenticate_row {
    enum reply_kind reply;
    enum counter counter;
} authenticate_rows[] = {
    [AUTH_OK] = {REPLY_INTERNAL, COUNTER_AUTH_TEMPFAILS},
    [AUTH_REJECTED] = {REPLY_AUTH_FAILED, COUNTER_AUTH_FAILURES},
    [AUTH_TEMPFAIL] = {REPLY_AUTH_TEMPFAIL, COUNTER_AUTH_TEMPFAILS},
    [AUTH_LOCKED] = {REPLY_LOCKED, COUNTER_AUTH_FAILURES},
    [AUTH_LIMITED] = {REPLY_LIMIT, COUNTER_LIMITED},
};

static void authenticate_refused(struct session *s, const struct auth_result *r)
{
    const struct authenticate_row *row = &authenticate_rows[r->status];
    struct preauth_failure f = {
        .kind = row->reply, .end = SESSION_END_AUTH, .is_final = r->is_final};
    (void)str_copy(f.code, sizeof(f.code), str_of(r->code));
    (void)str_copy(f.text, sizeof(f.text), str_of(r->text));
    session_count(s, row->counter, 1);
    front_note_failure(s, row->reply, r->source, str_of(r->log_reason));
    bool is_wrong = r->status == AUTH_REJECTED;
    if (is_wrong && (front_keep_failure(s, &f) < 0 || front_challenge_error(s, r->sasl_error)))
        return;
    uint64_t least = is_wrong ? s->listener->config->timeouts.failure_delay_ms : 0;
    uint64_t delay = r->wait_ms > least ? r->wait_ms : least;
    if (is_wrong)
        front_fail_wrong(s, &f, delay);
    else
        front_fail_later(s, &f, delay);
}

void authenticate_refuse_proved(struct session *s)
{
    const struct auth_result r = {.status = s->pre->refusal,
                                  .source = s->auth_source,
                                  .text = s->pre->refusal_text,
                                  .log_reason = auth_refusal_reason(s->pre->refusal)};
    authenticate_refused(s, &r);
}

/* The answer's pins lead to a route at once: its strings live only now. */
static int authenticate_route(struct session *s, const struct auth_result *r)
{
    const struct route_request q = {.user = r->user,
                                    .proto = s->proto,
                                    .listener = s->listener->config,
                                    .server_host = r->server_host,
                                    .server_port = r->server_port,
                                    .pool = r->pool,
                                    .backend = r->backend};
    places_leave(&s->pre->wait);
    route_fini(&s->pre->route);
    pools_unref(STEAL(s->pre->pools));
    int err = route_find(s->snapshot, s->env->registry, &q, &s->pre->route);
    if (err == 0)
        s->route_reason = s->pre->route.reason;
    return err;
}

static int authenticate_take(struct session *s, struct auth_result *r)
{
    struct preauth *p = s->pre;
    free(s->user);
    s->user = str_dup_c(r->user);
    s->auth_source = r->source;
    credentials_wipe(&p->backend_cred);
    p->backend_cred = r->backend_cred;
    r->backend_cred = (struct credentials){.mech = SASL_NONE};
    free(p->master_user);
    p->master_user = STEAL(r->master_user);
    p->smtp_auth = r->smtp_auth;
    p->max_sessions = r->max_sessions;
    p->is_user_held = r->is_held;
    p->is_backend_judge = r->is_backend_judge;
    p->refusal = r->refusal;
    free(p->refusal_text);
    p->refusal_text = r->refusal != AUTH_OK ? str_dup_c(r->text) : NULL;
    if (s->tap)
        trace_match_user(s);
    return s->user ? 0 : -ERR_NOMEM;
}

/* A pin or an answer that leads to nothing. */
static void authenticate_note_nowhere(struct session *s, const struct auth_result *r, int err)
{
    const char *what = r->backend       ? "backend "
                       : r->pool        ? "pool "
                       : r->server_host ? "server "
                                        : "";
    const char *name = r->backend       ? r->backend
                       : r->pool        ? r->pool
                       : r->server_host ? r->server_host
                                        : "there is no pool";
    AUTO_FREE char *why = *what ? str_printf("%s%s: %s", what, name, err_text(err)) : NULL;
    front_note_failure(s, REPLY_BACKEND_DOWN, "proxy", str_of(why ? why : name));
}

static void authenticate_admit(struct session *s)
{
    const struct session_hooks *h = &s->env->hooks;
    struct session_verdict v;
    v.is_refused = v.is_counted = false;
    if (h->admit)
        h->admit(h->arg, s, &v);
    s->is_user_counted = v.is_counted;
    if (!v.is_refused) {
        connect_begin(s);
        return;
    }
    session_count(s, COUNTER_LIMITED, 1);
    front_note_failure(s, v.kind, "limits", str_of(v.text));
    front_fail(s, v.kind, NULL, v.text[0] ? v.text : NULL);
}

static void on_auth(void *arg, struct auth_result *r)
{
    struct session *s = arg;
    s->pre->query = NULL;
    s->provider = (uint8_t)r->provider;
    if (r->status != AUTH_OK) {
        authenticate_refused(s, r);
        return;
    }
    int err = authenticate_take(s, r);
    if (err == 0)
        err = authenticate_route(s, r);
    if (err < 0) {
        session_count(s, COUNTER_AUTH_TEMPFAILS, 1);
        authenticate_note_nowhere(s, r, err);
        front_fail(s, REPLY_BACKEND_DOWN, NULL, NULL);
        return;
    }
    if (hold_state_of(s) == HOLD_ON)
        s->pre->is_user_held = true;
    if (s->pre->is_user_held) { /* judged again after the hold, and admitted then */
        connect_begin(s);
        return;
    }
    authenticate_admit(s);
}

static void authenticate_ask(struct session *s)
{
    struct preauth *p = s->pre;
    struct tls_info info;
    CLEANUP(tls_peer_cert_fini) struct tls_peer_cert cert = {0};
    const struct config_listener *l = s->listener->config;
    bool has_tls = conn_tls_info(&s->client, &info);
    bool has_cert = has_tls && l->tls_config.client_auth != TLS_CLIENT_AUTH_OFF &&
                    conn_peer_cert(&s->client, &cert) == 0;
    struct auth_request q = {
        .cred = p->cred,
        .proto = s->proto,
        .listener = l->name,
        .attempt = s->attempts,
        .client = s->peer,
        .client_host = p->client_host,
        .has_proxy_header = p->has_proxy,
        .proxy_src = p->proxy.src,
        .proxy_dst = p->proxy.dst,
        .helo = buf_str(&p->front->helo),
        .mail_from = buf_str(&p->front->mail_from),
        .rcpt_to = buf_str(&p->front->rcpt_to),
        .tls = has_tls ? &info : NULL,
        .client_auth = l->tls_config.client_auth,
        .peer_cert = has_cert ? &cert : NULL,
        .is_backend_password_needed = authenticate_needs_password(s),
    };
    p->judged = hold_count(s->env);
    p->query = auth_check(s->env->auth, &q, on_auth, s);
    if (!p->query) {
        front_note_failure(s, REPLY_INTERNAL, "proxy", str_of(err_text(ERR_NOMEM)));
        front_fail(s, REPLY_INTERNAL, NULL, NULL);
    }
}

void authenticate_client_left(struct session *s)
{
    const struct preauth *p = s->pre;
    const struct session_hooks *h = &s->env->hooks;
    bool is_open = p->query || p->lookup || (p->login && p->is_backend_judge);
    if (!is_open || !p->cred || p->cred->mech == SASL_NONE)
        return;
    bool is_guess = loop_now_us(s->env->loop) - p->login_us <= AUTHENTICATE_PATIENCE_MS * 1000;
    front_note_failure(s, is_guess ? REPLY_AUTH_FAILED : REPLY_TIMEOUT, "proxy",
                       STR("the client left before the answer"));
    if (!is_guess)
        return;
    session_count(s, COUNTER_AUTH_FAILURES, 1);
    struct session_verdict unused;
    if (h->fail)
        h->fail(h->arg, s, 0, 0, &unused);
}

static void on_client_name(void *arg, int err, const char *name)
{
    struct session *s = arg;
    s->pre->lookup = NULL;
    s->pre->client_host = str_dup_c(err == 0                ? name
                                    : err == -ERR_NOT_FOUND ? "[UNAVAILABLE]"
                                                            : "[TEMPUNAVAIL]");
    authenticate_ask(s);
}

void authenticate(struct session *s, struct credentials *cred)
{
    struct preauth *p = s->pre;
    p->cred = cred;
    s->mech = (uint8_t)cred->mech;
    s->is_login_command = cred == &p->front->cred;
    s->auth_source = NULL;
    free(s->user); /* of an earlier try */
    s->user = NULL;
    if (s->tap)
        trace_match_user(s);
    if (s->attempts < UINT8_MAX)
        s->attempts++;
    p->login_us = loop_now_us(s->env->loop);
    p->held_until_ms = 0;
    session_enter(s, SESSION_AUTH);
    if (s->is_ended)
        return;
    const struct config_resolver *names = &s->listener->config->resolver;
    if (s->proto->has_client_name && names->is_on && !p->client_host) {
        struct resolver *resolver;
        const struct resolver_spec spec = config_resolver_spec(names);
        int err = resolver_set_get(s->env->resolvers, &spec, &resolver);
        if (err == 0)
            s->pre->lookup = resolver_reverse(resolver, &s->peer, on_client_name, s);
        if (!s->pre->lookup)
            s->pre->client_host = str_dup_c("[TEMPUNAVAIL]");
    }
    if (!p->lookup)
        authenticate_ask(s);
}

void authenticate_again(struct session *s)
{
    session_release_user(s);
    session_enter(s, SESSION_AUTH);
    if (!s->is_ended)
        authenticate_ask(s);
}
