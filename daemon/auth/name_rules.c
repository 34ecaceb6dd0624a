/* SPDX-License-Identifier: ISC */
/* What operators said of a name holds whoever judged its password: it is put on a provider's
 * answer. Two names may have something said of them: the one that the client gave, and that of the
 * mailbox it leads to (an auth server's alias, a master user's login for somebody). A lock, a hold
 * or a list of protocols of either holds; pin and session limit are those of the mailbox's. */
#include "auth/provider.h"

struct name_job {
    struct job job;
    struct auth_query *q; /* its ask does not change; one reference */
    struct store *store;
    char user[256]; /* of the mailbox; "" = that of the login */
    bool is_login_wanted;
    int err;
    struct store_user login, mailbox;
};

/* ---- the account of somebody whom another provider judged ---- */

/* The store has an account without a password: who judged it knows nothing of its name, master user
 * and password at the mail server. */
static int account_apply(struct auth_query *q, const struct store_user *u)
{
    struct auth_result *r = &q->result;
    int err = 0;
    if (!u->is_stored || q->snapshot->v[q->at]->config->type == AUTH_TYPE_USERS)
        return 0;
    if (u->backend_user) {
        buf_clear(&r->backend_cred.user);
        err = buf_append_c(&r->backend_cred.user, u->backend_user);
    }
    if (err == 0 && u->master_user && !r->master_user &&
        !auth_copy_text(&r->master_user, u->master_user))
        err = -ERR_NOMEM;
    if (err < 0 || (!u->backend_password && !u->master_user))
        return err;
    r->backend_cred.mech = SASL_PLAIN;
    buf_wipe(&r->backend_cred.secret);
    return buf_append_str(&r->backend_cred.secret, str_of(u->backend_password));
}

/* ---- the rules ---- */

static int rules_take_text(char **field, const char *value)
{
    char *copy = NULL;
    if (!auth_copy_text(&copy, value))
        return -ERR_NOMEM;
    free(*field);
    *field = copy;
    return 0;
}

/* What forbids the login; AUTH_OK = nothing. */
static enum auth_status rules_refusal(struct auth_query *q, const struct store_user *u)
{
    if (store_user_is(u, USER_LOCKED, loop_wall_ms(q->auth->loop))) {
        query_say(q, str_of(u->state_text));
        return AUTH_LOCKED;
    }
    if (u->protocols && !(u->protocols & (1u << q->ask.r.proto->id))) {
        query_say(q, STR("This account may not use this protocol."));
        return AUTH_REJECTED;
    }
    return AUTH_OK;
}

static void rules_apply(struct auth_query *q, const struct store_user *login,
                        const struct store_user *mailbox)
{
    struct auth_result *r = &q->result;
    uint64_t now = loop_wall_ms(q->auth->loop);
    /* The stored secret would open the mailbox for any password. */
    bool has_secret = login->backend_password || login->master_user;
    if (r->is_backend_judge && login->is_stored && has_secret) {
        query_refuse(q, AUTH_TEMPFAIL, "a user with a backend password needs a password hash");
        return;
    }
    int err = account_apply(q, login);
    /* The operator's pin is stronger than the server that an auth server named. */
    if (err == 0 && (mailbox->pool || mailbox->backend)) {
        free(STEAL(r->server_host));
        err = rules_take_text(&r->pool, mailbox->pool);
        err = err < 0 ? err : rules_take_text(&r->backend, mailbox->backend);
    }
    if (err == 0 && mailbox != login)
        err = rules_take_text(&r->login, q->ask.user);
    if (err < 0) {
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
        return;
    }
    if (mailbox->max_sessions)
        r->max_sessions = mailbox->max_sessions;
    r->is_held = store_user_is(login, USER_HELD, now) || store_user_is(mailbox, USER_HELD, now);
    enum auth_status refusal = rules_refusal(q, mailbox);
    if (refusal == AUTH_OK && mailbox != login)
        refusal = rules_refusal(q, login);
    r->refusal = refusal;
    /* Nobody learns of a lock who has no right password: where only the backend can judge, the
     * client hears of it when the backend has. */
    if (refusal == AUTH_OK || r->is_backend_judge)
        query_finish(q);
    else
        query_refuse(q, refusal, auth_refusal_reason(refusal));
}

