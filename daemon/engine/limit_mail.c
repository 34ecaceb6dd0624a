/* SPDX-License-Identifier: ISC */
/* Questions about limits: asked by workers, answered by the control thread. */
#include "engine/limit_mail.h"

#include "control/control.h"
#include "engine/worker.h"

/* ---- the control thread's side ---- */

static void answer_client(struct control *c, struct limit_mail *q)
{
    control_admit_client(c, &q->peer, q->back == NULL, &q->verdict);
}

static void answer_login(struct control *c, struct limit_mail *q)
{
    control_admit_login(c, &q->peer, q->user, q->max_sessions, &q->verdict);
}

static void answer_failure(struct control *c, struct limit_mail *q)
{
    control_note_failure(c, &q->peer, q->user, q->credentials, q->delay_ms, &q->verdict);
}

static void answer_release(struct control *c, struct limit_mail *q)
{
    control_release(c, q->has_client ? &q->peer : NULL, q->has_user ? q->user : NULL);
}

/* Nobody is there any more who could use what was counted. */
static void limit_release(struct session_env *env, struct limit_mail *q)
{
    struct worker *w = CONTAINER_OF(env, struct worker, env);
    q->has_client = q->what == LIMIT_CLIENT;
    q->has_user = q->what == LIMIT_LOGIN;
    q->what = LIMIT_RELEASE;
    q->back = NULL;
    q->mail.fn = limit_mail_deliver;
    mailbox_post(w->spec.control, &q->mail);
}

/* Thread: the worker's. */
static void on_limit_answer(struct mail *m, void *owner)
{
    struct limit_mail *q = CONTAINER_OF(m, struct limit_mail, mail);
    struct session_env *env = owner;
    bool is_taken = true;
    if (q->what == LIMIT_FAILURE)
        session_failed(env, q->session, &q->verdict);
    else
        is_taken = session_admitted(env, q->session, &q->verdict);
    if (!is_taken && q->verdict.is_counted)
        limit_release(env, q);
    else
        free(q);
}

void limit_mail_deliver(struct mail *m, void *owner)
{
    static void (*const answers[])(struct control * c, struct limit_mail * q) = {
        [LIMIT_CLIENT] = answer_client,
        [LIMIT_LOGIN] = answer_login,
        [LIMIT_FAILURE] = answer_failure,
        [LIMIT_RELEASE] = answer_release,
    };
    struct limit_mail *q = CONTAINER_OF(m, struct limit_mail, mail);
    answers[q->what](*(struct control **)owner, q);
    if (!q->back) {
        free(q);
        return;
    }
    q->mail.fn = on_limit_answer;
    mailbox_post(q->back, &q->mail);
}

/* ---- the worker's side ---- */

static struct limit_mail *limit_mail_new(struct worker *w, enum limit_question what,
                                         const struct session *s)
{
    struct limit_mail *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->mail.fn = limit_mail_deliver;
    q->what = what;
    q->back = loop_mailbox(w->env.loop);
    q->session = session_id(s);
    q->peer = *session_peer(s);
    (void)str_copy(q->user, sizeof(q->user), str_of(session_user(s)));
    return q;
}

static const struct config_limits *limit_config(const struct worker *w)
{
    return &w->env.setup->config->limits;
}

static bool limit_is_ruled(const struct worker *w)
{
    return atomic_load_explicit(w->spec.is_ruled, memory_order_relaxed);
}

bool limit_mail_is_urgent(const struct worker *w)
{
    const struct config_limits *c = limit_config(w);
    return c->sessions_per_ip || c->sessions_per_user || limit_is_ruled(w);
}

/* Without memory for a question the session goes on: limits are no reason to fail everybody. */
static bool on_admit(void *arg, const struct session *s)
{
    struct worker *w = arg;
    const struct config_limits *c = limit_config(w);
    bool is_limited = c->sessions_per_user || c->login_rate_per_minute || session_max_sessions(s) ||
                      limit_is_ruled(w);
    struct limit_mail *q = is_limited ? limit_mail_new(w, LIMIT_LOGIN, s) : NULL;
    if (!q)
        return true;
    q->max_sessions = session_max_sessions(s);
    mailbox_post(w->spec.control, &q->mail);
    return false;
}

static bool on_admit_client(void *arg, const struct session *s)
{
    struct worker *w = arg;
    struct limit_mail *q = limit_mail_new(w, LIMIT_CLIENT, s);
    if (!q)
        return true;
    mailbox_post(w->spec.control, &q->mail);
    return false;
}

static bool on_fail(void *arg, const struct session *s, uint32_t credentials, uint64_t delay_ms)
{
    struct worker *w = arg;
    const struct config_limits *c = limit_config(w);
    bool is_limited = c->failures_before_delay || c->failures_before_ban || c->users_before_ban ||
                      c->passwords_before_delay;
    struct limit_mail *q = is_limited ? limit_mail_new(w, LIMIT_FAILURE, s) : NULL;
    if (!q)
        return true;
    (void)str_copy(q->user, sizeof(q->user), session_claimed_user(s));
    q->credentials = credentials;
    q->delay_ms = delay_ms;
    mailbox_post(w->spec.control, &q->mail);
    return false;
}

static void on_release(void *arg, const struct session *s)
{
    struct worker *w = arg;
    struct limit_mail *q = limit_mail_new(w, LIMIT_RELEASE, s);
    if (!q)
        return;
    q->back = NULL;
    q->has_user = true;
    mailbox_post(w->spec.control, &q->mail);
}

void limit_mail_hooks(struct session_hooks *hooks)
{
    hooks->admit = on_admit;
    hooks->admit_client = on_admit_client;
    hooks->fail = on_fail;
    hooks->release = on_release;
}

void limit_mail_release_client(struct worker *w, const struct addr *peer)
{
    struct limit_mail *q = calloc(1, sizeof(*q));
    if (!q)
        return;
    *q = (struct limit_mail){
        .mail.fn = limit_mail_deliver, .what = LIMIT_RELEASE, .peer = *peer, .has_client = true};
    mailbox_post(w->spec.control, &q->mail);
}
