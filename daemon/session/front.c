/* SPDX-License-Identifier: ISC */
/* The client's side before its login: PROXY header, TLS, greeting and commands. */
#include "base/clock.h"
#include "base/hash.h"
#include "session/capabilities.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

#define FRONT_READ_BYTES 16384 /* enough for any command; more comes with the next turn */
/* No command is understood while this much of the answers to earlier ones is unsent: a client that
 * asks and never reads waits for itself. */
#define FRONT_UNSENT_MAX 4096
#define FRONT_KEPT_BYTES 512 /* of input buffers, between two commands */
#define FRONT_COMMANDS 32    /* understood in one visit; the others have their turn then */

static const struct conn_ops front_ops;

/* ---- environment ---- */

static enum front_tls front_tls_mode(const struct session *s)
{
    if (s->client.tls)
        return FRONT_TLS_ACTIVE;
    switch (s->listener->config->tls) {
    case LISTENER_TLS_STARTTLS:
        return FRONT_TLS_OFFERED;
    case LISTENER_TLS_REQUIRED:
        return FRONT_TLS_REQUIRED;
    default:
        return FRONT_TLS_NONE;
    }
}

/* Clear-text secrets wait for TLS unless the operator allows them; EXTERNAL needs a certificate,
 * -PLUS a channel. */
static void front_set_mechanisms(struct session *s)
{
    struct preauth *p = s->pre;
    unsigned mask = s->listener->mechanisms;
    bool is_clear_allowed = s->client.tls || s->listener->config->allow_plaintext;
    p->front_env.is_clear_text_refused = false;
    for (unsigned m = 0; m < SASL_MECH_COUNT; m++)
        if (!is_clear_allowed && (mask & SASL_BIT(m)) && sasl_is_clear_text(m)) {
            mask &= ~SASL_BIT(m);
            p->front_env.is_clear_text_refused = true;
        }
    if (!is_clear_allowed && (mask & SASL_BIT_COMMAND)) {
        mask &= ~SASL_BIT_COMMAND;
        p->front_env.is_clear_text_refused = true;
    }
    if (!p->identity && !s->listener->config->is_external_any)
        mask &= ~SASL_BIT(SASL_EXTERNAL);
    if (p->channel_binding.len == 0)
        mask &= ~SASL_BIT(SASL_SCRAM_SHA_256_PLUS);
    if (p->front_env.tls == FRONT_TLS_REQUIRED)
        mask = 0;
    p->front_env.mechanisms = mask;
    p->front_env.hidden = ~s->listener->config->mechanisms;
}

static int front_make(struct session *s)
{
    struct preauth *p = s->pre;
    const struct config_listener *l = s->listener->config;
    if (s->listener->mechanisms &
        SASL_BIT(SASL_APOP)) { /* and of CRAM-MD5: a message id, RFC 1939 section 7 */
        uint64_t random;
        hash_random(&random, sizeof(random));
        snprintf(p->apop_salt, sizeof(p->apop_salt), "<%llu.%llu@%.48s>",
                 (unsigned long long)random, (unsigned long long)clock_wall_ms() / 1000,
                 l->server_name);
    }
    p->capabilities = capabilities_get(&s->env->capabilities, s->snapshot,
                                       (unsigned)(s->listener - s->snapshot->listeners),
                                       loop_now_ms(s->env->loop));
    p->front_env = (struct front_env){
        .server_name = l->server_name,
        .greeting = l->greeting,
        .capabilities = l->capabilities.v ? l->capabilities.v
                        : p->capabilities ? p->capabilities->v
                                          : NULL,
        .memos = p->capabilities ? p->capabilities->memos : NULL,
        .tls = front_tls_mode(s),
        .is_auth_optional = l->is_auth_optional,
        .max_line_bytes = l->limits.line_bytes,
        .max_literal_bytes = l->limits.literal_bytes,
        .apop_salt = p->apop_salt[0] ? p->apop_salt : NULL,
    };
    front_set_mechanisms(s);
    p->front = s->proto->front_new(&p->front_env);
    return p->front ? 0 : -ERR_NOMEM;
}

/* ---- TLS towards the client ---- */

