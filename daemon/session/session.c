/* SPDX-License-Identifier: ISC */
/* The life of a session: how it begins, changes its state and ends. */
#include "session/session.h"

#include "base/container/map.h"
#include "base/zalloc.h"
#include "session/capabilities.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

/* What states.def says of each state. */
static const struct {
    size_t timeout; /* offset in struct config_timeouts */
    unsigned next;  /* bits of the states that may follow */
} session_states[SESSION_STATE_COUNT] = {
#define S(id, name, timeout_, next_)                                                               \
    [SESSION_##id] = {offsetof(struct config_timeouts, timeout_), next_},
#define TO(id) (1u << SESSION_##id)
#include "session/states.def"
#undef S
};

/* ---- what others hear of ---- */

void session_count(struct session *s, enum counter which, int64_t n)
{
    counter_add(s->env->counters, s->proto->id, which, n);
}

void session_note(struct session *s, enum session_note note, const char *reason)
{
    if (s->env->hooks.note)
        s->env->hooks.note(s->env->hooks.arg, note, s, reason, STR_NULL);
}

void session_note_failure(struct session *s, enum reply_kind kind, struct str detail)
{
    session_count(s, COUNTER_LOGIN_FAILURES, 1);
    if (s->env->hooks.note)
        s->env->hooks.note(s->env->hooks.arg, SESSION_NOTE_FAILURE, s, reply_name(kind), detail);
}

void session_release_user(struct session *s)
{
    if (!s->is_user_counted)
        return;
    if (s->env->hooks.release_user)
        s->env->hooks.release_user(s->env->hooks.arg, s);
    s->is_user_counted = false;
}

/* ---- places ---- */

void session_give_place(struct session *s)
{
    if (!s->has_place)
        return;
    s->has_place = false;
    places_give(s->backend);
}

void session_drop_grant(struct session *s)
{
    struct backend *b = STEAL(s->pre->granted);
    if (b)
        places_give(b);
    backend_unref(b);
}

void session_pin_forget(struct session *s)
{
    struct preauth_pin *p = &s->pre->pin;
    pins_cancel(p->call);
    backend_unref(p->backend);
    free(p->avoid);
    *p = (struct preauth_pin){0};
}

void session_leave_pin(struct session *s)
{
    if (!s->pin)
        return;
    pins_leave(s->env->pins, STEAL(s->pin), s->pre); /* with it the login came to nothing */
}

/* ---- states ---- */

void session_set_timer(struct session *s, uint64_t delay_ms)
{
    if (delay_ms == 0) {
        loop_timer_cancel(s->env->loop, &s->timer);
        return;
    }
    uint64_t now = loop_now_ms(s->env->loop);
    if (s->pre && s->pre->deadline_ms && s->state != SESSION_HELD && s->state != SESSION_CLOSING) {
        uint64_t left = s->pre->deadline_ms > now ? s->pre->deadline_ms - now : 1;
        delay_ms = left < delay_ms ? left : delay_ms;
    }
    loop_timer_set(s->env->loop, &s->timer, delay_ms);
}

void session_enter(struct session *s, enum session_state state)
{
    if (s->is_ended)
        return;
    if (state != SESSION_CLOSING && !(session_states[s->state].next & (1u << state))) {
        SESSION_LOG(s, LOG_LEVEL_ERROR, "session-bad-transition",
                    KV_STR("from", session_state_name(s->state)),
                    KV_STR("to", session_state_name(state)));
        session_end(s, SESSION_END_PROTOCOL);
        return;
    }
    s->state = (uint8_t)state;
    /* Only the states from the question for the pin to the relay have a place, only one that is
     * held waits for one, and both count in the fleet. */
    if (state < SESSION_PIN || state > SESSION_RELAY)
        session_give_place(s);
    if (s->pin && (state < SESSION_HELD || state > SESSION_RELAY))
        session_leave_pin(s);
    if (s->pre && state != SESSION_HELD) {
        places_leave(&s->pre->wait);
        session_drop_grant(s);
    }
    if (s->pre)
        list_del(&s->pre->held);
    if (s->pre && state == SESSION_HELD)
        list_add_tail(&s->env->held, &s->pre->held);
    session_set_timer(s, *(const uint64_t *)((const char *)&s->listener->config->timeouts +
                                             session_states[state].timeout));
}

bool session_may_log(const struct session *s, enum log_level level, bool is_login)
{
    const struct config_limits *c = &s->snapshot->config->limits;
    if (!log_is_on(level))
        return false;
    bool is_trusted = config_limits_trust(c, &s->peer);
    const struct log_quota_max max = {.per_address = is_trusted ? 0 : c->log_lines_per_minute,
                                      .total = c->log_total_per_minute};
    return !s->env->log_quota ||
           log_quota_take(s->env->log_quota, &s->peer, is_login, &max, loop_now_ms(s->env->loop));
}

/* ---- end ---- */

static void session_log_end(struct session *s)
{
    char id[32], cut[12] = "";
    if (s->kill && s->kill->n_cut > 0)
        snprintf(cut, sizeof(cut), "%u", s->kill->n_cut);
    bool has_backend = s->backend && s->relay_ms;
    if (!s->relay_ms && !session_may_log(s, LOG_LEVEL_INFO, false))
        return;
    SESSION_LOG(
        s, LOG_LEVEL_INFO, "session-end", KV_WORD("session", session_id_text(s, id)),
        KV_STR("listener", s->listener->config->name), KV_WORD("proto", s->proto->name),
        KV_ADDR("client", &s->peer), KV_WORD("tls", s->client_tls[0] ? s->client_tls : NULL),
        KV_STR("user", s->user), KV_STR("backend", has_backend ? s->backend->name : NULL),
        KV_ADDR("server", has_backend ? &s->server_addr : NULL),
        KV_WORD("server-tls", s->server_tls[0] ? s->server_tls : NULL),
        KV_U64("in", s->client.in_bytes), KV_U64("out", s->client.out_bytes),
        KV_MS("seconds", loop_now_ms(s->env->loop) - s->started_ms),
        KV_WORD("state", session_state_name(s->state)), KV_WORD("by", session_end_who(s->end)),
        KV_WORD("reason", session_end_name(s->end)), KV_WORD("cut", cut[0] ? cut : NULL));
}

void preauth_free(struct session *s)
{
    struct preauth *p = s->pre;
    if (!p)
        return;
    list_del(&p->held);
    places_leave(&p->wait);
    session_drop_grant(s);
    auth_cancel(p->query);
    resolver_cancel(p->lookup);
    session_pin_forget(s);
    login_cancel(p->login);
    sasl_free(p->sasl);
    if (p->front)
        s->proto->front_free(p->front);
    capabilities_unref(p->capabilities);
    credentials_wipe(&p->backend_cred);
    buf_wipe(&p->in);
    buf_wipe(&p->channel_binding);
    route_fini(&p->route);
    pools_unref(p->pools);
    free(p->identity);
    free(p->master_user);
    free(p->refusal_text);
    free(p->client_host);
    free(p->failure);
    explicit_bzero(p, sizeof(*p));
    free_list_give(&s->env->preauths, p);
    s->pre = NULL;
}

void session_free(struct session *s)
{
    preauth_free(s);
    backend_unref(s->backend);
    snapshot_unref(s->snapshot);
    free(s->watch);
    if (s->early)
        buf_wipe(s->early);
    free(s->early);
    free(s->kill);
    free(s->user);
    free(s->client_name);
    free(s);
}

static void on_death(struct loop_deferred *d)
{
    session_free(CONTAINER_OF(d, struct session, death));
}

/* Tells those who wanted the end how it came. has_words: the goodbye is on its way. */
static void session_tell_outcome(struct session *s, bool has_words)
{
    struct session_kill *k = s->kill;
    struct session_outcome o = {.id = s->id};
    if (!k || k->is_told)
        return;
    k->is_told = true;
    if (s->watch)
        o.n_cut = k->n_cut = watch_unanswered(s->watch);
    o.is_clean = has_words && o.n_cut == 0 && (!s->watch || watch_is_boundary(s->watch));
    if (o.n_cut > 0) {
        session_count(s, COUNTER_COMMANDS_CUT, o.n_cut);
        memcpy(o.verb, s->watch->verb, sizeof(o.verb));
        (void)str_copy(o.user, sizeof(o.user), str_of(s->user));
    }
    while (!list_is_empty(&k->watches)) {
        struct session_end_watch *w = LIST_ITEM(k->watches.next, struct session_end_watch, link);
        list_del(&w->link);
        w->ended(w, &o);
    }
}

/* What a relay added to the totals of others is taken back: the backend has it no more. */
static void session_uncount_relay(struct session *s)
{
    if (!s->is_counted)
        return;
    s->is_counted = false;
    session_count(s, COUNTER_RELAYING, -1);
    atomic_fetch_sub_explicit(&s->backend->sessions, 1, memory_order_relaxed);
    session_tell_bytes(s);
}

void session_tell_bytes(struct session *s)
{
    uint64_t in = s->client.in_bytes - s->told_in, out = s->client.out_bytes - s->told_out;
    s->told_in += in;
    s->told_out += out;
    atomic_fetch_add_explicit(&s->backend->in_bytes, in, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->backend->out_bytes, out, memory_order_relaxed);
}

void session_end(struct session *s, enum session_end end)
{
    if (s->is_ended)
        return;
    s->is_ended = true;
    if (s->end == SESSION_END_NONE)
        s->end = (uint8_t)end;
    loop_timer_cancel(s->env->loop, &s->timer);
    session_tell_outcome(s, false);
    if (s->tap)
        trace_tap_end(s);
    session_leave_pin(s);
    preauth_free(s);
    conn_close(&s->client);
    conn_close(&s->server);
    session_uncount_relay(s);
    session_give_place(s);
    session_count(s, COUNTER_SESSIONS, -1);
    session_log_end(s);
    session_note(s, SESSION_NOTE_END, session_end_name(s->end));
    session_release_user(s);
    if (s->is_client_counted && s->env->hooks.release_client)
        s->env->hooks.release_client(s->env->hooks.arg, s);
    s->is_client_counted = false;
    safe_iters_skip(&s->env->walks, &s->link);
    list_del(&s->link);
    const struct hashed_key id = hashed_key_of(map_key_u64(&s->id));
    (void)table_del(&s->env->by_id, &id);
    s->env->count--;
    loop_defer(s->env->loop, &s->death);
}

/* ---- closing: the client reads our last words, we throw its last bytes away ---- */

static void closing_readable(struct conn *c)
{
    struct session *s = c->owner;
    for (int i = 0; i < 4; i++) {
        size_t n;
        int err = conn_read(c, loop_scratch(s->env->loop), LOOP_SCRATCH_BYTES, &n);
        if (err == -ERR_AGAIN)
            return;
        if (err < 0) {
            session_end(s, s->end);
            return;
        }
        explicit_bzero(loop_scratch(s->env->loop), n); /* may be another login, sent ahead */
    }
}

static const struct conn_ops closing_ops = {.readable = closing_readable};

void session_linger(struct session *s, enum session_end end)
{
    if (s->is_ended || s->state == SESSION_CLOSING)
        return;
    s->end = (uint8_t)end;
    session_enter(s, SESSION_CLOSING);
    if (s->tap)
        trace_tap_input_over(s);
    preauth_free(s);
    conn_close(&s->server);
    session_uncount_relay(s);
    session_tell_outcome(s, true);
    free(s->watch);
    s->watch = NULL;
    if (s->is_client_eof && conn_pending(&s->client) == 0) {
        session_end(s, end);
        return;
    }
    s->client.ops = &closing_ops;
    conn_shutdown(&s->client);
    conn_want_read(&s->client, true);
}

int session_send(struct session *s, const struct buf *b)
{
    if (s->tap)
        trace_tap_client_out(s, buf_str(b));
    int err = conn_send(&s->client, b->data ? b->data + b->start : NULL, b->len);
    if (err < 0)
        session_end(s, SESSION_END_CLIENT_ERROR);
    return err;
}

void session_leave(struct session *s, enum reply_kind kind, const char *text, enum session_end end)
{
    AUTO_BUF words = BUF_INIT;
    if (s->is_ended || s->state == SESSION_CLOSING)
        return;
    bool is_mute = s->client.is_securing || s->state == SESSION_PROXY_HEADER;
    if (s->client.fd < 0 || is_mute || s->proto->farewell(kind, text, &words) < 0) {
        session_end(s, end);
        return;
    }
    if (session_send(s, &words) == 0)
        session_linger(s, end);
}

/* ---- back to an earlier phase ---- */

static void on_session_timer(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, timer);
    s->env->phases->timeout(s);
}

