/* SPDX-License-Identifier: ISC */
/* The client's side of SASL towards mail servers, and the values of XCLIENT. */
#include "proto/back_sasl.h"

#define TOKEN_BITS (SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER))

enum back_failure back_sasl_check(const struct back_env *env)
{
    const struct credentials *c = env->cred;
    bool is_bad = str_has_crlf_nul(env->helo) || str_has_crlf_nul(env->mail_from) ||
                  str_has_crlf_nul(env->rcpt_to) || str_has_crlf_nul(str_of(env->client_name)) ||
                  str_has_crlf_nul(str_of(env->master_user));
    if (c)
        is_bad = is_bad || str_has_crlf_nul(buf_str(&c->user)) ||
                 str_has_crlf_nul(buf_str(&c->authzid)) || str_has_crlf_nul(buf_str(&c->secret));
    if (is_bad)
        return BACK_FAIL_BAD_CREDENTIAL;
    return c && !env->is_check && env->ttl == 0 ? BACK_FAIL_LOOP : BACK_FAIL_NONE;
}

bool back_sasl_has_secret(const struct back_env *env)
{
    const struct credentials *c = env->cred;
    bool is_digest = c->mech == SASL_CRAM_MD5 || c->mech == SASL_APOP;
    return c->secret.len > 0 && !(is_digest && c->salt.len > 0);
}

enum sasl_mech back_sasl_pick(const struct back_env *env, unsigned offered)
{
    enum sasl_mech own = env->cred->mech;
    if (!back_sasl_has_secret(env))
        return SASL_NONE;
    if (own < SASL_MECH_COUNT && (SASL_BIT(own) & TOKEN_BITS)) {
        if (offered & SASL_BIT(own))
            return own;
        enum sasl_mech other = own == SASL_XOAUTH2 ? SASL_OAUTHBEARER : SASL_XOAUTH2;
        return offered & SASL_BIT(other) ? other : SASL_NONE;
    }
    if (offered & SASL_BIT(SASL_PLAIN))
        return SASL_PLAIN;
    /* LOGIN cannot name somebody else to act as */
    bool has_authzid = env->master_user || env->cred->authzid.len > 0;
    return !has_authzid && (offered & SASL_BIT(SASL_LOGIN)) ? SASL_LOGIN : SASL_NONE;
}

/* [authzid] NUL authcid NUL passwd, RFC 4616; a master user acts for the user. */
static int back_sasl_plain(const struct back_env *env, struct buf *out)
{
    const struct credentials *c = env->cred;
    struct str user = buf_str(&c->user), authzid = buf_str(&c->authzid);
    if (env->master_user) {
        authzid = user;
        user = str_of(env->master_user);
    }
    if (buf_append_str(out, authzid) < 0 || buf_append_char(out, '\0') < 0 ||
        buf_append_str(out, user) < 0 || buf_append_char(out, '\0') < 0 ||
        buf_append_str(out, buf_str(&c->secret)) < 0)
        return -ERR_NOMEM;
    return 0;
}

/* saslname, RFC 5801. */
static int back_sasl_append_name(struct buf *out, struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        int r = c == ','   ? buf_append_c(out, "=2C")
                : c == '=' ? buf_append_c(out, "=3D")
                           : buf_append_char(out, c);
        if (r < 0)
            return r;
    }
    return 0;
}

static int back_sasl_token(const struct back_env *env, enum sasl_mech mech, struct buf *out)
{
    struct str user = buf_str(&env->cred->user);
    int r;
    if (mech == SASL_XOAUTH2) {
        r = buf_append_c(out, "user=");
        r = r < 0 ? r : buf_append_str(out, user);
    } else {
        r = buf_append_c(out, "n,a=");
        r = r < 0 ? r : back_sasl_append_name(out, user);
        r = r < 0 ? r : buf_append_char(out, ',');
    }
    if (r < 0 ||
        buf_append_c(out, "\x01"
                          "auth=Bearer ") < 0 ||
        buf_append_str(out, buf_str(&env->cred->secret)) < 0 || buf_append_c(out, "\x01\x01") < 0)
        return -ERR_NOMEM;
    return 0;
}

int back_sasl_message(const struct back_env *env, enum sasl_mech mech, unsigned step,
                      struct buf *out)
{
    if (mech == SASL_LOGIN && step < 2)
        return buf_append_str(out, buf_str(step == 0 ? &env->cred->user : &env->cred->secret));
    if (mech == SASL_PLAIN && step == 0)
        return back_sasl_plain(env, out);
    bool is_token = mech == SASL_XOAUTH2 || mech == SASL_OAUTHBEARER;
    if (is_token && step == 0)
        return back_sasl_token(env, mech, out);
    /* RFC 7628 section 3.2.3: a lone ^A answers the error; XOAUTH2 answers with nothing */
    if (is_token && step == 1)
        return mech == SASL_OAUTHBEARER ? buf_append_char(out, '\x01') : 0;
    return -ERR_RANGE;
}

unsigned back_sasl_mask(struct str names)
{
    unsigned mask = 0;
    for (struct str word = str_word(&names); word.n > 0; word = str_word(&names)) {
        enum sasl_mech mech = sasl_find(word);
        if (mech < SASL_APOP)
            mask |= SASL_BIT(mech);
    }
    return mask;
}

bool back_has_word(struct str list, const char *word)
{
    for (struct str w = str_word(&list); w.n > 0; w = str_word(&list))
        if (str_ieq(w, str_of(word)))
            return true;
    return false;
}

int back_append_xtext(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        bool is_plain = c > 32 && c < 127 && c != '+' && c != '=';
        int r = is_plain ? buf_append_char(out, (char)c) : buf_printf(out, "+%02X", c);
        if (r < 0)
            return r;
    }
    return 0;
}