static void front_secure(struct session *s)
{
    session_enter(s, SESSION_TLS);
    if (s->is_ended)
        return;
    if (conn_secure_server(&s->client, s->listener->tls, s->proto->alpn) < 0)
        session_end(s, SESSION_END_TLS_FAILED);
}

/* After NGINX: a certificate that does not verify, or a required one that is missing, is answered
 * in the protocol, not by an alert. */
static bool front_check_certificate(struct session *s, const struct tls_info *info)
{
    enum tls_client_auth mode = s->listener->config->tls_config.client_auth;
    if (mode == TLS_CLIENT_AUTH_OFF)
        return true;
    bool is_tolerated = mode == TLS_CLIENT_AUTH_OPTIONAL_NO_CA && info->is_only_untrusted;
    if (info->verify == TLS_VERIFY_FAILED && !is_tolerated) {
        if (session_may_log(s, LOG_LEVEL_NOTICE, false))
            SESSION_LOG(s, LOG_LEVEL_NOTICE, "client-certificate",
                        KV_STR("session", s->pre->session_id), KV_STR("error", info->verify_error));
        session_leave(s, REPLY_BAD_CERTIFICATE, NULL, SESSION_END_TLS_FAILED);
        return false;
    }
    if (info->verify == TLS_VERIFY_NONE && mode == TLS_CLIENT_AUTH_REQUIRED) {
        session_leave(s, REPLY_NO_CERTIFICATE, NULL, SESSION_END_TLS_FAILED);
        return false;
    }
    return true;
}

/* What SASL may use of the channel: the certificate's name and the binding. */
static void front_learn_channel(struct session *s, const struct tls_info *info)
{
    struct tls_peer_cert cert = {0};
    struct preauth *p = s->pre;
    free(p->identity);
    p->identity = NULL;
    if (info->verify == TLS_VERIFY_SUCCESS && conn_peer_cert(&s->client, &cert) == 0) {
        p->identity = STEAL(cert.identity);
        tls_peer_cert_fini(&cert);
    }
    buf_clear(&p->channel_binding);
    if ((s->listener->mechanisms & SASL_BIT(SASL_SCRAM_SHA_256_PLUS)) &&
        conn_channel_binding(&s->client, &p->channel_binding, &p->sasl_env.cb_name) < 0)
        buf_clear(&p->channel_binding);
}

static void front_secured(struct conn *c, int err)
{
    struct session *s = c->owner;
    struct tls_info info;
    session_count(s, err == 0 ? COUNTER_TLS_HANDSHAKES : COUNTER_TLS_FAILURES, 1);
    if (err < 0 || !conn_tls_info(c, &info)) {
        if (s->tap)
            trace_tap_note(s, "TLS with the client failed: %s",
                           conn_tls_error(c) ? conn_tls_error(c) : err_text(err));
        if (session_may_log(s, LOG_LEVEL_INFO, false))
            SESSION_LOG(s, LOG_LEVEL_INFO, "tls-failed", KV_STR("session", s->pre->session_id),
                        KV_ADDR("client", &s->peer), KV_ERR("error", err),
                        KV_STR("detail", conn_tls_error(c)));
        session_end(s, SESSION_END_TLS_FAILED);
        return;
    }
    if (info.is_resumed)
        session_count(s, COUNTER_TLS_RESUMED, 1);
    (void)str_copy(s->client_tls, sizeof(s->client_tls), str_of(info.version));
    if (s->tap)
        trace_tap_note(s, "%s with the client", info.version);
    if (!front_check_certificate(s, &info))
        return;
    front_learn_channel(s, &info);
    conn_want_read(&s->client, true);
    if (!s->pre->front) {
        front_greet(s);
        return;
    }
    AUTO_BUF reply = BUF_INIT;
    s->pre->front_env.tls = FRONT_TLS_ACTIVE;
    front_set_mechanisms(s);
    session_enter(s, SESSION_COMMAND);
    if (s->is_ended || s->proto->tls_started(s->pre->front, &reply) < 0)
        session_end(s, SESSION_END_NOMEM);
    else if (session_send(s, &reply) == 0)
        front_pump(s);
}

/* STARTTLS: the go-ahead must be out in clear before the first byte of TLS, and whatever the client
 * sent too early is dropped (CVE-2011-0411). */
