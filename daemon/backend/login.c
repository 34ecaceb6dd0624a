/* SPDX-License-Identifier: ISC */
/* Runs one login dialogue: addresses in turn, PROXY header, TLS, then the protocol's own steps. */
#include "backend/login.h"

#include "base/clock.h"
#include "base/zalloc.h"

#define LOGIN_ADDRESSES_MAX 8
#define LOGIN_ATTEMPT_MIN_MS 500 /* least time for one address of several */
#define LOGIN_READ_BYTES 16384
#define LOGIN_READS_MAX 4 /* of one event */
/* Twice what the protocols' own caps let one reply be: only a broken dialogue gets there. */
#define LOGIN_INPUT_MAX (128 * 1024)
/* Of the whole dialogue, understood or not: no server has so much to say before a login. */
#define LOGIN_HEARD_MAX (1024 * 1024)

enum login_phase { LOGIN_RESOLVE, LOGIN_CONNECT, LOGIN_TLS, LOGIN_DIALOGUE, LOGIN_OVER };

struct login {
    struct back *back; /* NULL before the dialogue */
    enum login_phase phase;
    bool is_unconfirmed; /* connecting by conn_connect_unconfirmed */
    bool is_delivering;
    bool is_ready;               /* it waits for login_resume */
    bool is_resumed;             /* its connection waited; a new one has not been tried */
    struct buf in, out, message; /* out: of one step at a time; may hold credentials */
    struct loop_timer timer;
    struct loop_deferred later; /* the start, the callback or the end */
    struct login_spec spec;
    uint64_t started_us;
    uint64_t total_deadline_ms, deadline_ms; /* of everything, of the phase; UINT64_MAX = none */
    struct login_outcome outcome;
    struct proxyhdr proxy;
    struct addr source;
    struct resolver_query *query;
    struct addr addrs[LOGIN_ADDRESSES_MAX];
    size_t n_addrs, next_addr;
};

static void login_connect_next(struct login *l);
static void login_connected(struct login *l);
static void on_login_start(struct loop_deferred *d);

/* ---- end ---- */

static void login_free(struct login *l)
{
    if (l->back)
        l->spec.proto->back_free(l->back);
    buf_fini(&l->in);
    buf_wipe(&l->out);
    buf_fini(&l->message);
    free(l);
}

static void on_login_dead(struct loop_deferred *d)
{
    login_free(LIST_ITEM(d, struct login, later));
}

static void on_deliver(struct loop_deferred *d)
{
    struct login *l = LIST_ITEM(d, struct login, later);
    l->is_delivering = true;
    l->spec.done(l->spec.arg, &l->outcome);
    login_free(l);
}

/* Nothing happens after this but the callback. */
static void login_stop(struct login *l)
{
    l->phase = LOGIN_OVER;
    loop_timer_cancel(l->spec.loop, &l->timer);
    resolver_cancel(STEAL(l->query));
    loop_undefer(&l->later);
}

static void login_hear(const struct login *l, enum login_speaker who, struct str bytes)
{
    if (l->spec.heard && bytes.n > 0)
        l->spec.heard(l->spec.arg, who, bytes);
}

/* A server may have given up a connection that waited, which proves nothing about it. */
static void login_begin_again(struct login *l)
{
    login_stop(l);
    conn_close(l->spec.conn);
    l->spec.proto->back_free(STEAL(l->back));
    buf_clear(&l->in);
    buf_clear(&l->out);
    l->n_addrs = l->next_addr = 0;
    l->is_resumed = false;
    l->phase = LOGIN_RESOLVE;
    l->later.fn = on_login_start;
    loop_defer(l->spec.loop, &l->later);
}

