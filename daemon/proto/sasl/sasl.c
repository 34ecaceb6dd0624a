/* SPDX-License-Identifier: ISC */
/* SASL mechanisms: their names, the exchange object, and the steps of PLAIN, LOGIN, CRAM-MD5 and
 * EXTERNAL. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/zalloc.h"
#include "proto/sasl/sasl_mech.h"

static const struct sasl_row {
    const char *name;
    const char *method;
    bool is_clear_text;
} sasl_rows[SASL_MECH_COUNT] = {
#define S(id, name, method, clear, keys) [SASL_##id] = {name, method, clear},
    SASL_MECHANISMS(S)
#undef S
};

const char *sasl_name(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT ? sasl_rows[mech].name : "NONE";
}

const char *sasl_method(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT ? sasl_rows[mech].method : "none";
}

bool sasl_is_clear_text(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT && sasl_rows[mech].is_clear_text;
}

enum sasl_mech sasl_find(struct str name)
{
    for (unsigned i = 0; i < SASL_MECH_COUNT; i++)
        if (str_ieq(name, str_of(sasl_rows[i].name)))
            return (enum sasl_mech)i;
    return SASL_NONE;
}

int sasl_append_list(struct buf *out, unsigned mask, const char *prefix)
{
    /* APOP is a POP3 command, not a mechanism that a list may offer. */
    for (unsigned i = 0; i < SASL_APOP; i++) {
        if (!(mask & SASL_BIT(i)))
            continue;
        if (buf_append_c(out, prefix) < 0 || buf_append_c(out, sasl_rows[i].name) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

static enum sasl_result sasl_challenge(struct buf *out, const char *text)
{
    return buf_append_c(out, text) == 0 ? SASL_CHALLENGE : SASL_FAILED;
}

/* [authzid] NUL authcid NUL passwd, RFC 4616. */
static enum sasl_result sasl_plain_step(struct sasl *s, bool has_response, struct str response,
                                        struct buf *out)
{
    if (!has_response)
        return s->step == 0 ? sasl_challenge(out, "") : SASL_FAILED;
    ptrdiff_t first = str_index(response, '\0');
    if (first < 0)
        return SASL_FAILED;
    struct str authzid = str_n(response.p, (size_t)first);
    struct str rest = str_n(response.p + first + 1, response.n - (size_t)first - 1);
    ptrdiff_t second = str_index(rest, '\0');
    if (second < 0)
        return SASL_FAILED;
    struct str user = str_n(rest.p, (size_t)second);
    struct str secret = str_n(rest.p + second + 1, rest.n - (size_t)second - 1);
    if (user.n == 0 || secret.n == 0 || !sasl_take_name(&s->cred.authzid, authzid) ||
        !sasl_take_name(&s->cred.user, user) || !sasl_take(&s->cred.secret, secret))
        return SASL_FAILED;
    return SASL_CREDENTIALS;
}

/* Two prompts; a non-empty initial response is the user name. */
static enum sasl_result sasl_login_step(struct sasl *s, bool has_response, struct str response,
                                        struct buf *out)
{
    if (s->step == 0 && (!has_response || response.n == 0))
        return sasl_challenge(out, "Username:");
    if (!has_response || response.n == 0)
        return SASL_FAILED;
    if (s->cred.user.len == 0)
        return sasl_take_name(&s->cred.user, response) ? sasl_challenge(out, "Password:")
                                                       : SASL_FAILED;
    return sasl_take(&s->cred.secret, response) ? SASL_CREDENTIALS : SASL_FAILED;
}

static bool sasl_lower_hex(char *digest, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (digest[i] >= 'A' && digest[i] <= 'F')
            digest[i] = (char)(digest[i] - 'A' + 'a');
        bool is_hex =
            (digest[i] >= '0' && digest[i] <= '9') || (digest[i] >= 'a' && digest[i] <= 'f');
        if (!is_hex)
            return false;
    }
    return true;
}

/* "user digest" over a challenge of ours, RFC 2195; whoever knows the password compares. */
static enum sasl_result sasl_cram_md5_step(struct sasl *s, bool has_response, struct str response,
                                           struct buf *out)
{
    enum { DIGEST = 32 };
    if (s->step == 0) {
        uint64_t seed = s->env->challenge_seed;
        /* the server speaks first: there is no initial response */
        if (response.n > 0 || buf_printf(&s->cred.salt, "<%" PRIu64 ".%" PRIu64 "@%s>", seed >> 32,
                                         seed & UINT32_MAX, s->env->server_name) < 0)
            return SASL_FAILED;
        return buf_append_str(out, buf_str(&s->cred.salt)) == 0 ? SASL_CHALLENGE : SASL_FAILED;
    }
    if (!has_response || response.n < DIGEST + 2 || response.p[response.n - DIGEST - 1] != ' ')
        return SASL_FAILED;
    char digest[DIGEST];
    memcpy(digest, response.p + response.n - DIGEST, DIGEST);
    if (!sasl_lower_hex(digest, DIGEST) ||
        !sasl_take_name(&s->cred.user, str_n(response.p, response.n - DIGEST - 1)) ||
        !sasl_take(&s->cred.secret, str_n(digest, DIGEST)))
        return SASL_FAILED;
    return SASL_CREDENTIALS;
}

/* Who it is nobody has proved: the response names the user, and the judge decides. */
static enum sasl_result sasl_external_any_step(struct sasl *s, bool has_response,
                                               struct str response, struct buf *out)
{
    if (!has_response)
        return s->step == 0 ? sasl_challenge(out, "") : SASL_FAILED;
    if (response.n == 0 || !sasl_take_name(&s->cred.user, response))
        return SASL_FAILED;
    return SASL_CREDENTIALS;
}

/* The certificate says who it is; a response names the identity to act as, RFC 4422 appendix A. */
static enum sasl_result sasl_external_step(struct sasl *s, bool has_response, struct str response,
                                           struct buf *out)
{
    struct str identity = s->env->external_identity;
    if (identity.n == 0)
        return s->env->is_external_any ? sasl_external_any_step(s, has_response, response, out)
                                       : SASL_FAILED;
    if (!has_response)
        return s->step == 0 ? sasl_challenge(out, "") : SASL_FAILED;
    if (str_eq(response, identity))
        response = STR_NULL;
    if (!sasl_take_name(&s->cred.user, identity) || !sasl_take_name(&s->cred.authzid, response))
        return SASL_FAILED;
    s->cred.is_proved = true;
    return SASL_CREDENTIALS;
}

typedef enum sasl_result sasl_step_fn(struct sasl *s, bool has_response, struct str response,
                                      struct buf *out);

static sasl_step_fn *const sasl_steps[SASL_MECH_COUNT] = {
    [SASL_PLAIN] = sasl_plain_step,
    [SASL_LOGIN] = sasl_login_step,
    [SASL_CRAM_MD5] = sasl_cram_md5_step,
    [SASL_EXTERNAL] = sasl_external_step,
    [SASL_XOAUTH2] = sasl_xoauth2_step,
    [SASL_OAUTHBEARER] = sasl_oauthbearer_step,
    [SASL_SCRAM_SHA_256] = sasl_scram_step,
    [SASL_SCRAM_SHA_256_PLUS] = sasl_scram_step,
    [SASL_APOP] = NULL, /* a single POP3 command */
};

struct sasl *sasl_new(enum sasl_mech mech, const struct sasl_env *env)
{
    if ((unsigned)mech >= SASL_MECH_COUNT || !sasl_steps[mech])
        return NULL;
    struct sasl *s = zalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->mech = mech;
    s->env = env;
    s->cred.mech = mech;
    bool is_scram = mech == SASL_SCRAM_SHA_256 || mech == SASL_SCRAM_SHA_256_PLUS;
    if (is_scram && sasl_scram_new(s) < 0) {
        sasl_free(s);
        return NULL;
    }
    return s;
}

void sasl_free(struct sasl *s)
{
    if (!s)
        return;
    sasl_scram_free(s->scram);
    credentials_wipe(&s->cred);
    free(s);
}

/* A failed exchange leaves no half-filled credentials behind that somebody could mistake for
 * complete ones. */
static enum sasl_result sasl_end(struct sasl *s, enum sasl_result result)
{
    if (result == SASL_FAILED) {
        enum sasl_mech mech = s->mech;
        credentials_wipe(&s->cred);
        s->cred.mech = mech;
    }
    s->is_over = result == SASL_FAILED || result == SASL_CREDENTIALS;
    return result;
}

enum sasl_result sasl_step(struct sasl *s, bool has_response, struct str response, struct buf *out)
{
    if (s->is_over) /* a message after the outcome breaks RFC 4422 section 3: fail closed */
        return sasl_end(s, SASL_FAILED);
    if (!has_response)
        response = STR_NULL;
    enum sasl_result result = sasl_steps[s->mech](s, has_response, response, out);
    s->step++;
    return sasl_end(s, result);
}

enum sasl_result sasl_set_keys(struct sasl *s, const struct sasl_scram_keys *keys, struct buf *out)
{
    if (s->is_over || !s->scram)
        return sasl_end(s, SASL_FAILED);
    return sasl_end(s, sasl_scram_set_keys(s, keys, out));
}

struct credentials *sasl_credentials(struct sasl *s)
{
    return &s->cred;
}