static void front_starttls(struct session *s)
{
    if (s->tap)
        trace_tap_input_dropped(s);
    buf_wipe(&s->pre->in);
    if (conn_pending(&s->client) > 0) {
        s->pre->is_starttls = true;
        conn_want_read(&s->client, false);
        return;
    }
    s->pre->is_starttls = false;
    front_secure(s);
}

/* Whatever was not understood for want of room goes on now. */
static void front_drained(struct conn *c)
{
    struct session *s = c->owner;
    if (s->pre && s->pre->is_starttls)
        front_starttls(s);
    else
        front_pump(s);
}

/* ---- greeting ---- */

void front_greet(struct session *s)
{
    AUTO_BUF reply = BUF_INIT;
    uint64_t delay = s->listener->config->greeting_delay_ms;
    if (s->state != SESSION_GREETING) {
        session_enter(s, SESSION_GREETING);
        if (s->is_ended)
            return;
        conn_want_read(&s->client, true);
        if (delay > 0) {
            session_set_timer(s, delay);
            return;
        }
    }
    if (front_make(s) < 0 || s->proto->greet(s->pre->front, &reply) < 0) {
        session_end(s, SESSION_END_NOMEM);
        return;
    }
    session_enter(s, SESSION_COMMAND);
    if (!s->is_ended && session_send(s, &reply) == 0)
        front_pump(s);
}

void front_open(struct session *s)
{
    if (s->listener->config->tls == LISTENER_TLS_IMPLICIT)
        front_secure(s);
    else
        front_greet(s);
}

void front_begin(struct session *s)
{
    conn_own(&s->client, &front_ops, s);
    if (!snapshot_listener_wants_proxy(s->listener, &s->peer)) {
        if (s->env->traces)
            trace_match_address(s);
        front_open(s);
        return;
    }
    session_enter(s, SESSION_PROXY_HEADER);
    conn_want_read(&s->client, true);
}

/* ---- PROXY header: looked at without taking it, so that TLS finds its first byte where it expects
 * it ---- */

