/* SPDX-License-Identifier: ISC */
/* The provider `users`: people of the store.
 *
 * Whoever has no account in the store is passed on to the next provider. Whoever has a password
 * there is judged here alone: a wrong one is wrong, no other provider is asked. An account without
 * a password is judged by the next provider, by the backend where there is none. */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "auth/proof.h"
#include "auth/provider.h"
#include "base/clock.h"
#include "base/secret.h"
#include "io/crypto.h"
#include "store/store.h"

#define TOKEN_MECHANISMS (SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER))

/* A hash that no password has: what unknown users are compared with before any user was seen. */
static const char decoy_hash[] =
    "$y$j9T$hsLWEEJ5/YM1aCUHo9oOK1$BAiHP0kl5pmEx10Ldp/Gyr49WqNJ6fbllG8VjBDYGb7";

struct users {
    struct auth_provider base;
    char *decoy; /* the last known user's hash: an unknown user costs what a known one does */
};

enum verdict {
    USERS_ABSENT,   /* no account in the store */
    USERS_RIGHT,    /* proved */
    USERS_WRONG,    /* refuted */
    USERS_UNJUDGED, /* an account without a password */
    USERS_ELSEWHERE /* a token, which only another provider can judge */
};

struct users_job {
    struct job job;
    struct auth_query *q;
    struct store *store;
    char *decoy;       /* NULL = spend no time on unknown users: another provider will */
    uint64_t proof_ms; /* how long a right password is remembered */
    int err;
    enum verdict verdict;
    const char *reason; /* static; of USERS_WRONG */
    struct store_user user;
    struct sasl_scram_keys keys;
    bool has_keys;
};

/* ---- on an auth thread: judging ---- */

static bool digest_is_right(const struct credentials *c, const char *password)
{
    uint8_t digest[16];
    char hex[2 * sizeof(digest) + 1];
    AUTO_SECRET_BUF text = BUF_INIT;
    if (c->mech == SASL_CRAM_MD5) {
        crypto_sasl()->hmac_md5(str_of(password), buf_str(&c->salt), digest);
    } else if (buf_append_str(&text, buf_str(&c->salt)) < 0 || buf_append_c(&text, password) < 0 ||
               gnutls_hash_fast(GNUTLS_DIG_MD5, buf_str(&text).p, text.len, digest) < 0) {
        return false;
    }
    str_hex(hex, digest, sizeof(digest));
    return str_eq_secret(str_of(hex), buf_str(&c->secret));
}

static enum verdict judge_digest(struct users_job *j)
{
    const char *plain = j->user.plain_password;
    if (!plain)
        j->reason = "no password is kept for digests";
    else if (digest_is_right(&j->q->ask.cred, plain))
        return USERS_RIGHT;
    return USERS_WRONG;
}

/* The session takes a name from a certificate only when it verified; the name of one that did not
 * must not log in even if it ever came this far. */
static enum verdict judge_proved(struct users_job *j)
{
    const struct auth_ask *a = &j->q->ask;
    bool is_verified = a->r.tls && a->r.tls->verify == TLS_VERIFY_SUCCESS;
    if (a->cred.is_proved && (a->cred.mech != SASL_EXTERNAL || is_verified))
        return USERS_RIGHT;
    j->reason = "identity not proved";
    return USERS_WRONG;
}

static enum verdict judge_password(struct users_job *j)
{
    const struct store_user *u = &j->user;
    struct str password = buf_str(&j->q->ask.cred.secret);
    struct sasl_scram_keys keys;
    int err;
    if (u->password_hash)
        err = proof_verify(u->password_hash, password, j->proof_ms);
    else if (u->plain_password)
        err = str_eq_secret(str_of(u->plain_password), password) ? 0 : -ERR_AUTH;
    else if (!u->scram)
        return USERS_UNJUDGED;
    else if (password_scram_parse(u->scram, &keys) < 0)
        err = -ERR_UNSUPPORTED;
    else {
        err = password_scram_verify(&keys, password);
        explicit_bzero(&keys, sizeof(keys));
    }
    if (err < 0 && err != -ERR_AUTH)
        j->err = err;
    return err == 0 ? USERS_RIGHT : USERS_WRONG;
}

static enum verdict judge_token(struct users_job *j)
{
    const struct store_user *u = &j->user;
    return u->password_hash || u->plain_password || u->scram ? USERS_ELSEWHERE : USERS_UNJUDGED;
}

