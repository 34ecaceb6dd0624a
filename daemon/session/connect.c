/* SPDX-License-Identifier: ISC */
/* From a judged user to a logged-in backend: waiting while held, login, the next try. */
#include "base/hash.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

#define HELD_TICK_MS 500        /* how often a held login looks again */
#define HELD_KEEPALIVE_MS 20000 /* how often its client hears of us */
#define FORWARD_TTL 5           /* proxies that one login may pass */

static void connect_try(struct session *s);
static void connect_go(struct session *s, const struct pool_member *m);

/* ---- held ---- */

static bool connect_is_full(int err)
{
    return err == -ERR_POOL_FULL || err == -ERR_BACKEND_FULL;
}

/* why: for operators. */
static void connect_hold(struct session *s, const char *why)
{
    struct preauth *p = s->pre;
    uint64_t now = loop_now_ms(s->env->loop);
    if (s->state != SESSION_HELD) {
        session_enter(s, SESSION_HELD);
        if (s->is_ended)
            return;
        p->held_ms = now;
        p->keepalive_ms = now + HELD_KEEPALIVE_MS;
        if (p->held_until_ms == 0) {
            p->held_until_ms = now + s->listener->config->timeouts.hold_ms;
            if (s->tap)
                trace_tap_note(s, "held: %s", why);
            if (session_may_log(s, LOG_LEVEL_INFO, false))
                SESSION_LOG(s, LOG_LEVEL_INFO, "login-held", KV_STR("session", p->session_id),
                            KV_STR("user", s->user), KV_STR("reason", why));
        }
    }
    session_set_timer(s, HELD_TICK_MS);
}

/* Everything that may take it is full: it stands in the queue. */
static void connect_wait(struct session *s)
{
    struct preauth *p = s->pre;
    struct backend *fixed;
    connect_hold(s, "full");
    /* What changed meanwhile, and a lack of memory, its next tick sees. */
    if (s->is_ended || choose_fixed(s, &fixed) < 0)
        return;
    const struct place_request r = {.pool = p->route.pool,
                                    .fixed = fixed,
                                    .choice = &p->choice,
                                    .mailbox = loop_mailbox(s->env->loop),
                                    .granted = connect_granted,
                                    .session = s->id};
    (void)!places_wait(&p->wait, &r);
}

/* False: it does not wait for a place, or has to look for another reason to wait. */
static bool connect_waits_on(struct session *s)
{
    struct preauth *p = s->pre;
    struct backend *fixed;
    if (!places_is_waiting(&p->wait))
        return false;
    places_serve(p->route.pool);
    if (choose_fixed(s, &fixed) < 0)
        return false;
    return fixed || pool_look(p->route.pool, &p->choice) == -ERR_POOL_FULL;
}

/* The time of waiting is not the client's: its deadline moves on by it. */
static void connect_unhold(struct session *s)
{
    if (s->state == SESSION_HELD)
        s->pre->deadline_ms += loop_now_ms(s->env->loop) - s->pre->held_ms;
}

static void connect_keepalive(struct session *s, uint64_t now)
{
    AUTO_BUF words = BUF_INIT;
    s->pre->keepalive_ms = now + HELD_KEEPALIVE_MS;
    if (conn_pending(&s->client) > 0) /* it reads nothing: one more line would only pile up */
        return;
    if (s->proto->keepalive(s->pre->front, &words) < 0)
        session_end(s, SESSION_END_NOMEM);
    else if (words.len > 0)
        (void)!session_send(s, &words);
}

void connect_hold_tick(struct session *s)
{
    struct preauth *p = s->pre;
    uint64_t now = loop_now_ms(s->env->loop);
    if (now >= p->held_until_ms) {
        bool is_full = places_is_waiting(&p->wait);
        enum reply_kind kind = is_full ? REPLY_BACKEND_FULL : REPLY_HOLD_TIMEOUT;
        front_note_failure(s, kind, "proxy",
                           is_full ? STR("no backend had room within timeouts.hold")
                                   : STR("the hold lasted too long"));
        front_fail(s, kind, NULL, NULL);
        return;
    }
    if (now >= p->keepalive_ms)
        connect_keepalive(s, now);
    if (s->is_ended)
        return;
    if (p->is_user_held)
        connect_hold(s, "user");
    else if (connect_waits_on(s))
        session_set_timer(s, HELD_TICK_MS);
    else
        connect_try(s);
}

