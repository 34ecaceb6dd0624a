/* SPDX-License-Identifier: ISC */
/* What a client proved or claims: wiping and copying. */
#include "proto/sasl.h"

void credentials_wipe(struct credentials *c)
{
    if (!c)
        return;
    buf_wipe(&c->user);
    buf_wipe(&c->authzid);
    buf_wipe(&c->secret);
    buf_wipe(&c->salt);
    *c = (struct credentials){.mech = SASL_NONE};
}

int credentials_copy(struct credentials *dst, const struct credentials *src)
{
    CLEANUP(credentials_wipe)
    struct credentials copy = {.mech = src->mech, .is_proved = src->is_proved};
    if (buf_append_str(&copy.user, buf_str(&src->user)) < 0 ||
        buf_append_str(&copy.authzid, buf_str(&src->authzid)) < 0 ||
        buf_append_str(&copy.secret, buf_str(&src->secret)) < 0 ||
        buf_append_str(&copy.salt, buf_str(&src->salt)) < 0)
        return -ERR_NOMEM;
    credentials_wipe(dst);
    *dst = copy;
    copy = (struct credentials){.mech = SASL_NONE};
    return 0;
}
