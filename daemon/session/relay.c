/* SPDX-License-Identifier: ISC */
/* The relay: bytes both ways with back-pressure, half closes passed on, and an end in the words of
 * the protocol. */
#include "base/hash.h"
#include "base/zalloc.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

#define RELAY_TELL_BYTES 65536
/* Many sessions last for seconds only: keep-alive begins when one has been quiet this long. */
#define RELAY_QUIET_MS 5000

static const struct conn_ops relay_ops;

static struct conn *relay_peer(struct session *s, const struct conn *c)
{
    return c == &s->client ? &s->server : &s->client;
}

/* Until the timer has to look at the session. */
static uint64_t relay_limit_ms(const struct session *s)
{
    uint64_t idle = s->listener->config->timeouts.relay_idle_ms;
    uint64_t closing = s->listener->config->timeouts.closing_ms;
    if (s->is_client_eof || s->is_server_eof)
        return idle > 0 && idle < closing ? idle : closing;
    return s->is_keepalive_on || (idle > 0 && idle < RELAY_QUIET_MS) ? idle : RELAY_QUIET_MS;
}

static void relay_touch(struct session *s)
{
    uint64_t now = loop_now_ms(s->env->loop);
    /* Told once a second and after many bytes: the total is one word for all workers. */
    uint64_t untold = s->client.in_bytes - s->told_in + s->client.out_bytes - s->told_out;
    if (untold >= RELAY_TELL_BYTES || now / 1000 != s->active_ms / 1000)
        session_tell_bytes(s);
    s->active_ms = now;
}

/* From now on the kernel finds out whether the backend's host is still there; it counts the silence
 * that was. False when the session has been quiet for too long already. */
static bool relay_start_keepalive(struct session *s)
{
    uint64_t idle = s->listener->config->timeouts.relay_idle_ms;
    if (s->is_keepalive_on || s->kill || (idle > 0 && idle <= RELAY_QUIET_MS))
        return false;
    uint64_t keepalive = s->pool->config->keepalive_ms;
    if (keepalive)
        conn_keep_alive(&s->server, keepalive);
    s->is_keepalive_on = true;
    session_set_timer(s, idle > 0 ? idle - RELAY_QUIET_MS : 0);
    return true;
}

/* ---- end ---- */

/* It has ended, or says its goodbye: what it still has to do is no longer the relay's. */
static bool relay_is_over(const struct session *s)
{
    return s->is_ended || s->state != SESSION_RELAY;
}

static bool relay_may_speak(const struct session *s)
{
    return s->watch && watch_is_boundary(s->watch);
}

/* The mail server is gone. */
static void relay_orphan(struct session *s)
{
    if (relay_may_speak(s))
        session_leave(s, REPLY_BACKEND_DOWN, NULL, s->end);
    else
        session_end(s, s->end);
}

/* One side has closed: the other one gets as long to follow as clients to read our last words, from
 * when nothing is to be said any more. False: something is. */
static bool relay_half_is_over(const struct session *s, uint64_t quiet_ms)
{
    uint64_t idle = s->listener->config->timeouts.relay_idle_ms;
    bool is_answered = s->is_server_eof || (s->watch && s->watch->is_quiet && !s->early);
    return (is_answered && conn_pending(&s->client) == 0) || (idle > 0 && quiet_ms >= idle);
}

void relay_timeout(struct session *s)
{
    if (s->is_orphan) {
        relay_orphan(s);
        return;
    }
    if (s->kill) {
        goodbye_timeout(s);
        return;
    }
    uint64_t quiet_ms = loop_now_ms(s->env->loop) - s->active_ms, limit_ms = relay_limit_ms(s);
    if (quiet_ms < limit_ms) { /* bytes do not move the timer: it is due too early instead */
        session_set_timer(s, limit_ms - quiet_ms);
        return;
    }
    if (s->is_client_eof || s->is_server_eof) {
        if (relay_half_is_over(s, quiet_ms))
            session_end(s, s->end);
        else
            session_set_timer(s, limit_ms);
        return;
    }
    if (relay_start_keepalive(s))
        return;
    if (relay_may_speak(s))
        session_leave(s, REPLY_TIMEOUT, NULL, SESSION_END_IDLE);
    else
        session_end(s, SESSION_END_IDLE);
}

/* The client's last command was the one that ends the session: whatever end comes is its doing. */
static bool relay_has_quit(const struct session *s)
{
    return s->watch && strcmp(s->watch->verb, s->proto->quit_verb) == 0;
}

