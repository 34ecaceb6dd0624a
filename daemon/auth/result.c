/* SPDX-License-Identifier: ISC */
/* An answer: copying and freeing what it owns, and words for it. */
#include "auth/provider.h"

const char *auth_refusal_reason(enum auth_status refusal)
{
    return refusal == AUTH_LOCKED ? "the account is locked"
                                  : "the account may not use this protocol";
}

void auth_result_fini(struct auth_result *r)
{
    credentials_wipe(&r->backend_cred);
    free(r->login);
    free(r->master_user);
    free(r->pool);
    free(r->backend);
    free(r->server_host);
    free(r->sasl_error);
    r->login = r->master_user = r->pool = r->backend = r->server_host = r->sasl_error = NULL;
}

bool auth_copy_text(char **dst, const char *src)
{
    *dst = str_dup_c(src);
    return !src || *dst;
}

int auth_result_copy(struct auth_result *dst, const struct auth_result *src)
{
    struct auth_result r = *src;
    r.text = r.code = r.log_reason = NULL;
    r.backend_cred = (struct credentials){.mech = SASL_NONE};
    r.login = r.master_user = r.pool = r.backend = r.server_host = r.sasl_error = NULL;
    if (credentials_copy(&r.backend_cred, &src->backend_cred) < 0 ||
        !auth_copy_text(&r.login, src->login) ||
        !auth_copy_text(&r.master_user, src->master_user) || !auth_copy_text(&r.pool, src->pool) ||
        !auth_copy_text(&r.backend, src->backend) ||
        !auth_copy_text(&r.server_host, src->server_host)) {
        auth_result_fini(&r);
        return -ERR_NOMEM;
    }
    *dst = r;
    return 0;
}