void session_next_command(struct session *s)
{
    s->env->phases->next_command(s);
}

void session_refuse_proved(struct session *s)
{
    s->env->phases->refuse_proved(s);
}

void session_judge_again(struct session *s)
{
    s->env->phases->judge_again(s);
}

/* ---- begin ---- */

struct session *session_new(struct session_env *env, struct snapshot *snapshot, unsigned listener,
                            const struct addr *peer)
{
    struct session *s = zalloc(sizeof(*s));
    struct preauth *p = free_list_take(&env->preauths);
    if (!s || !p) {
        free(s);
        free_list_give(&env->preauths, p);
        return NULL;
    }
    memset(p, 0, sizeof(*p));
    s->env = env;
    s->snapshot = snapshot_ref(snapshot);
    s->listener = &snapshot->listeners[listener];
    s->proto = s->listener->config->proto;
    s->pre = p;
    p->session = s;
    s->mech = SASL_NONE;
    s->peer = *peer;
    s->id = session_id_make(env);
    s->started_ms = s->active_ms = loop_now_ms(env->loop);
    s->started_wall_ms = loop_wall_ms(env->loop);
    p->deadline_ms = s->started_ms + s->listener->config->timeouts.preauth_ms;
    p->smtp_auth = -1;
    list_init(&p->held);
    session_id_format(p->session_id, s->id);
    s->death.fn = on_death;
    list_init(&s->death.link);
    list_init(&s->link);
    loop_timer_init(&s->timer, on_session_timer);
    conn_init(&s->client, env->loop, NULL, s);
    conn_init(&s->server, env->loop, NULL, s);
    return s;
}

int session_enlist(struct session *s)
{
    const struct hashed_key id = hashed_key_of(map_key_u64(&s->id));
    int err = table_add(&s->env->by_id, &id, s);
    if (err < 0)
        return err;
    list_add_tail(&s->env->sessions, &s->link);
    s->env->count++;
    session_count(s, COUNTER_SESSIONS, 1);
    session_count(s, COUNTER_ACCEPTED, 1);
    return 0;
}