/* A backend that dies takes its sessions along; where the pool says so not all at once, lest their
 * clients come back in the same second. */
static bool relay_spread(struct session *s, enum session_end end)
{
    uint64_t spread = s->pool->config->close_spread_ms, random;
    if (spread == 0 || relay_has_quit(s) || s->kill || s->is_client_eof)
        return false;
    hash_random(&random, sizeof(random));
    s->end = (uint8_t)end;
    s->is_server_eof = s->is_orphan = true;
    conn_want_read(&s->server, false);
    conn_want_read(&s->client, false);
    session_set_timer(s, 1 + random % spread);
    return true;
}

/* The client said that it leaves and has the answer: neither side has anything to add. Not with
 * TLS: its alert may be on the way, and a socket that is closed answers that with a reset. */
static bool relay_is_complete(const struct session *s)
{
    return relay_has_quit(s) && s->watch->is_quiet && !s->kill && !s->client.tls &&
           conn_pending(&s->client) == 0;
}

static void relay_closed(struct session *s, struct conn *c, int err)
{
    bool is_client = c == &s->client;
    if (err != -ERR_EOF) {
        if (is_client || relay_has_quit(s)) {
            session_end(s, err == -ERR_TLS_FLOOD ? SESSION_END_TLS_FLOOD
                           : relay_has_quit(s)   ? SESSION_END_CLIENT_QUIT
                                                 : SESSION_END_CLIENT_ERROR);
        } else if (!relay_spread(s, SESSION_END_SERVER_ERROR)) {
            s->end = SESSION_END_SERVER_ERROR;
            relay_orphan(s);
        }
        return;
    }
    if (!is_client && s->kill) {
        s->is_server_eof = true;
        goodbye_server_gone(s);
        return;
    }
    if (!is_client && relay_spread(s, SESSION_END_SERVER_CLOSED))
        return;
    bool is_first = !s->is_client_eof && !s->is_server_eof;
    *(is_client ? &s->is_client_eof : &s->is_server_eof) = true;
    if (is_first)
        s->end = relay_has_quit(s) ? SESSION_END_CLIENT_QUIT
                 : is_client       ? SESSION_END_CLIENT_CLOSED
                                   : SESSION_END_SERVER_CLOSED;
    if (relay_is_complete(s)) {
        session_end(s, s->end);
        return;
    }
    if (!is_client && s->early) /* nobody answers what the client does not wait for */
        s->is_client_eof = true;
    conn_want_read(c, false);
    if (s->is_client_eof && s->is_server_eof) {
        if (conn_pending(&s->client) == 0)
            session_end(s, s->end);
        return;
    }
    conn_shutdown(relay_peer(s, c));
    if (!s->kill)
        session_set_timer(s, relay_limit_ms(s));
}

/* ---- bytes ---- */

static void relay_count(struct session *s, const struct conn *c, size_t n)
{
    session_count(s, c == &s->client ? COUNTER_IN_BYTES : COUNTER_OUT_BYTES, (int64_t)n);
}

/* What `to` has not taken yet is not added to: then `from` waits. */
static bool relay_is_full(const struct conn *to, struct conn *from)
{
    if (conn_pending(to) == 0)
        return false;
    conn_want_read(from, false);
    return true;
}

/* A line that servers could take for the end of the message, and what follows for commands: no
 * server gets either. */
static void relay_refuse_data(struct session *s)
{
    char id[32];
    SESSION_LOG(s, LOG_LEVEL_NOTICE, "bare-newline", KV_WORD("session", session_id_text(s, id)),
                KV_STR("listener", s->listener->config->name), KV_ADDR("client", &s->peer),
                KV_STR("user", s->user));
    session_leave(s, REPLY_BARE_NEWLINE, NULL, SESSION_END_PROTOCOL);
}

/* The server would take the client for somebody else, whom nobody here has judged: no limit, no
 * lock and no ban would hold. It is not asked. */
static void relay_refuse_command(struct session *s)
{
    char id[32];
    SESSION_LOG(s, LOG_LEVEL_NOTICE, "forbidden-command",
                KV_WORD("session", session_id_text(s, id)),
                KV_STR("listener", s->listener->config->name), KV_ADDR("client", &s->peer),
                KV_STR("user", s->user), KV_STR("command", s->watch->verb));
    if (relay_may_speak(s))
        session_leave(s, REPLY_PROTOCOL_MISUSE,
                      s->watch->is_ambiguous ? "Servers differ in what this would mean."
                                             : "Connect again to log in as somebody else.",
                      SESSION_END_PROTOCOL);
    else
        session_end(s, SESSION_END_PROTOCOL);
}