static void front_set_lowat(struct session *s, int bytes)
{
    (void)setsockopt(s->client.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void front_bad_proxy_header(struct session *s, const char *why)
{
    if (session_may_log(s, LOG_LEVEL_NOTICE, false))
        SESSION_LOG(s, LOG_LEVEL_NOTICE, "bad-proxy-header", KV_STR("session", s->pre->session_id),
                    KV_ADDR("client", &s->peer), KV_STR("error", why));
    session_end(s, SESSION_END_PROXY_HEADER);
}

/* The load balancer's own checks are no clients: nothing is counted for them. */
static void front_admit(struct session *s, struct str header)
{
    struct preauth *p = s->pre;
    const struct session_hooks *h = &s->env->hooks;
    bool is_trusted = snapshot_listener_trusts_proxy(s->listener, &s->peer);
    if (p->has_proxy && is_trusted)
        s->peer = p->proxy.src;
    if (s->env->traces)
        trace_match_address(s);
    if (s->tap)
        trace_tap_proxy_header(s, header);
    struct session_verdict v = {0};
    if ((p->has_proxy || !is_trusted) && h->admit_client)
        h->admit_client(h->arg, s, &v);
    s->is_client_counted = v.is_counted;
    if (v.is_refused) {
        /* A client behind a load balancer: with TLS from the first byte nothing can be said to it.
         */
        AUTO_BUF words = BUF_INIT;
        session_count(s, COUNTER_LIMITED, 1);
        if (s->listener->config->tls == LISTENER_TLS_IMPLICIT ||
            s->proto->farewell(v.kind, v.text[0] ? v.text : NULL, &words) < 0)
            session_end(s, SESSION_END_LIMIT);
        else if (session_send(s, &words) == 0)
            session_linger(s, SESSION_END_LIMIT);
    } else {
        front_open(s);
    }
}

static void front_proxy_header(struct session *s)
{
    char bytes[PROXYHDR_MAX];
    struct preauth *p = s->pre;
    size_t used, n;
    ssize_t seen = recv(s->client.fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (seen <= 0 || (size_t)seen == p->peeked) {
        front_bad_proxy_header(s, "connection closed");
        return;
    }
    int err = proxyhdr_parse(str_n(bytes, (size_t)seen), &p->proxy, &used);
    if (err == -ERR_AGAIN) {
        /* The socket stays readable: ask to be woken for more than this. */
        p->peeked = (size_t)seen;
        front_set_lowat(s, (int)seen + 1);
        return;
    }
    if (err < 0 || conn_read(&s->client, bytes, used, &n) < 0 || n != used) {
        front_bad_proxy_header(s, err_text(err < 0 ? err : -ERR_IO));
        return;
    }
    front_set_lowat(s, 1);
    p->has_proxy = !p->proxy.is_local;
    conn_want_read(&s->client, false);
    front_admit(s, str_n(bytes, used));
}

/* ---- commands ---- */

/* What follows from one command; the reply is sent already. */
static void front_act(struct session *s, enum proto_intent intent)
{
    switch (intent) {
    case PROTO_NEED_MORE:
        break;
    case PROTO_REPLIED:
        session_enter(s, SESSION_COMMAND);
        break;
    case PROTO_STARTTLS:
        front_starttls(s);
        break;
    case PROTO_AUTH_BEGIN:
        sasl_begin(s);
        break;
    case PROTO_AUTH_DATA:
        sasl_data(s);
        break;
    case PROTO_AUTH_ABORT:
        sasl_broken(s, REPLY_AUTH_CANCELLED);
        break;
    case PROTO_AUTH_BAD:
        sasl_broken(s, REPLY_AUTH_BAD_RESPONSE);
        break;
    case PROTO_READY:
        authenticate(s, &s->pre->front->cred);
        break;
    case PROTO_ROUTE: /* SMTP without authentication */
        credentials_wipe(&s->pre->front->cred);
        authenticate(s, &s->pre->front->cred);
        break;
    case PROTO_QUIT:
        session_linger(s, SESSION_END_CLIENT_QUIT);
        break;
    case PROTO_BAD:
        session_count(s, COUNTER_BAD_COMMANDS, 1);
        session_enter(s, s->state == SESSION_SASL ? SESSION_SASL : SESSION_COMMAND);
        if (!s->is_ended)
            (void)front_has_failed_enough(s, SESSION_END_TOO_MANY_BAD);
        break;
    case PROTO_REFUSED:
        front_refused(s);
        break;
    case PROTO_FATAL:
        session_count(s, COUNTER_BAD_COMMANDS, 1);
        session_linger(s, SESSION_END_PROTOCOL);
        break;
    }
}

static bool front_is_listening(const struct session *s)
{
    return !s->is_ended && s->pre && s->pre->front && !s->pre->is_starttls &&
           (s->state == SESSION_COMMAND || s->state == SESSION_SASL) && !s->pre->query;
}

static bool front_has_room(const struct session *s)
{
    return conn_pending(&s->client) < FRONT_UNSENT_MAX;
}

/* Input and unsent answers count together against limits.preauth. */
static bool front_may_read(const struct session *s)
{
    return front_has_room(s) && !s->pre->is_behind &&
           s->pre->in.len + conn_pending(&s->client) < s->snapshot->config->limits.preauth_bytes;
}

/* One command; false when there is none complete. */
static bool front_step(struct session *s)
{
    AUTO_BUF reply = BUF_INIT;
    struct preauth *p = s->pre;
    size_t used = 0;
    if (s->tap)
        trace_tap_before_feed(s);
    enum proto_intent intent = s->proto->feed(p->front, buf_str(&p->in), &used, &reply);
    if (s->tap)
        trace_tap_after_feed(s, used);
    buf_consume(&p->in, used);
    if (p->in.len > 0) /* the answers to all that came at once leave together */
        conn_cork(&s->client);
    /* Who says so much and does not log in is after something else. */
    unsigned max = s->listener->config->max_commands;
    if (intent != PROTO_NEED_MORE && ++p->commands > max && max > 0) {
        session_leave(s, REPLY_TOO_MANY_BAD, "Too many commands.", SESSION_END_TOO_MANY_BAD);
        return false;
    }
    if (reply.len > 0 && session_send(s, &reply) < 0)
        return false;
    front_act(s, intent);
    return intent != PROTO_NEED_MORE;
}

/* Gathered answers leave as soon as they are many; false when the client does not take them. */
static bool front_flush(struct session *s)
{
    if (front_has_room(s))
        return true;
    if (conn_uncork(&s->client) < 0) {
        session_end(s, SESSION_END_CLIENT_ERROR);
        return false;
    }
    conn_cork(&s->client);
    return front_has_room(s);
}

/* Goes through what is there, as far as one visit may; false when that was not all of it. */
static bool front_steps(struct session *s)
{
    for (int i = 0; i < FRONT_COMMANDS; i++)
        if (!front_is_listening(s) || s->pre->in.len == 0 || !front_flush(s) || !front_step(s))
            return true;
    return s->is_ended || !s->pre || s->pre->in.len == 0;
}

/* What was understood may be a secret. A usual buffer stays for the next command. */
static void front_forget_input(struct buf *in)
{
    if (in->cap > FRONT_KEPT_BYTES) {
        buf_wipe(in);
    } else if (in->data) {
        explicit_bzero(in->data, in->cap);
        buf_clear(in);
    }
}

/* Answers can end a wait at once and come back here: the outer call goes on then. */
void front_pump(struct session *s)
{
    if (s->is_ended || !s->pre || s->pre->is_pumping)
        return;
    s->pre->is_pumping = true;
    bool is_done = front_steps(s);
    if (!s->is_ended && s->client.is_corked && conn_uncork(&s->client) < 0)
        session_end(s, SESSION_END_CLIENT_ERROR);
    if (s->is_ended || !s->pre)
        return;
    s->pre->is_pumping = false;
    s->pre->is_behind = !is_done;
    if (!is_done)
        conn_read_again(&s->client);
    if (s->pre->is_starttls) {
        front_starttls(s);
        return;
    }
    if (s->pre->in.len == 0)
        front_forget_input(&s->pre->in);
    if (s->pre->is_client_eof && front_is_listening(s) && front_has_room(s) && is_done)
        session_end(s, SESSION_END_CLIENT_CLOSED);
    else
        conn_want_read(&s->client, front_may_read(s));
}

/* While nothing may be said to it, a client that goes away takes its login along; one that sent
 * more before it went is served to the end. */
static void front_eof(struct session *s, int err)
{
    struct preauth *p = s->pre;
    p->is_client_eof = s->is_client_eof = true;
    conn_want_read(&s->client, false);
    bool is_over = err != -ERR_EOF || p->in.len == 0 || front_is_listening(s);
    if (!is_over)
        return;
    authenticate_client_left(s);
    session_end(s, err == -ERR_TLS_FLOOD ? SESSION_END_TLS_FLOOD
                   : err != -ERR_EOF     ? SESSION_END_CLIENT_ERROR
                                         : SESSION_END_CLIENT_CLOSED);
}

static void front_readable(struct conn *c)
{
    struct session *s = c->owner;
    struct preauth *p = s->pre;
    size_t n;
    if (s->state == SESSION_PROXY_HEADER) {
        front_proxy_header(s);
        return;
    }
    if (p->is_behind) {
        front_pump(s);
        return;
    }
    if (!front_may_read(s)) {
        conn_want_read(c, false);
        return;
    }
    int err = conn_read(c, loop_scratch(s->env->loop), FRONT_READ_BYTES, &n);
    if (err == -ERR_AGAIN)
        return;
    if (err < 0) {
        front_eof(s, err);
        return;
    }
    s->active_ms = loop_now_ms(s->env->loop);
    err = buf_append(&p->in, loop_scratch(s->env->loop), n);
    explicit_bzero(loop_scratch(s->env->loop), n);
    if (err < 0)
        session_end(s, SESSION_END_NOMEM);
    else if (s->state == SESSION_GREETING) {
        session_count(s, COUNTER_BAD_COMMANDS, 1);
        session_leave(s, REPLY_PROTOCOL_MISUSE, "Client spoke before the greeting.",
                      SESSION_END_PROTOCOL);
    } else
        front_pump(s);
}

static const struct conn_ops front_ops = {
    .secured = front_secured, .readable = front_readable, .drained = front_drained};
