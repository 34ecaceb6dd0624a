/* SPDX-License-Identifier: ISC */
/* The SASL exchange of one login: from the mechanism's name to credentials. */
#include "base/clock.h"
#include "base/hash.h"
#include "io/crypto.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

static void session_sasl_take(struct session *s, enum sasl_result result, struct buf *out);

/* The exchange ends without a judgement. */
static void sasl_refuse(struct session *s, enum reply_kind why)
{
    front_note_failure(s, why, "proxy", STR_NULL);
    front_fail(s, why, NULL, NULL);
}

/* Stable for the life of the process, so that asking twice about an unknown user tells nothing. */
static struct str sasl_fake_secret(void)
{
    static uint8_t secret[32];
    static atomic_int state; /* 0 unset, 1 being set, 2 set */
    int unset = 0;
    if (atomic_compare_exchange_strong(&state, &unset, 1)) {
        hash_random(secret, sizeof(secret));
        atomic_store(&state, 2);
    }
    return atomic_load(&state) == 2 ? str_n(secret, sizeof(secret)) : STR_NULL;
}

static void sasl_make_env(struct session *s)
{
    struct preauth *p = s->pre;
    /* Who was not told of it has not declined it. */
    unsigned announced = p->front_env.mechanisms & ~p->front_env.hidden;
    bool is_bound = announced & SASL_BIT(SASL_SCRAM_SHA_256_PLUS) ||
                    p->front->auth_mech == SASL_SCRAM_SHA_256_PLUS;
    uint64_t seed = 0; /* of the one mechanism whose challenge needs it: it is a system call */
    if (p->front->auth_mech == SASL_CRAM_MD5) {
        hash_random(&seed, sizeof(seed));
        seed ^= clock_wall_ms();
    }
    p->sasl_env = (struct sasl_env){
        .crypto = crypto_sasl(),
        .server_name = s->listener->config->server_name,
        .external_identity = str_of(p->identity),
        .is_external_any = s->listener->config->is_external_any,
        .channel_binding = is_bound ? buf_str(&p->channel_binding) : STR_NULL,
        .cb_name = p->sasl_env.cb_name,
        .challenge_seed = seed,
        .fake_secret = sasl_fake_secret(),
    };
}

/* What is noted from here on is of this try, not of an earlier one. */
static void sasl_forget_try(struct session *s)
{
    s->mech = (uint8_t)s->pre->front->auth_mech;
    s->is_login_command = false;
    s->auth_source = NULL;
    free(s->user);
    s->user = NULL;
}

void sasl_begin(struct session *s)
{
    struct preauth *p = s->pre;
    enum sasl_mech mech = p->front->auth_mech;
    AUTO_SECRET_BUF out = BUF_INIT;
    front_forget_exchange(s);
    sasl_forget_try(s);
    if (mech >= SASL_MECH_COUNT || !(p->front_env.mechanisms & SASL_BIT(mech))) {
        sasl_refuse(s, REPLY_MECH_DISABLED);
        return;
    }
    sasl_make_env(s);
    p->sasl = sasl_new(mech, &p->sasl_env);
    if (!p->sasl) {
        sasl_refuse(s, REPLY_INTERNAL);
        return;
    }
    session_enter(s, SESSION_SASL);
    if (!s->is_ended)
        session_sasl_take(
            s, sasl_step(p->sasl, p->front->has_initial, buf_str(&p->front->auth_data), &out),
            &out);
}

static void on_keys(void *arg, int err, const struct sasl_scram_keys *keys)
{
    struct session *s = arg;
    AUTO_SECRET_BUF out = BUF_INIT;
    s->pre->query = NULL;
    if (err < 0) {
        s->pre->cred = sasl_credentials(s->pre->sasl);
        front_note_failure(s, REPLY_AUTH_TEMPFAIL, "users", str_of(err_text(err)));
        front_fail(s, REPLY_AUTH_TEMPFAIL, NULL, NULL);
        return;
    }
    session_sasl_take(s, sasl_set_keys(s->pre->sasl, keys, &out), &out);
    session_next_command(s);
}

static void sasl_failed(struct session *s)
{
    const struct preauth_failure f = {.kind = REPLY_AUTH_FAILED, .end = SESSION_END_AUTH};
    if (s->tap) {
        trace_match_user(s);
        trace_tap_note(s, "the exchange failed: %s", sasl_name(s->mech));
    }
    s->pre->cred = sasl_credentials(s->pre->sasl);
    session_count(s, COUNTER_AUTH_FAILURES, 1);
    AUTO_FREE char *why = str_printf("the %s exchange failed", sasl_name(s->mech));
    front_note_failure(s, REPLY_AUTH_FAILED, "proxy", str_of(why));
    front_fail_wrong(s, &f, s->listener->config->timeouts.failure_delay_ms);
}

static void session_sasl_take(struct session *s, enum sasl_result result, struct buf *out)
{
    struct preauth *p = s->pre;
    switch (result) {
    case SASL_CHALLENGE:
        front_challenge(s, out);
        break;
    case SASL_NEED_KEYS:
        session_enter(s, SESSION_AUTH);
        if (s->is_ended)
            return;
        p->query = auth_keys(s->env->auth, buf_str(&sasl_credentials(p->sasl)->user), on_keys, s);
        if (!p->query)
            sasl_refuse(s, REPLY_INTERNAL);
        break;
    case SASL_CREDENTIALS:
        if (out->len > 0) { /* SCRAM's last word; the client answers with nothing */
            s->pre->is_sasl_over = true;
            front_challenge(s, out);
        } else {
            authenticate(s, sasl_credentials(s->pre->sasl));
        }
        break;
    case SASL_FAILED:
        sasl_failed(s);
        break;
    }
}

void sasl_data(struct session *s)
{
    struct preauth *p = s->pre;
    AUTO_SECRET_BUF out = BUF_INIT;
    if (!p->sasl) {
        sasl_refuse(s, REPLY_INTERNAL);
        return;
    }
    if (p->is_error_challenge)
        front_fail_wrong(s, p->failure, 0);
    else if (p->is_sasl_over)
        authenticate(s, sasl_credentials(p->sasl));
    else
        session_sasl_take(s, sasl_step(p->sasl, true, buf_str(&p->front->auth_data), &out), &out);
}

void sasl_broken(struct session *s, enum reply_kind kind)
{
    if (s->pre->is_error_challenge) {
        sasl_data(s);
    } else if (kind == REPLY_AUTH_CANCELLED) { /* the client's own doing: nobody refused it */
        front_fail(s, kind, NULL, NULL);
    } else {
        sasl_forget_try(s);
        sasl_refuse(s, kind);
    }
}
