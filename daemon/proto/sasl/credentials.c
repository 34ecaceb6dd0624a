/* SPDX-License-Identifier: ISC */
/* What a client proved or claims: taking values, wiping and copying. */
#include "proto/sasl/sasl_mech.h"

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

bool sasl_take(struct buf *dst, struct str value)
{
    if (str_has_crlf_nul(value))
        return false;
    buf_clear(dst);
    return buf_append_str(dst, value) == 0;
}

bool sasl_take_name(struct buf *dst, struct str value)
{
    return str_is_utf8(value) && sasl_take(dst, value);
}

bool sasl_take_saslname(struct buf *dst, struct str value)
{
    AUTO_SECRET_BUF name = BUF_INIT;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == ',')
            return false;
        if (c == '=') {
            struct str code = str_n(value.p + i + 1, value.n - i - 1 < 2 ? value.n - i - 1 : 2);
            if (!str_ieq(code, STR("2C")) && !str_ieq(code, STR("3D")))
                return false;
            c = code.p[0] == '2' ? ',' : '=';
            i += 2;
        }
        if (buf_append_char(&name, c) < 0)
            return false;
    }
    return name.len > 0 && sasl_take_name(dst, buf_str(&name));
}