/* ---- a client that does not wait ---- */

/* Keeps what the client said too early, one chunk at most: it is not read meanwhile. False: there
 * is no memory, and the session has ended. */
static bool relay_keep_early(struct session *s, struct str bytes)
{
    if (!s->early)
        s->early = zalloc(sizeof(*s->early));
    if (!s->early || buf_append_str(s->early, bytes) < 0) {
        session_end(s, SESSION_END_NOMEM);
        return false;
    }
    conn_want_read(&s->client, false);
    return true;
}

/* Sends on what the client says, up to where the server has to answer first: an impatient client's
 * bytes behind that wait here, so that the server is told nothing that the watch takes for
 * something else. False when everything is over, or the client has to wait. */
static bool relay_send_client(struct session *s, struct str bytes)
{
    bool is_refusing = s->listener->config->bare_newline == BARE_NEWLINE_REJECT;
    while (bytes.n > 0) {
        if (s->watch->is_server_due) {
            if (s->is_server_eof) /* it will not answer any more */
                session_end(s, s->end);
            else
                (void)relay_keep_early(s, bytes);
            return false;
        }
        size_t n = s->proto->watch_feed(s->watch, WATCH_CLIENT, bytes);
        enum watch_false_end found = s->watch->false_end;
        s->watch->false_end = WATCH_FALSE_END_NONE;
        if (s->watch->is_forbidden) {
            relay_refuse_command(s);
            return false;
        }
        if (found == WATCH_FALSE_END_BEHIND || (found && is_refusing)) {
            relay_refuse_data(s);
            return false;
        }
        if (s->tap)
            trace_tap_relay(s, true, str_head(bytes, n));
        /* What is sent on ends in the same place for every server. */
        if ((n > 0 && conn_send(&s->server, bytes.p, n) < 0) ||
            (found && conn_send(&s->server, ".", 1) < 0)) {
            session_end(s, SESSION_END_SERVER_ERROR);
            return false;
        }
        bytes = str_skip(bytes, n);
    }
    return true;
}

/* The same while the session ends: how many bytes had their place. What the client says beyond the
 * command that is under way goes to nobody. */
static size_t relay_end_client(struct session *s, struct str bytes)
{
    size_t done = goodbye_pass(s, true, bytes.p, bytes.n);
    if (done < bytes.n && !relay_is_over(s) && s->watch->is_server_due &&
        relay_keep_early(s, str_skip(bytes, done)))
        done = bytes.n;
    return done;
}

/* The server has answered: what the client said too early has one meaning now. */
static void relay_take_early(struct session *s)
{
    if (!s->early || relay_is_over(s) || s->watch->is_server_due)
        return;
    struct buf *early = STEAL(s->early);
    bool is_wanted;
    if (s->kill) {
        (void)relay_end_client(s, buf_str(early));
        is_wanted = !relay_is_over(s) && goodbye_wants_client(s);
    } else {
        is_wanted = relay_send_client(s, buf_str(early));
    }
    if (is_wanted && !relay_is_full(&s->server, &s->client))
        conn_want_read(&s->client, true);
    buf_wipe(early);
    free(early);
}

/* Passes one chunk on; false when this side has to wait or everything is over. */
static bool relay_pass(struct session *s, struct conn *c, const char *p, size_t n)
{
    struct conn *peer = relay_peer(s, c);
    bool is_client = c == &s->client;
    if (s->kill) {
        size_t done = is_client ? relay_end_client(s, str_n(p, n)) : goodbye_pass(s, false, p, n);
        relay_count(s, c, done);
        if (!is_client)
            relay_take_early(s);
        return !relay_is_over(s) && done == n && !relay_is_full(relay_peer(s, c), c) &&
               (!is_client || goodbye_wants_client(s));
    }
    relay_count(s, c, n);
    if (is_client)
        return relay_send_client(s, str_n(p, n)) && !relay_is_full(peer, c);
    if (s->watch)
        (void)s->proto->watch_feed(s->watch, WATCH_SERVER, str_n(p, n));
    if (s->tap)
        trace_tap_relay(s, false, str_n(p, n));
    if (conn_send(peer, p, n) < 0) {
        session_end(s, SESSION_END_CLIENT_ERROR);
        return false;
    }
    relay_take_early(s);
    return !relay_is_over(s) && !relay_is_full(peer, c);
}

