/* SPDX-License-Identifier: ISC */
/* Answers to the client while it logs in: challenges, and failures with log lines and delays. */
#include "base/hash.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

/* ---- the SASL exchange ---- */

void front_forget_exchange(struct session *s)
{
    struct preauth *p = s->pre;
    sasl_free(p->sasl);
    p->sasl = NULL;
    p->cred = NULL;
    p->is_sasl_over = p->is_error_challenge = false;
}

void front_challenge(struct session *s, struct buf *challenge)
{
    AUTO_BUF reply = BUF_INIT;
    session_enter(s, SESSION_SASL);
    if (s->is_ended)
        return;
    if (s->proto->auth_continue(s->pre->front, buf_str(challenge), &reply) < 0)
        session_end(s, SESSION_END_NOMEM);
    else
        (void)!session_send(s, &reply);
}

bool front_challenge_error(struct session *s, const char *text)
{
    AUTO_BUF out = BUF_INIT;
    if (!s->pre->sasl || !sasl_error_challenge(s->pre->sasl, text, &out))
        return false;
    s->pre->is_error_challenge = true;
    front_challenge(s, &out);
    return true;
}

/* ---- failures ---- */

/* Its order is a promise to programs that ban: what the client chose comes behind its address and
 * the cause (conf/fail2ban). */
static void front_log_failure(const struct session *s, enum reply_kind kind, struct str why)
{
    const struct credentials *cred = s->pre->cred;
    struct str user = cred ? buf_str(&cred->user) : str_of(s->user);
    SESSION_LOG(s, LOG_LEVEL_NOTICE, "login-failed", KV_STR("session", s->pre->session_id),
                KV_STR("listener", s->listener->config->name), KV_ADDR("client", &s->peer),
                KV_STR("cause", reply_name(kind)), KV_STRN("user", user),
                KV_STR("mechanism", session_method(s)), KV_STR("source", s->auth_source),
                KV_STR("backend", s->backend ? s->backend->name : NULL), KV_STRN("reason", why));
}

void front_note_failure(struct session *s, enum reply_kind kind, const char *judge, struct str why)
{
    s->auth_source = judge;
    if (why.n == 0)
        why = str_of(reply_text(kind));
    if (s->tap)
        trace_tap_note_words(s, "login-failed", why);
    if (session_may_log(s, LOG_LEVEL_NOTICE, true))
        front_log_failure(s, kind, why);
    session_note_failure(s, kind, why);
}

bool front_has_failed_enough(struct session *s, enum session_end end)
{
    unsigned max = s->listener->config->max_errors;
    if (++s->pre->failures < max || max == 0)
        return false;
    session_leave(s, REPLY_TOO_MANY_BAD, NULL, end);
    return true;
}

void front_refused(struct session *s)
{
    struct front *f = s->pre->front;
    s->is_login_command = f->cred.mech != SASL_NONE;
    s->mech = (uint8_t)f->auth_mech;
    free(s->user); /* of an earlier try */
    s->user = NULL;
    s->pre->cred = &f->cred;
    if (s->tap)
        trace_match_user(s);
    front_note_failure(s, f->refusal, "proxy", STR_NULL);
    s->pre->cred = NULL;
    credentials_wipe(&f->cred);
    session_count(s, COUNTER_BAD_COMMANDS, 1);
    session_enter(s, SESSION_COMMAND);
    if (!s->is_ended)
        (void)front_has_failed_enough(s, SESSION_END_TOO_MANY_BAD);
}

void front_fail(struct session *s, enum reply_kind kind, const char *code, const char *text)
{
    AUTO_BUF reply = BUF_INIT;
    if (s->is_ended || !s->pre || s->state == SESSION_CLOSING)
        return;
    session_release_user(s);
    credentials_wipe(&s->pre->front->cred);
    credentials_wipe(&s->pre->backend_cred);
    front_forget_exchange(s);
    if (s->proto->reply(s->pre->front, kind, code, text, &reply) < 0) {
        session_end(s, SESSION_END_NOMEM);
        return;
    }
    if (session_send(s, &reply) < 0)
        return;
    session_enter(s, SESSION_COMMAND);
    if (s->is_ended || !front_has_failed_enough(s, SESSION_END_AUTH))
        session_next_command(s);
}

void front_failure_due(struct session *s)
{
    const struct preauth_failure f = *s->pre->failure;
    s->pre->failure->is_set = false;
    if (!f.is_final && !f.is_banned) {
        front_fail(s, f.kind, f.code[0] ? f.code : NULL, f.text[0] ? f.text : NULL);
        return;
    }
    AUTO_BUF reply = BUF_INIT;
    if (s->proto->reply(s->pre->front, f.kind, f.code[0] ? f.code : NULL, f.text[0] ? f.text : NULL,
                        &reply) < 0)
        session_end(s, SESSION_END_NOMEM);
    else if (session_send(s, &reply) == 0 && f.is_banned)
        session_leave(s, REPLY_BANNED, f.ban_text[0] ? f.ban_text : NULL, SESSION_END_LIMIT);
    else if (!s->is_ended)
        session_linger(s, f.end);
}

int front_keep_failure(struct session *s, const struct preauth_failure *f)
{
    struct preauth *p = s->pre;
    if (!p->failure && !(p->failure = malloc(sizeof(*p->failure)))) {
        session_end(s, SESSION_END_NOMEM);
        return -ERR_NOMEM;
    }
    if (f != p->failure)
        *p->failure = *f;
    return 0;
}

void front_fail_later(struct session *s, const struct preauth_failure *f, uint64_t delay_ms)
{
    if (s->is_ended || !s->pre)
        return;
    if (front_keep_failure(s, f) < 0)
        return;
    s->pre->failure->is_set = true;
    session_enter(s, SESSION_AUTH);
    if (s->is_ended)
        return;
    if (delay_ms == 0)
        front_failure_due(s);
    else
        session_set_timer(s, delay_ms);
}

/* Only clear secrets tell one guess from another. */
static uint32_t front_hash_guess(const struct session *s)
{
    AUTO_SECRET_BUF guess = BUF_INIT;
    const struct credentials *cred = s->pre->cred;
    if (!cred || cred->secret.len == 0 || buf_append_str(&guess, buf_str(&cred->user)) < 0 ||
        buf_append_char(&guess, '\0') < 0 || buf_append_str(&guess, buf_str(&cred->secret)) < 0)
        return 0;
    return (uint32_t)hash_sip(s->env->guess_key, buf_str(&guess));
}

void front_fail_wrong(struct session *s, const struct preauth_failure *f, uint64_t delay_ms)
{
    const struct session_hooks *h = &s->env->hooks;
    if (s->is_ended || !s->pre)
        return;
    if (!h->fail || s->mech == SASL_NONE) {
        front_fail_later(s, f, delay_ms);
        return;
    }
    struct session_verdict v;
    struct preauth_failure judged = *f;
    h->fail(h->arg, s, front_hash_guess(s), delay_ms, &v);
    judged.is_banned = v.is_refused;
    if (v.is_refused) {
        session_count(s, COUNTER_LIMITED, 1);
        (void)str_copy(judged.ban_text, sizeof(judged.ban_text), str_of(v.text));
    }
    front_fail_later(s, &judged, v.delay_ms);
}