void connect_granted(struct mail *m, void *owner)
{
    struct place_grant *g = CONTAINER_OF(m, struct place_grant, mail);
    struct session *s = session_find(owner, g->session);
    if (s && !s->is_ended && s->pre && s->state == SESSION_HELD && !s->pre->granted) {
        s->pre->granted = STEAL(g->backend);
        connect_try(s);
    }
    places_drop_grant(m); /* who left meanwhile does not take it */
}

/* A login that waits for any member of its pool sees what an operator changes of the pool. It keeps
 * its place in the queue. */
static void connect_follow_pool(struct session *s)
{
    struct preauth *p = s->pre;
    struct pools *now = s->env->snapshot ? s->env->snapshot->pools : NULL;
    if (s->state != SESSION_HELD || !now || now == p->pools || !p->route.pool || p->route.member ||
        p->route.dynamic)
        return;
    const struct pool *pool = pools_find(now, p->route.pool->config->name);
    if (!pool)
        return; /* what is there goes on */
    places_follow(&p->wait, pool);
    p->route.pool = pool;
    pools_unref(p->pools);
    p->pools = pools_ref(now);
    p->choice.n_tried = 0; /* they may be gone with the pools before */
}

void connect_wake(struct session *s)
{
    connect_follow_pool(s);
    if (!s->pre->is_user_held) {
        connect_hold_tick(s);
        return;
    }
    connect_unhold(s);
    session_judge_again(s);
}

/* ---- login ---- */

/* Hops left: what an earlier proxy says in the client's ID counts, so that loops end (x-proxy-ttl,
 * after Dovecot). */
static unsigned connect_ttl(const struct buf *client_id)
{
    static const char key[] = "\"x-proxy-ttl\" \"";
    struct str s = buf_str(client_id);
    for (size_t i = 0; i + sizeof(key) <= s.n; i++) {
        struct str rest = str_n(s.p + i, s.n - i);
        uint64_t n;
        if (!str_is_iprefix(rest, str_of(key)))
            continue;
        rest = str_n(rest.p + sizeof(key) - 1, rest.n - (sizeof(key) - 1));
        if (str_to_u64(str_cut(&rest, '"'), FORWARD_TTL, &n) < 0)
            return FORWARD_TTL;
        return n > 0 ? (unsigned)n - 1 : 0;
    }
    return FORWARD_TTL;
}

static void connect_back_env(struct session *s, const struct pool *pool, enum back_tls tls,
                             struct back_env *ret)
{
    struct preauth *p = s->pre;
    const struct front *f = p->front;
    const struct config_pool *c = pool->config;
    *ret = (struct back_env){
        .cred = &p->backend_cred,
        .master_user = p->master_user,
        .tls = tls,
        .is_pipelining_allowed = c->is_pipelining,
        .is_pipelining_known = backend_is_pipelining(s->backend, s->proto->id),
        .forward_id = c->forward & (s->proto->has_xclient ? FORWARD_XCLIENT | FORWARD_XCLIENT_FORCED
                                                          : FORWARD_ID),
        .xclient_forced = s->proto->has_xclient && (c->forward & FORWARD_XCLIENT_FORCED),
        .client = s->peer,
        .session_id = p->session_id,
        .client_name = p->client_host && p->client_host[0] != '[' ? p->client_host : NULL,
        .client_tls = s->client_tls[0] ? s->client_tls : NULL,
        .ttl = connect_ttl(&f->client_id),
        .client_id = buf_str(&f->client_id),
        .server_name = s->listener->config->server_name,
        .helo = buf_str(&f->helo),
        .is_ehlo = f->is_ehlo,
        .is_auth_wanted =
            p->is_backend_judge ||
            (p->smtp_auth < 0 ? c->smtp_auth != CONFIG_SMTP_AUTH_OFF : p->smtp_auth > 0),
        .is_auth_forced = c->smtp_auth == CONFIG_SMTP_AUTH_FORCED,
        .mail_from = buf_str(&f->mail_from),
        .rcpt_to = buf_str(&f->rcpt_to),
    };
}

/* The pool's master user logs in for everybody who did not bring one; never for somebody whom only
 * the backend can judge: it would open the mailbox for any password. */