static void relay_readable(struct conn *c)
{
    struct session *s = c->owner;
    char *scratch = loop_scratch(s->env->loop);
    size_t n;
    relay_touch(s);
    int err;
    do
        err = conn_read(c, scratch, LOOP_SCRATCH_BYTES, &n);
    while (err == 0 && relay_pass(s, c, scratch, n));
    if (err < 0 && err != -ERR_AGAIN)
        relay_closed(s, c, err);
}

/* This side took everything: the other one may be read again. */
static void relay_drained(struct conn *c)
{
    struct session *s = c->owner;
    struct conn *source = relay_peer(s, c);
    bool is_source_eof = source == &s->client ? s->is_client_eof : s->is_server_eof;
    bool is_wanted = source == &s->server || (s->kill ? goodbye_wants_client(s) : !s->early);
    if (s->is_client_eof && s->is_server_eof)
        session_end(s, s->end);
    else if (!is_source_eof && is_wanted)
        conn_want_read(source, true);
}

static const struct conn_ops relay_ops = {.readable = relay_readable, .drained = relay_drained};

/* ---- begin ---- */

static void relay_log_login(struct session *s)
{
    char id[32];
    SESSION_LOG(s, LOG_LEVEL_INFO, "login", KV_WORD("session", session_id_text(s, id)),
                KV_STR("listener", s->listener->config->name), KV_ADDR("client", &s->peer),
                KV_WORD("tls", s->client_tls[0] ? s->client_tls : NULL), KV_STR("user", s->user),
                KV_WORD("mechanism", session_method(s)), KV_STR("source", s->auth_source),
                KV_STR("pool", s->backend->pool), KV_STR("backend", s->backend->name),
                KV_ADDR("server", &s->server_addr), KV_STR("route", s->route_reason));
}

void relay_enlist(struct session *s)
{
    s->relay_ms = loop_now_ms(s->env->loop);
    s->is_counted = true;
    session_count(s, COUNTER_RELAYING, 1);
    session_count(s, COUNTER_LOGINS, 1);
    atomic_fetch_add_explicit(&s->backend->sessions, 1, memory_order_relaxed);
    relay_log_login(s);
    session_note(s, SESSION_NOTE_LOGIN, s->auth_source);
}

void relay_watch(struct session *s, struct str learned)
{
    s->watch = zalloc(s->proto->watch_size);
    if (s->watch)
        s->proto->watch_init(s->watch, learned);
}

void relay_begin(struct session *s, const struct buf *rest, struct str learned)
{
    AUTO_SECRET_BUF early = s->pre->in; /* what the client sent after its login command */
    s->pre->in = BUF_INIT;
    bool is_eof = s->pre->is_client_eof;
    session_enter(s, SESSION_RELAY);
    if (relay_is_over(s))
        return;
    if (s->tap)
        trace_tap_relay_begin(s);
    struct str client_name = buf_str(&s->pre->front->client_id);
    if (client_name.n > 0)
        s->client_name = str_dup(client_name);
    preauth_free(s);
    relay_watch(s, learned);
    if (!s->watch) { /* what no client may say could not be told from the rest */
        session_end(s, SESSION_END_NOMEM);
        return;
    }
    s->watch->is_strict = s->listener->config->bare_newline != BARE_NEWLINE_PASS;
    conn_own(&s->client, &relay_ops, s);
    conn_own(&s->server, &relay_ops, s);
    relay_enlist(s);
    if (rest->len > 0)
        (void)relay_pass(s, &s->server, rest->data + rest->start, rest->len);
    if (relay_is_over(s))
        return;
    if (conn_uncork(&s->client) < 0) {
        session_end(s, SESSION_END_CLIENT_ERROR);
        return;
    }
    bool is_client_open =
        early.len == 0 || relay_pass(s, &s->client, early.data + early.start, early.len);
    if (relay_is_over(s))
        return;
    conn_want_read(&s->server, conn_pending(&s->client) == 0);
    if (is_eof)
        s->end = relay_has_quit(s) ? SESSION_END_CLIENT_QUIT : SESSION_END_CLIENT_CLOSED;
    if (is_eof && !s->early)
        conn_shutdown(&s->server);
    else
        conn_want_read(&s->client, is_client_open);
    relay_touch(s);
    if (!s->kill)
        session_set_timer(s, relay_limit_ms(s));
}