static enum verdict (*const judges[SASL_MECH_COUNT])(struct users_job *j) = {
    [SASL_PLAIN] = judge_password,
    [SASL_LOGIN] = judge_password,
    [SASL_CRAM_MD5] = judge_digest,
    [SASL_APOP] = judge_digest,
    [SASL_EXTERNAL] = judge_proved,
    [SASL_SCRAM_SHA_256] = judge_proved,
    [SASL_SCRAM_SHA_256_PLUS] = judge_proved,
    [SASL_XOAUTH2] = judge_token,
    [SASL_OAUTHBEARER] = judge_token,
};

static void users_run(struct job *job)
{
    struct users_job *j = CONTAINER_OF(job, struct users_job, job);
    const struct auth_ask *a = &j->q->ask;
    int err = store_user_get(j->store, a->user, &j->user);
    j->err = err == -ERR_NO_USER ? 0 : err;
    if (j->err < 0)
        return;
    if (!j->user.is_stored) {
        j->verdict = USERS_ABSENT;
        if (j->decoy && judges[a->cred.mech] == judge_password) /* for its time alone */
            (void)!password_verify(j->decoy, buf_str(&a->cred.secret));
        return;
    }
    j->verdict = judges[a->cred.mech](j);
    if (!auth_ask_is_own(a)) {
        j->verdict = USERS_WRONG;
        j->reason = "may not act as somebody else";
    }
}

static void keys_run(struct job *job)
{
    struct users_job *j = CONTAINER_OF(job, struct users_job, job);
    int err = store_user_get(j->store, j->q->ask.user, &j->user);
    if (err == 0)
        j->has_keys = j->user.scram && password_scram_parse(j->user.scram, &j->keys) == 0;
    else if (err != -ERR_NO_USER)
        j->err = err;
}

/* ---- on the worker: the answer ---- */

static int fill_result(struct auth_query *q, const struct store_user *u)
{
    struct auth_result *r = &q->result;
    const struct credentials *given = &q->ask.cred;
    struct credentials *c = &r->backend_cred;
    bool is_token = (SASL_BIT(given->mech) & TOKEN_MECHANISMS) != 0;
    /* The secret for the backend: the stored one when there is one, else the client's when that is
     * a password or token, else the kept one. A master user's is never the user's own. */
    struct str secret = u->backend_password || u->master_user ? str_of(u->backend_password)
                        : sasl_is_clear_text(given->mech)     ? buf_str(&given->secret)
                                                              : str_of(u->plain_password);
    c->mech = is_token && !u->backend_password ? given->mech : SASL_PLAIN;
    (void)str_copy(r->user, sizeof(r->user), str_of(u->name));
    if (!auth_copy_text(&r->master_user, u->master_user) ||
        buf_append_c(&c->user, u->backend_user ? u->backend_user : u->name) < 0 ||
        buf_append_str(&c->secret, secret) < 0)
        return -ERR_NOMEM;
    r->status = AUTH_OK;
    return 0;
}

static void users_accept(struct auth_query *q, const struct users_job *j)
{
    const struct store_user *u = &q->login;
    struct auth_result *r = &q->result;
    bool is_unjudged = j->verdict == USERS_UNJUDGED;
    if (is_unjudged && (u->backend_password || u->master_user)) {
        /* the stored secret would open the mailbox for any password */
        query_refuse(q, AUTH_TEMPFAIL, "a user with a backend password needs a password hash");
        return;
    }
    if (fill_result(q, u) < 0) {
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
        return;
    }
    r->is_backend_judge = is_unjudged;
    r->source = is_unjudged ? provider_backend_ops.name : NULL;
    bool is_secret_needed = q->ask.r.is_backend_password_needed || r->master_user;
    if (is_secret_needed && r->backend_cred.secret.len == 0)
        query_refuse(q, AUTH_TEMPFAIL, "no password for the backend is known");
    else
        query_answer(q);
}

/* An account without a password is no way past an auth server: who comes after the store judges,
 * and the mail server where nobody does. */
static void users_finish(struct auth_query *q, const struct users_job *j)
{
    bool is_passed = j->verdict == USERS_ABSENT || j->verdict == USERS_ELSEWHERE ||
                     (j->verdict == USERS_UNJUDGED && !query_is_last(q));
    if (j->err < 0)
        query_refuse(q, AUTH_TEMPFAIL, err_text(j->err));
    else if (j->verdict == USERS_WRONG)
        query_refuse(q, AUTH_REJECTED, j->reason ? j->reason : "wrong password");
    else if (is_passed)
        query_pass(q);
    else
        users_accept(q, j);
}

/* ---- the job ---- */

