/* SPDX-License-Identifier: ISC */
/* The provider `backend`: the credentials go to the mail server, which judges them. */
#include "auth/provider.h"
#include "base/cleanup.h"
#include "store/store.h"

static int provider_backend_new(struct auth *a, const struct config_auth *c, struct tls_client *tls,
                                struct auth_provider **ret)
{
    (void)tls;
    (void)a;
    (void)c;
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : -ERR_NOMEM;
}

static void provider_backend_free(struct auth_provider *p)
{
    free(p);
}

static void backend_check(struct auth_provider *p, struct auth_query *q)
{
    struct auth_result *r = &q->result;
    struct str authzid = buf_str(&q->ask.cred.authzid);
    int err = 0;
    (void)p;
    /* A master user's login is for the mailbox of the one it names: that user is listed and
     * limited. */
    if (authzid.n > 0)
        err = user_name_normalise(authzid, r->user);
    else
        (void)str_copy(r->user, sizeof(r->user), str_of(q->ask.user));
    if (err < 0)
        query_refuse(q, AUTH_REJECTED, "not a possible name to act as");
    else if (credentials_copy(&r->backend_cred, &q->ask.cred) < 0)
        query_refuse(q, AUTH_TEMPFAIL, err_text(ERR_NOMEM));
    else {
        r->status = AUTH_OK;
        r->is_backend_judge = q->ask.cred.mech != SASL_NONE;
        query_answer(q);
    }
}

const struct auth_provider_ops provider_backend_ops = {
    .name = "backend",
    .cached_name = "backend (cached)",
    .mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_XOAUTH2) |
                  SASL_BIT(SASL_OAUTHBEARER),
    .new = provider_backend_new,
    .free = provider_backend_free,
    .check = backend_check,
};