/* ---- looking them up ---- */

/* Thread: any. */
static void name_job_free(struct name_job *j)
{
    query_unref(j->q);
    store_user_fini(&j->login);
    store_user_fini(&j->mailbox);
    free(j);
}

static int name_get(struct store *s, const char *name, struct store_user *ret)
{
    int err = store_user_get(s, name, ret);
    return err == -ERR_NO_USER ? 0 : err;
}

static void name_run(struct job *job)
{
    struct name_job *j = CONTAINER_OF(job, struct name_job, job);
    if (j->is_login_wanted)
        j->err = name_get(j->store, j->q->ask.user, &j->login);
    if (j->err == 0 && j->user[0])
        j->err = name_get(j->store, j->user, &j->mailbox);
}

static void name_done(struct job *job, void *owner)
{
    struct name_job *j = CONTAINER_OF(job, struct name_job, job);
    struct auth_query *q = j->q;
    (void)owner;
    q->name_job = NULL;
    if (q->auth && j->err < 0)
        query_refuse(q, AUTH_TEMPFAIL, err_text(j->err));
    else if (q->auth) {
        const struct store_user *login = j->is_login_wanted ? &j->login : &q->login;
        rules_apply(q, login, j->user[0] ? &j->mailbox : login);
    }
    name_job_free(j);
}

static void name_drop(struct job *job)
{
    name_job_free(CONTAINER_OF(job, struct name_job, job));
}

static void name_abandon(struct auth_query *q)
{
    struct name_job *j = q->name_job;
    q->name_job = NULL;
    if (j && jobs_withdraw(q->auth->jobs, &j->job))
        name_job_free(j);
}

static int name_post(struct auth_query *q, bool is_login_wanted, const char *user)
{
    struct auth *a = q->auth;
    struct name_job *j = calloc(1, sizeof(*j));
    if (!j)
        return -ERR_NOMEM;
    j->job = (struct job){.run = name_run, .done = name_done, .drop = name_drop};
    j->job.reply = loop_mailbox(a->loop);
    j->job.source = query_source(q);
    j->store = a->store;
    j->is_login_wanted = is_login_wanted;
    (void)str_copy(j->user, sizeof(j->user), str_of(user));
    j->q = query_ref(q);
    int err = jobs_post(a->jobs, &j->job);
    if (err < 0)
        name_job_free(j);
    else
        q->name_job = j;
    q->abandon_names = name_abandon;
    return err;
}

static void name_rules_apply(struct auth_query *q)
{
    const char *user = q->result.user;
    bool is_other = user[0] && strcmp(user, q->ask.user) != 0;
    bool is_any = q->auth->store && q->auth->has_names;
    bool is_login_wanted = is_any && !q->is_login_known;
    bool is_mailbox_wanted = is_any && is_other;
    static const struct store_user nothing;
    if (!is_login_wanted && !is_mailbox_wanted) {
        rules_apply(q, &q->login, is_other ? &nothing : &q->login);
        return;
    }
    int err = name_post(q, is_login_wanted, is_mailbox_wanted ? user : NULL);
    if (err < 0)
        query_refuse(q, AUTH_TEMPFAIL, err == -ERR_BUSY ? "too many logins wait" : err_text(err));
}

void query_answer(struct auth_query *q)
{
    struct auth_result *r = &q->result;
    if (!r->source)
        r->source = q->snapshot->v[q->at]->ops->name;
    if (r->status == AUTH_OK && q->ask.cred.mech != SASL_NONE)
        name_rules_apply(q);
    else
        query_finish(q);
}