/* Thread: any. */
static void users_job_free(struct users_job *j)
{
    query_unref(j->q);
    secret_free(j->decoy);
    store_user_fini(&j->user);
    explicit_bzero(j, sizeof(*j));
    free(j);
}

static void users_drop(struct job *job)
{
    users_job_free(CONTAINER_OF(job, struct users_job, job));
}

static void users_done(struct job *job, void *owner)
{
    struct users_job *j = CONTAINER_OF(job, struct users_job, job);
    struct auth_query *q = j->q;
    const char *hash = j->user.password_hash;
    (void)owner;
    q->work = NULL;
    if (q->auth) {
        struct users *p = CONTAINER_OF(q->snapshot->v[q->at], struct users, base);
        if (hash && (!p->decoy || strcmp(p->decoy, hash) != 0)) {
            secret_free(p->decoy);
            p->decoy = str_dup_c(hash);
        }
        q->is_login_known = j->err == 0;
        q->login = j->user;
        j->user = (struct store_user){0};
        users_finish(q, j);
    }
    users_job_free(j);
}

static void keys_done(struct job *job, void *owner)
{
    struct users_job *j = CONTAINER_OF(job, struct users_job, job);
    (void)owner;
    j->q->work = NULL;
    if (j->q->auth)
        query_keys(j->q, j->err < 0 ? -ERR_AUTH_TEMP : 0, j->has_keys ? &j->keys : NULL);
    users_job_free(j);
}

/* Takes the decoy of the pattern. */
static int users_post(struct auth_query *q, const struct users_job *pattern)
{
    struct auth *a = q->auth;
    struct users_job *j = a->store ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        secret_free(pattern->decoy);
        return a->store ? -ERR_NOMEM : -ERR_STORE;
    }
    *j = *pattern;
    j->job.reply = loop_mailbox(a->loop);
    j->job.drop = users_drop;
    j->store = a->store;
    j->q = query_ref(q);
    j->job.source = query_source(q);
    int err = jobs_post(a->jobs, &j->job);
    if (err < 0)
        users_job_free(j);
    else
        q->work = j;
    return err;
}

/* Nobody waits for it any more: no time is spent on it unless it runs already. */
static void users_abandon(struct auth_query *q)
{
    struct users_job *j = q->work;
    q->work = NULL;
    if (j && jobs_withdraw(q->auth->jobs, &j->job))
        users_job_free(j);
}

/* ---- the provider ---- */

static int users_new(struct auth *a, const struct config_auth *c, struct tls_client *tls,
                     struct auth_provider **ret)
{
    (void)tls;
    struct users *p = calloc(1, sizeof(*p));
    (void)a;
    (void)c;
    if (!p)
        return -ERR_NOMEM;
    *ret = &p->base;
    return 0;
}

static void users_free(struct auth_provider *base)
{
    struct users *p = CONTAINER_OF(base, struct users, base);
    secret_free(p->decoy);
    free(p);
}

static void users_check(struct auth_provider *base, struct auth_query *q)
{
    struct users *p = CONTAINER_OF(base, struct users, base);
    struct users_job j = {.job = {.run = users_run, .done = users_done},
                          .proof_ms = base->config->cache_ms};
    if (q->ask.cred.mech == SASL_NONE) {
        query_pass(q);
        return;
    }
    if (query_is_last(q) && !(j.decoy = str_dup_c(p->decoy ? p->decoy : decoy_hash))) {
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
        return;
    }
    int err = users_post(q, &j);
    if (err < 0)
        query_refuse(q, AUTH_TEMPFAIL, err == -ERR_BUSY ? "too many logins wait" : err_text(err));
}

static void users_keys(struct auth_provider *p, struct auth_query *q)
{
    struct users_job j = {.job = {.run = keys_run, .done = keys_done}};
    (void)p;
    if (users_post(q, &j) < 0)
        query_keys(q, -ERR_AUTH_TEMP, NULL);
}

const struct auth_provider_ops provider_users_ops = {
    .name = "users",
    .cached_name = "users (cached)",
    .mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_CRAM_MD5) |
                  SASL_BIT(SASL_APOP) | SASL_BIT(SASL_EXTERNAL) | SASL_BIT(SASL_SCRAM_SHA_256) |
                  SASL_BIT(SASL_SCRAM_SHA_256_PLUS),
    .is_always_asked = true, /* it knows whose tokens are judged elsewhere */
    .new = users_new,
    .free = users_free,
    .check = users_check,
    .keys = users_keys,
    .abandon = users_abandon,
};