static int connect_master(struct session *s, const struct pool *pool)
{
    struct preauth *p = s->pre;
    if (p->is_backend_judge || p->master_user || !pool->config->master_user)
        return 0;
    p->master_user = str_dup_c(pool->config->master_user);
    buf_wipe(&p->backend_cred.secret);
    p->backend_cred.mech = SASL_PLAIN;
    return p->master_user ? buf_append_str(&p->backend_cred.secret, buf_str(&pool->master.secret))
                          : -ERR_NOMEM;
}

/* The login dialogue has its own deadlines; the session's is only the net below them: with the same
 * one the session could end before the next backend is tried. */
static void connect_set_net(struct session *s)
{
    const struct config_timeouts *t = &s->listener->config->timeouts;
    session_set_timer(s, t->connect_ms + t->login_ms + 1000);
}

static void on_progress(void *arg, const char *step)
{
    struct session *s = arg;
    static const struct {
        const char *step;
        enum session_state state;
    } rows[] = {{"tls", SESSION_BACKEND_TLS}, {"login", SESSION_BACKEND_LOGIN}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(step, rows[i].step) == 0 && s->state != rows[i].state) {
            session_enter(s, rows[i].state);
            if (!s->is_ended)
                connect_set_net(s);
        }
}

static void connect_log_failure(struct session *s, const struct login_outcome *o)
{
    if (s->tap) {
        char server[ADDR_TEXT_MAX];
        addr_format(server, &o->server);
        trace_tap_note(s, "backend %s/%s (%s) failed at step %s: %s", s->backend->pool,
                       s->backend->name, server, o->step, back_failure_name(o->failure));
        trace_tap_note_words(s, "its words", o->message);
    }
    if (!session_may_log(s, LOG_LEVEL_WARN, true))
        return;
    SESSION_LOG(s, LOG_LEVEL_WARN, "backend-login-failed", KV_STR("session", s->pre->session_id),
                KV_STR("user", s->user), KV_STR("backend", s->backend->name),
                KV_ADDR("server", &o->server), KV_STR("step", o->step),
                KV_STR("failure", back_failure_name(o->failure)), KV_STRN("message", o->message));
}

/* Wrong credentials only when nobody else judged them right before: trouble with the backend must
 * not look like a wrong password. */
static enum reply_kind connect_reply_kind(const struct session *s, enum back_failure f)
{
    enum reply_kind kind = back_failure_reply(f);
    return kind == REPLY_AUTH_FAILED && !s->pre->is_backend_judge && f == BACK_FAIL_AUTH
               ? REPLY_AUTH_TEMPFAIL
               : kind;
}

static void connect_refused(struct session *s, const struct login_outcome *o)
{
    struct preauth *p = s->pre;
    struct preauth_failure f = {.kind = connect_reply_kind(s, o->failure),
                                .end = SESSION_END_BACKEND};
    bool is_wrong = f.kind == REPLY_AUTH_FAILED;
    bool is_passed = o->is_message_servers &&
                     (o->failure == BACK_FAIL_REJECTED || p->route.pool->config->is_error_passed);
    if (is_passed) {
        (void)str_copy(f.code, sizeof(f.code), o->code);
        (void)str_copy(f.text, sizeof(f.text), o->message);
    }
    if (is_wrong) {
        auth_judged(s->env->auth, p->cred, false);
        session_count(s, COUNTER_AUTH_FAILURES, 1);
    }
    AUTO_FREE char *detail =
        str_printf("%s: %s%s%.*s", s->backend->name, back_failure_name(o->failure),
                   o->message.n ? ": " : "", STR_ARG(o->message));
    front_note_failure(s, f.kind, "backend", str_of(detail));
    if (is_wrong)
        front_fail_wrong(s, &f, s->listener->config->timeouts.failure_delay_ms);
    else
        front_fail_later(s, &f, 0);
}

static void connect_next(struct session *s, const struct login_outcome *o)
{
    struct preauth *p = s->pre;
    if (p->choice.n_tried < POOL_TRIES_MAX)
        p->choice.tried[p->choice.n_tried++] = s->backend;
    const struct pool_member *next = NULL;
    session_give_place(s);
    if (!back_failure_may_retry(o->failure) || p->route.dynamic || p->route.member) {
        connect_refused(s, o);
        return;
    }
    if (hold_state_of(s) != HOLD_NONE) {
        connect_try(s);
        return;
    }
    int err = choose_backend(s, &next);
    if (err == 0)
        connect_go(s, next);
    else if (connect_is_full(err))
        connect_wait(s);
    else
        connect_refused(s, o);
}