static void login_finish(struct login *l, enum back_failure f, const char *step, struct str message)
{
    struct login_outcome *o = &l->outcome;
    if (l->phase == LOGIN_OVER)
        return;
    if (l->is_resumed && (f == BACK_FAIL_CLOSED || f == BACK_FAIL_BYE)) {
        login_begin_again(l);
        return;
    }
    /* The message may be the connection's own text: it is copied before that is closed. */
    buf_clear(&l->message);
    if (reply_append_clean(&l->message, message, REPLY_TEXT_MAX) < 0)
        buf_clear(&l->message);
    bool has_words = l->message.len > 0 && buf_cstr(&l->message);
    o->message = has_words ? buf_str(&l->message) : STR("");
    if (f != BACK_FAIL_NONE) {
        login_hear(l, LOGIN_SERVER, buf_str(&l->in)); /* no whole reply */
        conn_close(l->spec.conn);
    }
    login_stop(l);
    o->failure = f;
    o->step = step;
    o->total_us = loop_now_us(l->spec.loop) - l->started_us;
    o->rest = &l->in;
    if (l->back) {
        o->code = buf_str(&l->back->message_code);
        o->were_credentials_sent = l->back->were_credentials_sent;
        o->success = &l->back->success;
        o->learned = buf_str(&l->back->learned);
    }
    l->later.fn = on_deliver;
    loop_defer(l->spec.loop, &l->later);
}

static void login_fail(struct login *l, enum back_failure f, const char *step, int err)
{
    login_finish(l, err_is_shortage(err) ? BACK_FAIL_SHORTAGE : f, step, str_of(err_text(err)));
}

void login_cancel(struct login *l)
{
    if (!l || l->is_delivering)
        return;
    login_stop(l);
    conn_close(l->spec.conn);
    l->later.fn = on_login_dead;
    loop_defer(l->spec.loop, &l->later);
}

/* ---- time ---- */

static uint64_t login_deadline(uint64_t now_ms, uint64_t limit_ms)
{
    return limit_ms == 0 || limit_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + limit_ms;
}

/* A new phase with its own limit. */
static void login_enter(struct login *l, enum login_phase phase, uint64_t limit_ms)
{
    uint64_t due = login_deadline(loop_now_ms(l->spec.loop), limit_ms);
    l->phase = phase;
    l->deadline_ms = due < l->total_deadline_ms ? due : l->total_deadline_ms;
}

/* Time left of the phase; 0 when it is over. */
static uint64_t login_left_ms(const struct login *l)
{
    uint64_t now = loop_now_ms(l->spec.loop);
    return l->deadline_ms > now ? l->deadline_ms - now : 0;
}

static void login_arm(struct login *l, uint64_t ms)
{
    if (l->deadline_ms == UINT64_MAX)
        loop_timer_cancel(l->spec.loop, &l->timer);
    else
        loop_timer_set(l->spec.loop, &l->timer, ms);
}

static void on_login_timeout(struct loop_timer *t)
{
    static const char *const phases[] = {"resolve", "connect", "tls"};
    struct login *l = CONTAINER_OF(t, struct login, timer);
    if (l->phase == LOGIN_CONNECT && l->is_unconfirmed && conn_is_connected(l->spec.conn)) {
        login_connected(l); /* only the greeting is missing */
        return;
    }
    /* one address has had its time, but not all of them */
    if (l->phase == LOGIN_CONNECT && login_left_ms(l) > 0 && l->next_addr < l->n_addrs) {
        conn_close(l->spec.conn);
        login_connect_next(l);
        return;
    }
    const char *step = l->phase < ARRAY_LEN(phases) ? phases[l->phase]
                       : l->back                    ? l->back->step
                                                    : "login";
    login_fail(l, BACK_FAIL_TIMEOUT, step, -ERR_TIMEOUT);
}

/* False when the owner cancelled. */
static bool login_tell(struct login *l, const char *step)
{
    if (l->spec.progress)
        l->spec.progress(l->spec.arg, step);
    return l->phase != LOGIN_OVER;
}

/* ---- dialogue ---- */

static int login_send(struct login *l, enum login_speaker who, struct buf *out)
{
    login_hear(l, who, buf_str(out));
    int err = out->len > 0 ? conn_send(l->spec.conn, out->data + out->start, out->len) : 0;
    buf_clear(out);
    return err;
}

static void login_secure(struct login *l)
{
    bool is_unix = str_is_prefix(str_of(l->spec.host), STR("unix:"));
    l->phase = LOGIN_TLS;
    /* What came in clear behind the go-ahead may be of somebody between. */
    buf_clear(&l->in);
    if (!login_tell(l, "tls"))
        return;
    int err =
        conn_secure_client(l->spec.conn, l->spec.tls_client, is_unix ? "localhost" : l->spec.host);
    if (err < 0)
        login_fail(l, BACK_FAIL_TLS, "tls", err);
}

