/* SPDX-License-Identifier: ISC */
/* SASL with bearer tokens: XOAUTH2 and OAUTHBEARER (RFC 7628). */
#include "proto/sasl/sasl_mech.h"

#define OAUTH_SEP '\x01'

/* What the key=value pairs of a response said; borrowed from it. */
struct oauth_pairs {
    struct str user;
    struct str auth;
    bool has_auth;
};

/* Pairs, each ended by ^A, then one more ^A. False when the frame is broken or a key comes twice.
 */
static bool oauth_parse_pairs(struct str in, struct oauth_pairs *ret)
{
    struct oauth_pairs pairs = {0};
    bool has_user = false;
    while (in.n > 0 && in.p[0] != OAUTH_SEP) {
        ptrdiff_t end = str_index(in, OAUTH_SEP);
        if (end < 0)
            return false;
        struct str value = str_n(in.p, (size_t)end);
        ptrdiff_t equals = str_index(value, '=');
        if (equals <= 0)
            return false;
        struct str key = str_n(value.p, (size_t)equals);
        value = str_n(value.p + equals + 1, value.n - (size_t)equals - 1);
        in = str_n(in.p + end + 1, in.n - (size_t)end - 1);
        bool is_auth = str_ieq(key, STR("auth")), is_user = str_ieq(key, STR("user"));
        if ((is_auth && pairs.has_auth) || (is_user && has_user))
            return false;
        if (is_auth) {
            pairs.auth = value;
            pairs.has_auth = true;
        } else if (is_user) {
            pairs.user = value;
            has_user = true;
        }
    }
    if (in.n != 1)
        return false;
    *ret = pairs;
    return true;
}

/* "Bearer b64token" (RFC 6750): takes the token as the secret. */
static bool oauth_take_token(struct sasl *s, struct str auth)
{
    const struct str scheme = STR("Bearer ");
    if (!str_is_iprefix(auth, scheme))
        return false;
    struct str token = str_trim(str_n(auth.p + scheme.n, auth.n - scheme.n));
    if (token.n == 0 || !str_is_printable_ascii(token) || str_index(token, ' ') >= 0)
        return false;
    return sasl_take(&s->cred.secret, token);
}

enum sasl_result sasl_xoauth2_step(struct sasl *s, bool has_response, struct str response,
                                   struct buf *out)
{
    struct oauth_pairs pairs;
    (void)out; /* its prompt is an empty challenge */
    if (s->is_error_sent)
        return SASL_FAILED;
    if (!has_response)
        return s->step == 0 ? SASL_CHALLENGE : SASL_FAILED;
    if (!oauth_parse_pairs(response, &pairs) || pairs.user.n == 0 ||
        !sasl_take_name(&s->cred.user, pairs.user) || !oauth_take_token(s, pairs.auth))
        return SASL_FAILED;
    return SASL_CREDENTIALS;
}

/* "n,a=user,": no channel binding exists for bearer tokens; cuts the header off *in. */
static bool oauth_take_gs2(struct sasl *s, struct str *in)
{
    struct str flag = str_cut(in, ',');
    if (!str_eq(flag, STR("n")) && !str_eq(flag, STR("y")))
        return false;
    ptrdiff_t end = str_index(*in, ',');
    if (end < 0)
        return false;
    struct str authzid = str_n(in->p, (size_t)end);
    *in = str_n(in->p + end + 1, in->n - (size_t)end - 1);
    if (authzid.n == 0)
        return true;
    if (!str_is_prefix(authzid, STR("a=")))
        return false;
    return sasl_take_saslname(&s->cred.user, str_n(authzid.p + 2, authzid.n - 2));
}

enum sasl_result sasl_oauthbearer_step(struct sasl *s, bool has_response, struct str response,
                                       struct buf *out)
{
    struct oauth_pairs pairs;
    if (s->is_error_sent)
        return SASL_FAILED;
    if (!has_response)
        return s->step == 0 ? SASL_CHALLENGE : SASL_FAILED;
    if (!oauth_take_gs2(s, &response) || response.n == 0 || response.p[0] != OAUTH_SEP ||
        !oauth_parse_pairs(str_n(response.p + 1, response.n - 1), &pairs) || !pairs.has_auth)
        return SASL_FAILED;
    if (pairs.auth.n == 0) /* RFC 7628 4.3: a client that asks where to get a token */
        return sasl_error_challenge(s, NULL, out) ? SASL_CHALLENGE : SASL_FAILED;
    /* The token alone does not tell where to route: some name is needed. */
    if (s->cred.user.len == 0 && !sasl_take_name(&s->cred.user, pairs.user))
        return SASL_FAILED;
    if (s->cred.user.len == 0 || !oauth_take_token(s, pairs.auth))
        return SASL_FAILED;
    return SASL_CREDENTIALS;
}

bool sasl_error_challenge(struct sasl *s, const char *text, struct buf *out)
{
    const char *json = NULL;
    if (s->mech == SASL_XOAUTH2)
        json = "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}";
    else if (s->mech == SASL_OAUTHBEARER)
        json = "{\"status\":\"invalid_token\",\"schemes\":\"bearer\",\"scope\":\"mail\"}";
    if (!json || s->is_error_sent || buf_append_c(out, text ? text : json) < 0)
        return false;
    s->is_error_sent = true;
    return true;
}