static void connect_succeeded(struct session *s, struct login_outcome *o)
{
    struct preauth *p = s->pre;
    AUTO_BUF reply = BUF_INIT;
    struct tls_info info;
    if (p->refusal != AUTH_OK) {
        conn_close(&s->server);
        session_refuse_proved(s);
        return;
    }
    s->server_addr = o->server;
    if (conn_tls_info(&s->server, &info))
        (void)str_copy(s->server_tls, sizeof(s->server_tls), str_of(info.version));
    if (p->is_backend_judge)
        auth_judged(s->env->auth, p->cred, true);
    if (s->proto->success(p->front, o->success, &reply) < 0) {
        session_end(s, SESSION_END_NOMEM);
        return;
    }
    if (o->connect_us > 0)
        counter_observe(s->env->counters, s->proto->id, HISTOGRAM_CONNECT, o->connect_us);
    counter_observe(s->env->counters, s->proto->id, HISTOGRAM_BACKEND_LOGIN, o->total_us);
    counter_observe(s->env->counters, s->proto->id, HISTOGRAM_LOGIN,
                    loop_now_us(s->env->loop) - p->login_us);
    conn_cork(&s->client);
    if (session_send(s, &reply) == 0)
        relay_begin(s, o->rest, o->learned);
}

static void on_login(void *arg, struct login_outcome *o)
{
    struct session *s = arg;
    uint64_t now = loop_now_ms(s->env->loop);
    s->pre->login = NULL;
    unsigned fall = s->pool->config->check.fall ? s->pool->config->check.fall : 3;
    uint32_t user = 0; /* never that of one who failed */
    if (o->failure != BACK_FAIL_NONE && o->were_credentials_sent)
        user = (uint32_t)hash_stable(str_of(s->user)) | 1;
    const struct backend_login note = {.failure = o->failure,
                                       .proto = s->proto->id,
                                       .step = o->step,
                                       .user = user,
                                       .fall = fall,
                                       .connect_us = o->connect_us,
                                       .total_us = o->total_us,
                                       .now_ms = now,
                                       .wall_ms = loop_wall_ms(s->env->loop),
                                       .message = o->message.n ? o->message.p : NULL};
    (void)backend_note_login(s->backend, &note);
    if (o->failure == BACK_FAIL_NONE) {
        connect_succeeded(s, o);
        return;
    }
    session_count(
        s, back_failure_is_ours(o->failure) ? COUNTER_SHORTAGES : COUNTER_BACKEND_FAILURES, 1);
    connect_log_failure(s, o);
    connect_next(s, o);
}

static void on_connect_heard(void *arg, enum login_speaker who, struct str bytes)
{
    struct session *s = arg;
    if (s->tap)
        trace_tap_login(s, who, bytes);
}

static int connect_start(struct session *s, const struct pool_member *m)
{
    struct preauth *p = s->pre;
    const struct pool *pool = s->pool;
    const struct config_pool *c = pool->config;
    /* Where the client connected to; unknown where no backend of this pool would hear of it. */
    struct addr local = {.family = AF_UNSPEC};
    if (c->forward)
        (void)!conn_local_addr(&s->client, &local);
    const struct proxyhdr proxy = {.src = s->peer,
                                   .dst = p->has_proxy ? p->proxy.dst : local,
                                   .tls_version = s->client_tls[0] ? s->client_tls : NULL};
    struct addr source;
    struct login_spec spec = {
        .loop = s->env->loop,
        .resolver = s->env->resolver,
        .conn = &s->server,
        .proto = s->proto,
        .host = p->route.host, /* of a dynamic backend, which goes by the pool's TLS */
        .port = p->route.port,
        .tls = c->tls,
        .proxy = c->forward & (FORWARD_PROXY_V1 | FORWARD_PROXY_V2) ? &proxy : NULL,
        .is_proxy_v2 = c->forward & FORWARD_PROXY_V2,
        .is_connect_untimed = !backend_is_connect_due(s->backend, loop_now_ms(s->env->loop)),
        .connect_ms = s->listener->config->timeouts.connect_ms,
        .login_ms = s->listener->config->timeouts.login_ms,
        .progress = on_progress,
        .heard = on_connect_heard,
        .done = on_login,
        .arg = s,
    };
    int err = connect_master(s, pool);
    login_spec_to(&spec, pool, m, &source);
    connect_back_env(s, pool, spec.tls, &spec.env);
    spec.env.local = local;
    if (err < 0)
        return err;
    /* What is ready was made without regard to the client, for the listener of most. */
    bool may_be_warm = m && !spec.proxy &&
                       strcmp(spec.env.server_name, s->env->snapshot->config->server_name) == 0;
    struct login *warm = may_be_warm ? warm_take(s->env->warm, pool, m, s->proto->id) : NULL;
    if (warm && login_resume(warm, &spec) == 0) {
        p->login = warm;
        session_count(s, COUNTER_WARM_LOGINS, 1);
        if (s->tap)
            trace_tap_note(s, "over a connection that was ready");
        return 0;
    }
    login_cancel(warm);
    return login_start(&spec, &p->login);
}