/* What the protocol said after bytes of the server, or after TLS. */
static void login_follow(struct login *l, enum back_result result, enum login_speaker who)
{
    struct back *b = l->back;
    int err = result == BACK_FAILED ? 0 : login_send(l, who, &l->out);
    if (err < 0) {
        login_fail(l, BACK_FAIL_CLOSED, b->step, err);
    } else if (result == BACK_FAILED) {
        l->outcome.is_message_servers = !b->is_message_own;
        login_finish(l, b->failure, b->step, buf_str(&b->message));
    } else if (result == BACK_DONE) {
        login_finish(l, BACK_FAIL_NONE, b->step, STR(""));
    } else if (result == BACK_STARTTLS) {
        login_secure(l);
    } else if (result == BACK_READY) {
        l->is_ready = true;
        l->deadline_ms = l->total_deadline_ms = UINT64_MAX;
        loop_timer_cancel(l->spec.loop, &l->timer);
        l->spec.ready(l->spec.arg);
    }
}

static void login_feed(struct login *l)
{
    size_t consumed = 1;
    while (l->phase == LOGIN_DIALOGUE && l->in.len > 0 && consumed > 0) {
        /* As what the next bytes to the server count. */
        enum login_speaker who = l->back->were_credentials_sent ? LOGIN_PROXY_SECRET : LOGIN_PROXY;
        enum back_result r = l->spec.proto->back_feed(l->back, buf_str(&l->in), &consumed, &l->out);
        login_hear(l, LOGIN_SERVER, str_head(buf_str(&l->in), consumed));
        buf_consume(&l->in, consumed);
        login_follow(l, r, who);
    }
    bool is_endless = l->in.len > LOGIN_INPUT_MAX || l->spec.conn->in_bytes > LOGIN_HEARD_MAX;
    if (l->phase == LOGIN_DIALOGUE && is_endless)
        login_finish(l, BACK_FAIL_PROTOCOL, l->back->step, STR("the server says too much"));
}

static void login_begin_dialogue(struct login *l)
{
    l->phase = LOGIN_DIALOGUE;
    l->back = l->spec.proto->back_new(&l->spec.env);
    if (!l->back)
        login_fail(l, BACK_FAIL_SHORTAGE, "login", -ERR_NOMEM);
    else if (login_tell(l, "login"))
        conn_want_read(l->spec.conn, true);
}

static void login_connected(struct login *l)
{
    login_enter(l, LOGIN_DIALOGUE, l->spec.login_ms);
    login_arm(l, login_left_ms(l));
    if (l->spec.tls == BACK_TLS_IMPLICIT)
        login_secure(l);
    else
        login_begin_dialogue(l);
}

/* This address does not work; the next one may. */
static void login_not_connected(struct login *l, int err)
{
    if (l->next_addr < l->n_addrs)
        login_connect_next(l);
    else
        login_fail(l, BACK_FAIL_CONNECT, "connect", err);
}

/* The first word of a server whose connect was not confirmed: the next address is tried where
 * there is no connection. False: it is over, or goes on elsewhere. */
static bool login_heard_first(struct login *l, int err)
{
    if (err < 0 && err != -ERR_EOF && err != -ERR_CLOSED) {
        conn_close(l->spec.conn);
        login_not_connected(l, err);
        return false;
    }
    login_connected(l);
    return l->phase == LOGIN_DIALOGUE;
}

static void on_login_readable(struct conn *c)
{
    struct login *l = c->owner;
    bool is_open = l->phase == LOGIN_DIALOGUE || (l->phase == LOGIN_CONNECT && l->is_unconfirmed);
    for (unsigned i = 0; i < LOGIN_READS_MAX && is_open; i++) {
        char *p = loop_scratch(l->spec.loop);
        size_t n;
        int err = conn_read(c, p, LOGIN_READ_BYTES, &n);
        if (err == -ERR_AGAIN || (l->phase == LOGIN_CONNECT && !login_heard_first(l, err)))
            return;
        if (err == 0)
            err = buf_append(&l->in, p, n);
        if (err == -ERR_EOF)
            login_finish(l, BACK_FAIL_CLOSED, l->back->step,
                         STR("the server closed the connection"));
        else if (err < 0)
            login_fail(l, BACK_FAIL_CLOSED, l->back->step, err);
        else
            login_feed(l);
        is_open = l->phase == LOGIN_DIALOGUE;
    }
}

