/* SPDX-License-Identifier: ISC */
/* The end that somebody wants of a session. Of a relay it is graceful: no new command of the client
 * is read, what has begun is completed, every command gets its answer; then the goodbye in the
 * words of the protocol. */
#include "session/session_priv.h"
#include "session/trace_tap.h"

#define GOODBYE_BOUNDARY_MS 5000 /* after the grace: for the response that is under way */
/* A stream that cannot be followed ends when its server was the last to speak, this long ago. */
#define GOODBYE_SILENCE_MS 2000

static bool goodbye_is_due(const struct session *s)
{
    return s->watch->is_quiet || (s->kill->is_late && watch_is_boundary(s->watch));
}

/* After LOGOUT or QUIT the server has said it. */
static void goodbye_say(struct session *s)
{
    if (s->watch->is_quiet && strcmp(s->watch->verb, s->proto->quit_verb) == 0)
        session_linger(s, s->end);
    else
        session_leave(s, s->kill->kind, s->kill->text, s->end);
}

/* Something has changed: it is time, or the client is read only where it has to go on. */
static void goodbye_look(struct session *s)
{
    if (goodbye_is_due(s))
        goodbye_say(s);
    else
        conn_want_read(&s->client, goodbye_wants_client(s) && conn_pending(&s->server) == 0);
}

static void goodbye_set_timer(struct session *s)
{
    uint64_t now = loop_now_ms(s->env->loop), by = s->kill->deadline_ms;
    if (s->watch->phase == WATCH_OPAQUE && s->active_ms + GOODBYE_SILENCE_MS < by)
        by = s->active_ms + GOODBYE_SILENCE_MS;
    session_set_timer(s, by > now ? by - now : 1);
}

bool goodbye_wants_client(const struct session *s)
{
    return s->watch->is_client_due && !s->watch->is_server_due && !s->early && !s->is_client_eof;
}

/* From now on only what completes commands that have begun is passed on; ends the session at once
 * where nothing is unanswered. */
static void goodbye_begin(struct session *s)
{
    if (!s->watch) { /* there was no memory for it: nothing is known */
        session_end(s, s->end);
        return;
    }
    if (s->is_orphan) {
        goodbye_server_gone(s);
        return;
    }
    s->watch->is_stepwise = true;
    if (!s->kill->is_late) /* else it has its last seconds already */
        goodbye_set_timer(s);
    goodbye_look(s);
}

size_t goodbye_pass(struct session *s, bool is_client, const char *p, size_t n)
{
    struct conn *to = is_client ? &s->server : &s->client;
    enum watch_side side = is_client ? WATCH_CLIENT : WATCH_SERVER;
    size_t done = 0;
    s->kill->is_client_last = is_client;
    while (done < n && !s->watch->false_end && !s->watch->is_forbidden &&
           (is_client ? s->watch->is_client_due && !s->watch->is_server_due : !goodbye_is_due(s)))
        done += s->proto->watch_feed(s->watch, side, str_n(p + done, n - done));
    if (s->watch->is_forbidden) { /* it was half said when the end began */
        session_end(s, SESSION_END_PROTOCOL);
        return done;
    }
    if (s->tap)
        trace_tap_relay(s, is_client, str_n(p, done));
    if (s->watch->false_end) /* it ends anyway: the message with it */
        session_leave(s, REPLY_BARE_NEWLINE, NULL, SESSION_END_PROTOCOL);
    else if (conn_send(to, p, done) < 0)
        session_end(s, is_client ? SESSION_END_SERVER_ERROR : SESSION_END_CLIENT_ERROR);
    else
        goodbye_look(s);
    return done;
}

/* What the server has said is sent on, whole or not. */
void goodbye_server_gone(struct session *s)
{
    if (watch_is_boundary(s->watch))
        goodbye_say(s);
    else
        session_linger(s, s->end);
}

static void goodbye_look_opaque(struct session *s)
{
    uint64_t now = loop_now_ms(s->env->loop);
    bool is_silent = now >= s->active_ms + GOODBYE_SILENCE_MS;
    if (now >= s->kill->deadline_ms || (is_silent && !s->kill->is_client_last)) {
        session_end(s, s->end);
        return;
    }
    if (is_silent) /* the server works: it has all of the grace */
        session_set_timer(s, s->kill->deadline_ms - now);
    else
        goodbye_set_timer(s);
}

void goodbye_timeout(struct session *s)
{
    if (s->watch->phase == WATCH_OPAQUE) {
        goodbye_look_opaque(s);
        return;
    }
    if (s->kill->is_late) {
        session_end(s, s->end);
        return;
    }
    s->kill->is_late = true;
    session_set_timer(s, GOODBYE_BOUNDARY_MS);
    goodbye_look(s);
}

/* ---- kill ---- */

/* Kinds tell operators' kills and the daemon's own end apart. */
static enum session_end kill_end(enum reply_kind kind)
{
    return kind == REPLY_SHUTDOWN ? SESSION_END_SHUTDOWN : SESSION_END_KILLED;
}

/* What an operator wants of a session. NULL without memory. */
static struct session_kill *kill_note(struct session *s, enum reply_kind kind, const char *text,
                                      uint64_t grace_ms)
{
    struct session_kill *k = s->kill ? s->kill : calloc(1, sizeof(*k));
    uint64_t deadline_ms = loop_now_ms(s->env->loop) + grace_ms;
    if (!k)
        return NULL;
    if (!s->kill) {
        list_init(&k->watches);
        session_count(s, COUNTER_KILLED, kind == REPLY_SHUTDOWN ? 0 : 1);
    }
    if (!s->kill || deadline_ms < k->deadline_ms)
        k->deadline_ms = deadline_ms;
    k->kind = kind;
    (void)str_copy(k->text, sizeof(k->text), text ? str_of(text) : str_of(reply_text(kind)));
    s->end = (uint8_t)kill_end(kind);
    s->kill = k;
    return k;
}

bool session_kill(struct session *s, enum reply_kind kind, const char *text, uint64_t grace_ms,
                  struct session_end_watch *watch)
{
    if (s->is_ended || s->state == SESSION_CLOSING)
        return false;
    struct session_kill *k = kill_note(s, kind, text, grace_ms);
    if (watch && k)
        list_add_tail(&k->watches, &watch->link);
    if (!k || grace_ms == 0)
        session_end(s, kill_end(kind));
    else if (s->state != SESSION_RELAY)
        session_leave(s, kind, text, kill_end(kind));
    else
        goodbye_begin(s);
    if (watch && !k)
        watch->ended(watch, &(const struct session_outcome){.id = s->id});
    return true;
}

void session_cut(struct session *s)
{
    if (!session_kill(s, REPLY_SHUTDOWN, NULL, 0, NULL))
        session_end(s, s->end); /* it waited for the client to read its last words */
}