/* The login has a place on s->backend, and belongs there. m: NULL for a dynamic backend. */
static void connect_to(struct session *s, const struct pool_member *m)
{
    if (s->tap)
        trace_tap_note(s, "connecting to %s/%s", s->backend->pool, s->backend->name);
    session_enter(s, SESSION_CONNECT);
    if (s->is_ended)
        return;
    connect_set_net(s);
    int err = connect_start(s, m);
    if (err < 0) {
        enum reply_kind kind = err_is_shortage(err) ? REPLY_BACKEND_DOWN : REPLY_INTERNAL;
        front_note_failure(s, kind, "proxy", str_of(err_text(err)));
        front_fail(s, kind, NULL, NULL);
    }
}

static void on_pinned(struct session *s)
{
    struct preauth *p = s->pre;
    /* An operator's hold that began meanwhile has not counted this login among those to end. */
    if (p->pin.backend == s->backend && hold_state_of(s) == HOLD_NONE) {
        connect_to(s, choose_member(p->route.pool, s->backend));
        return;
    }
    session_give_place(s);
    connect_try(s);
}

/* The login has a place there. */
static void connect_go(struct session *s, const struct pool_member *m)
{
    struct backend *b = m ? m->backend : s->pre->route.dynamic;
    session_give_place(s);
    backend_unref(s->backend);
    s->backend = backend_ref(b);
    s->has_place = true;
    s->pool = s->pre->route.pool;
    connect_unhold(s);
    if (session_pin_is_due(s, b))
        session_pin_ask(s, on_pinned);
    else
        connect_to(s, m);
}

static void connect_try(struct session *s)
{
    const struct pool_member *m = NULL;
    enum hold_state hold = hold_state_of(s);
    if (hold == HOLD_STALE) {
        connect_unhold(s);
        session_judge_again(s);
        return;
    }
    if (hold == HOLD_ON)
        s->pre->is_user_held = true;
    int err = s->pre->is_user_held ? -ERR_BUSY : choose_backend(s, &m);
    if (err < 0)
        session_drop_grant(s);
    if (err == 0)
        connect_go(s, m);
    else if (connect_is_full(err))
        connect_wait(s);
    else if (err == -ERR_BUSY)
        connect_hold(s, s->pre->is_user_held ? "user" : "backend");
    else {
        const struct route *r = &s->pre->route;
        const struct backend *b = r->dynamic ? r->dynamic : r->member ? r->member->backend : NULL;
        AUTO_FREE char *why = b ? str_printf("backend %s: %s", b->name, err_text(err))
                                : str_printf("pool %s: %s", r->pool->config->name, err_text(err));
        front_note_failure(s, REPLY_BACKEND_DOWN, "proxy", str_of(why));
        front_fail(s, REPLY_BACKEND_DOWN, NULL, NULL);
    }
}

void connect_begin(struct session *s)
{
    struct preauth *p = s->pre;
    p->choice.n_tried = 0;
    session_pin_forget(s);
    if (p->held_until_ms == 0) /* else it is judged again, after an operator's hold */
        counter_observe(s->env->counters, s->proto->id, HISTOGRAM_AUTH,
                        loop_now_us(s->env->loop) - p->login_us);
    connect_try(s);
}