static void on_login_secured(struct conn *c, int err)
{
    struct login *l = c->owner;
    if (l->phase == LOGIN_OVER)
        return;
    if (err < 0) {
        const char *why = conn_tls_error(c);
        login_finish(l, err_is_shortage(err) ? BACK_FAIL_SHORTAGE : BACK_FAIL_TLS, "tls",
                     str_of(why ? why : err_text(err)));
    } else if (!l->back) {
        login_begin_dialogue(l);
    } else {
        l->phase = LOGIN_DIALOGUE;
        if (login_tell(l, "login"))
            login_follow(l, l->spec.proto->back_tls_started(l->back, &l->out), LOGIN_PROXY);
    }
}

/* ---- connection ---- */

static void on_login_connected(struct conn *c, int err)
{
    struct login *l = c->owner;
    AUTO_BUF header = BUF_INIT;
    if (l->phase == LOGIN_OVER)
        return;
    if (err < 0) {
        login_not_connected(l, err);
        return;
    }
    l->outcome.connect_us = clock_us() - l->started_us;
    if (l->spec.proxy) {
        err = (l->spec.is_proxy_v2 ? proxyhdr_build_v2 : proxyhdr_build_v1)(&l->proxy, &header);
        if (err == 0)
            err = login_send(l, LOGIN_PROXY_HEADER, &header);
    }
    if (err < 0)
        login_fail(l, BACK_FAIL_CONNECT, "connect", err);
    else
        login_connected(l);
}

static const struct conn_ops login_ops = {
    .connected = on_login_connected,
    .secured = on_login_secured,
    .readable = on_login_readable,
};

/* An address gets its share of the time that is left, the last one all of it. */
static void login_connect_next(struct login *l)
{
    int err = -ERR_UNREACHABLE;
    while (l->next_addr < l->n_addrs) {
        uint64_t left_ms = login_left_ms(l), share_ms = left_ms / (l->n_addrs - l->next_addr);
        if (share_ms < LOGIN_ATTEMPT_MIN_MS)
            share_ms = LOGIN_ATTEMPT_MIN_MS;
        login_arm(l, share_ms < left_ms ? share_ms : left_ms);
        l->outcome.server = l->addrs[l->next_addr++];
        err = (l->is_unconfirmed ? conn_connect_unconfirmed
                                 : conn_connect)(l->spec.conn, &l->outcome.server, l->spec.source);
        if (err == 0)
            return;
    }
    login_fail(l, BACK_FAIL_CONNECT, "connect", err);
}

/* ---- addresses ---- */

/* The two families take turns, so that one that leads nowhere costs one attempt, not all (RFC 8305
 * section 4). Addresses that the source cannot reach are left out. */
static void login_take_addresses(struct login *l, const struct addr *addrs, size_t n)
{
    size_t pos[2] = {0, 0};
    bool is_first_family = true;
    for (size_t i = 0; i < n && l->n_addrs < LOGIN_ADDRESSES_MAX;
         is_first_family = !is_first_family) {
        size_t at = pos[is_first_family];
        while (at < n && (addrs[at].family == addrs[0].family) != is_first_family)
            at++;
        pos[is_first_family] = at + 1;
        if (at >= n)
            continue;
        i++;
        if (l->spec.source && l->source.family != addrs[at].family)
            continue;
        l->addrs[l->n_addrs] = addrs[at];
        l->addrs[l->n_addrs++].port = l->spec.port;
    }
}

static void on_login_resolved(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct login *l = arg;
    l->query = NULL;
    if (err < 0) {
        login_fail(l, err == -ERR_TIMEOUT ? BACK_FAIL_TIMEOUT : BACK_FAIL_CONNECT, "resolve", err);
        return;
    }
    login_take_addresses(l, addrs, n);
    l->phase = LOGIN_CONNECT;
    if (l->n_addrs == 0)
        login_finish(l, BACK_FAIL_CONNECT, "resolve",
                     STR("no address of the source address's family"));
    else if (login_tell(l, "connect"))
        login_connect_next(l);
}

