/* SPDX-License-Identifier: ISC */
/* What happens to a session from outside its sockets: start, deadlines, and the ends of holds (for
 * kills see goodbye.c). The phases in their order are front, sasl, authenticate, connect, relay:
 * each hands over to the next one; the ways back are in session_phases. */
#include "session/session_priv.h"

/* ---- start ---- */

int session_start(struct session_env *env, struct snapshot *snapshot, unsigned listener, int fd,
                  const struct addr *peer, bool is_counted)
{
    struct session *s = session_new(env, snapshot, listener, peer);
    int err = s ? conn_adopt(&s->client, fd) : -ERR_NOMEM;
    if (err < 0)
        close(fd);
    else if ((err = session_enlist(s)) < 0)
        conn_close(&s->client);
    if (err < 0) {
        if (s)
            session_free(s);
        return err;
    }
    s->is_client_counted = is_counted;
    char id[32], client[ADDR_TEXT_MAX];
    if (session_may_log(s, LOG_LEVEL_DEBUG, false)) {
        addr_format(client, peer);
        SESSION_LOG(s, LOG_LEVEL_DEBUG, "session-start", KV_STR("session", session_id_text(s, id)),
                    KV_STR("listener", s->listener->config->name), KV_STR("client", client));
    }
    front_begin(s);
    return 0;
}

/* ---- deadlines ---- */

static void session_timeout(struct session *s)
{
    switch ((enum session_state)s->state) {
    case SESSION_CLOSING:
        session_end(s, s->end);
        return;
    case SESSION_RELAY:
        relay_timeout(s);
        return;
    case SESSION_GREETING:
        front_greet(s);
        return;
    case SESSION_HELD:
        connect_hold_tick(s);
        return;
    case SESSION_AUTH:
        if (s->pre->failure && s->pre->failure->is_set) {
            front_failure_due(s);
            return;
        }
        break;
    default:
        break;
    }
    /* A login that is under way fails with its session. */
    if (s->pre && s->pre->cred && s->state >= SESSION_AUTH && s->state < SESSION_RELAY) {
        AUTO_FREE char *why = str_printf("timed out in state %s", session_state_name(s->state));
        front_note_failure(s, REPLY_TIMEOUT, "proxy", str_of(why));
    }
    session_leave(s, REPLY_TIMEOUT, NULL, SESSION_END_TIMEOUT);
}

/* ---- holds ---- */

void session_wake_held(struct session_env *env, const char *user)
{
    struct list todo; /* who has to wait on is in the list again */
    list_init(&todo);
    list_splice_tail(&todo, &env->held);
    while (!list_is_empty(&todo)) {
        struct session *s = LIST_ITEM(todo.next, struct preauth, held)->session;
        list_del(&s->pre->held);
        list_add_tail(&env->held, &s->pre->held);
        if (!user || (s->user && strcmp(s->user, user) == 0))
            connect_wake(s);
    }
}

/* ---- the ways back ---- */

const struct session_phases session_phases = {.timeout = session_timeout,
                                              .next_command = front_pump,
                                              .judge_again = authenticate_again,
                                              .refuse_proved = authenticate_refuse_proved};