static void on_login_start(struct loop_deferred *d)
{
    struct login *l = LIST_ITEM(d, struct login, later);
    login_enter(l, LOGIN_RESOLVE, l->spec.connect_ms);
    if (str_is_prefix(str_of(l->spec.host), STR("unix:"))) {
        l->phase = LOGIN_CONNECT;
        if (!login_tell(l, "connect"))
            return;
        l->outcome.server = (struct addr){.family = AF_UNIX};
        login_arm(l, login_left_ms(l));
        int err = conn_connect_unix(l->spec.conn, l->spec.host + strlen("unix:"));
        if (err < 0)
            login_fail(l, BACK_FAIL_CONNECT, "connect", err);
        return;
    }
    login_arm(l, login_left_ms(l));
    struct addr *addr = &l->spec.addr;
    if (addr->family != AF_UNSPEC || addr_parse_ip(str_of(l->spec.host), addr) == 0) {
        on_login_resolved(l, 0, addr, 1);
        return;
    }
    l->query = resolver_lookup(l->spec.resolver, l->spec.host, on_login_resolved, l);
    if (!l->query)
        login_fail(l, BACK_FAIL_SHORTAGE, "resolve", -ERR_NOMEM);
}

/* ---- start ---- */

void login_spec_to(struct login_spec *spec, const struct pool *pool, const struct pool_member *m,
                   struct addr *source)
{
    const char *from = pool->config->source_address;
    if (m) {
        spec->host = m->host;
        spec->addr = m->addr;
        spec->port = m->ports[spec->proto->id];
        spec->tls = m->tls;
    }
    spec->tls_client = pool->tls;
    spec->source = from && addr_parse(str_of(from), source) == 0 ? source : NULL;
}

static void login_take_spec(struct login *l, const struct login_spec *spec)
{
    l->spec = *spec;
    l->spec.env.tls = spec->tls;
    l->spec.env.is_tls_active = spec->tls == BACK_TLS_IMPLICIT; /* before its first byte */
    if (spec->proxy) {
        l->proxy = *spec->proxy;
        l->spec.proxy = &l->proxy;
        /* A server may take the client's TLS for that of this connection and then refuses STARTTLS
         * (Dovecot 2.4): what is to be upgraded is not said to be secure. */
        if (spec->tls == BACK_TLS_STARTTLS)
            l->proxy.tls_version = NULL;
    }
    if (spec->source) {
        l->source = *spec->source;
        l->spec.source = &l->source;
    }
    l->is_unconfirmed = spec->is_connect_untimed && !spec->proxy && spec->tls != BACK_TLS_IMPLICIT;
    l->started_us = loop_now_us(spec->loop);
    l->total_deadline_ms = login_deadline(loop_now_ms(spec->loop), spec->total_ms);
}

int login_start(const struct login_spec *spec, struct login **ret)
{
    if (spec->tls != BACK_TLS_OFF && !spec->tls_client)
        return -ERR_INVAL;
    struct login *l = zalloc(sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    login_take_spec(l, spec);
    conn_init(spec->conn, spec->loop, &login_ops, l);
    loop_timer_init(&l->timer, on_login_timeout);
    list_init(&l->later.link);
    l->later.fn = on_login_start;
    loop_defer(spec->loop, &l->later);
    *ret = l;
    return 0;
}

static void on_login_resume(struct loop_deferred *d)
{
    struct login *l = LIST_ITEM(d, struct login, later);
    if (login_tell(l, "login"))
        login_follow(l, l->spec.proto->back_resume(l->back, &l->out), LOGIN_PROXY);
}

int login_resume(struct login *l, const struct login_spec *spec)
{
    int err = l->is_ready ? conn_move(spec->conn, l->spec.conn) : -ERR_BUSY;
    if (err < 0)
        return err;
    login_take_spec(l, spec);
    conn_own(spec->conn, &login_ops, l);
    l->is_ready = false;
    l->is_resumed = true;
    l->outcome.connect_us = 0;
    login_enter(l, LOGIN_DIALOGUE, spec->login_ms);
    login_arm(l, login_left_ms(l));
    l->later.fn = on_login_resume;
    loop_defer(spec->loop, &l->later);
    return 0;
}
