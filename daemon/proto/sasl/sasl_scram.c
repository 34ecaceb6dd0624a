/* SPDX-License-Identifier: ISC */
/* SASL SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, server side (RFC 5802, RFC 7677). */
#include <stdlib.h>

#include "proto/sasl/sasl_mech.h"

#define SCRAM_KEY 32
#define SCRAM_NONCE 30 /* characters of about 6.5 bits each */
#define SCRAM_FAKE_SALT_BYTES 16
#define SCRAM_FAKE_ITERATIONS 4096

enum scram_phase { SCRAM_FIRST, SCRAM_KEYS, SCRAM_FINAL, SCRAM_OVER };

struct sasl_scram {
    enum scram_phase phase;
    bool is_known; /* the keys are those of a real user */
    struct sasl_scram_keys keys;
    struct buf gs2_header; /* "p=tls-exporter,a=x," as sent */
    struct buf nonce;      /* the client's and ours */
    struct buf
        auth_message; /* grows: client-first-bare "," server-first "," client-final-without-proof */
};

int sasl_scram_new(struct sasl *s)
{
    s->scram = calloc(1, sizeof(*s->scram));
    return s->scram ? 0 : -ERR_NOMEM;
}

void sasl_scram_free(struct sasl_scram *m)
{
    if (!m)
        return;
    buf_fini(&m->gs2_header);
    buf_fini(&m->nonce);
    buf_wipe(&m->auth_message);
    explicit_bzero(m, sizeof(*m));
    free(m);
}

/* "n" / "y" / "p=name": is that flag right for the mechanism and what we offered? */
static bool scram_is_binding_ok(const struct sasl *s, struct str flag)
{
    bool has_binding = s->env->channel_binding.n > 0;
    if (s->mech == SASL_SCRAM_SHA_256_PLUS)
        return has_binding && str_is_prefix(flag, STR("p=")) &&
               str_eq(str_n(flag.p + 2, flag.n - 2), str_of(s->env->cb_name));
    if (str_eq(flag, STR("n")))
        return true;
    /* "y": the client could bind but did not see us offer it. If we did, somebody took it out of
     * the list. */
    return str_eq(flag, STR("y")) && !has_binding;
}

/* Cuts an attribute "x=value" off *in; false when it is not the wanted one or empty. */
static bool scram_cut_attr(struct str *in, char name, struct str *ret_value)
{
    struct str attr = str_cut(in, ',');
    if (attr.n < 3 || attr.p[0] != name || attr.p[1] != '=')
        return false;
    *ret_value = str_n(attr.p + 2, attr.n - 2);
    return true;
}

/* The client's nonce, then ours: printable characters without the comma, as RFC 5802 section 5.1
 * wants. */
static int scram_make_nonce(struct sasl *s, struct str client_nonce)
{
    uint8_t nonce[SCRAM_NONCE];
    s->env->crypto->random(nonce, sizeof(nonce));
    for (size_t i = 0; i < sizeof(nonce); i++) {
        nonce[i] = (uint8_t)('!' + nonce[i] % ('~' - '!' + 1));
        if (nonce[i] == ',')
            nonce[i] = '.';
    }
    int r = buf_append_str(&s->scram->nonce, client_nonce);
    return r < 0 ? r : buf_append(&s->scram->nonce, nonce, sizeof(nonce));
}

/* gs2-header client-first-message-bare */
static enum sasl_result scram_first(struct sasl *s, struct str in)
{
    struct sasl_scram *m = s->scram;
    struct str rest = in, name, nonce;
    if (!scram_is_binding_ok(s, str_cut(&rest, ',')))
        return SASL_FAILED;
    struct str authzid = str_cut(&rest, ',');
    if (!rest.p)
        return SASL_FAILED;
    if (authzid.n > 0 &&
        (!str_is_prefix(authzid, STR("a=")) ||
         !sasl_take_saslname(&s->cred.authzid, str_n(authzid.p + 2, authzid.n - 2))))
        return SASL_FAILED;
    struct str header = str_n(in.p, (size_t)(rest.p - in.p)), bare = rest;
    /* a mandatory extension "m=" comes first and is refused with everything else that is no name */
    if (!scram_cut_attr(&rest, 'n', &name) || !scram_cut_attr(&rest, 'r', &nonce))
        return SASL_FAILED;
    if (!str_is_printable_ascii(nonce) || str_index(nonce, ' ') >= 0 ||
        !sasl_take_saslname(&s->cred.user, name))
        return SASL_FAILED;
    if (buf_append_str(&m->gs2_header, header) < 0 || buf_append_str(&m->auth_message, bare) < 0 ||
        scram_make_nonce(s, nonce) < 0)
        return SASL_FAILED;
    m->phase = SCRAM_KEYS;
    return SASL_NEED_KEYS;
}

/* Keys for a user that does not exist: the same salt each time, and a proof that can never be
 * right. */
static void scram_fake_keys(struct sasl *s, struct sasl_scram_keys *ret)
{
    const struct sasl_crypto *crypto = s->env->crypto;
    uint8_t digest[SCRAM_KEY];
    *ret = (struct sasl_scram_keys){.iterations = s->env->fake_iterations ? s->env->fake_iterations
                                                                          : SCRAM_FAKE_ITERATIONS,
                                    .salt_len = SCRAM_FAKE_SALT_BYTES};
    if (s->env->fake_secret.n > 0)
        crypto->hmac_sha256(s->env->fake_secret, buf_str(&s->cred.user), digest);
    else
        crypto->random(digest, sizeof(digest));
    memcpy(ret->salt, digest, SCRAM_FAKE_SALT_BYTES);
    crypto->random(ret->stored_key, sizeof(ret->stored_key));
    crypto->random(ret->server_key, sizeof(ret->server_key));
}

enum sasl_result sasl_scram_set_keys(struct sasl *s, const struct sasl_scram_keys *keys,
                                     struct buf *out)
{
    struct sasl_scram *m = s->scram;
    AUTO_BUF first = BUF_INIT;
    if (m->phase != SCRAM_KEYS)
        return SASL_FAILED;
    m->is_known =
        keys && keys->iterations > 0 && keys->salt_len > 0 && keys->salt_len <= sizeof(keys->salt);
    if (m->is_known)
        m->keys = *keys;
    else
        scram_fake_keys(s, &m->keys);
    if (buf_printf(&first, "r=%.*s,s=", STR_ARG(buf_str(&m->nonce))) < 0 ||
        str_base64_encode(str_n(m->keys.salt, m->keys.salt_len), &first) < 0 ||
        buf_printf(&first, ",i=%u", (unsigned)m->keys.iterations) < 0)
        return SASL_FAILED;
    if (buf_append_char(&m->auth_message, ',') < 0 ||
        buf_append_str(&m->auth_message, buf_str(&first)) < 0 ||
        buf_append_str(out, buf_str(&first)) < 0)
        return SASL_FAILED;
    m->phase = SCRAM_FINAL;
    return SASL_CHALLENGE;
}

/* c= must repeat the header we saw and, with PLUS, carry the data of this very connection. */
static bool scram_check_binding(const struct sasl *s, struct str c)
{
    AUTO_BUF got = BUF_INIT;
    AUTO_BUF want = BUF_INIT;
    if (str_base64_decode(c, &got) < 0 || buf_append_str(&want, buf_str(&s->scram->gs2_header)) < 0)
        return false;
    if (s->mech == SASL_SCRAM_SHA_256_PLUS && buf_append_str(&want, s->env->channel_binding) < 0)
        return false;
    return str_eq_secret(buf_str(&got), buf_str(&want));
}

/* ClientProof against StoredKey, RFC 5802 section 3. */
static bool scram_check_proof(const struct sasl *s, struct str proof)
{
    const struct sasl_scram *m = s->scram;
    const struct sasl_crypto *crypto = s->env->crypto;
    AUTO_SECRET_BUF raw = BUF_INIT;
    uint8_t key[SCRAM_KEY], stored[SCRAM_KEY];
    if (str_base64_decode(proof, &raw) < 0 || raw.len != SCRAM_KEY)
        return false;
    crypto->hmac_sha256(str_n(m->keys.stored_key, SCRAM_KEY), buf_str(&m->auth_message), key);
    for (size_t i = 0; i < SCRAM_KEY; i++)
        key[i] ^= (uint8_t)buf_str(&raw).p[i];
    crypto->sha256(str_n(key, SCRAM_KEY), stored);
    bool is_equal = str_eq_secret(str_n(stored, SCRAM_KEY), str_n(m->keys.stored_key, SCRAM_KEY));
    explicit_bzero(key, sizeof(key));
    return is_equal;
}

/* c=...,r=...[,extensions],p=... */
static enum sasl_result scram_final(struct sasl *s, struct str in, struct buf *out)
{
    struct sasl_scram *m = s->scram;
    struct str binding, nonce;
    uint8_t signature[SCRAM_KEY];
    m->phase = SCRAM_OVER;
    size_t at = in.n; /* where the proof starts: it is the last attribute */
    while (at > 0 && in.p[at - 1] != ',')
        at--;
    struct str proof = str_skip(in, at);
    if (at == 0 || proof.n <= 2 || !str_is_prefix(proof, STR("p=")))
        return SASL_FAILED;
    struct str rest = str_n(in.p, at - 1);
    if (buf_append_char(&m->auth_message, ',') < 0 || buf_append_str(&m->auth_message, rest) < 0)
        return SASL_FAILED;
    if (!scram_cut_attr(&rest, 'c', &binding) || !scram_cut_attr(&rest, 'r', &nonce))
        return SASL_FAILED;
    if (!scram_check_binding(s, binding) || !str_eq(nonce, buf_str(&m->nonce)))
        return SASL_FAILED;
    /* computed for unknown users as well: the time must not tell */
    if (!scram_check_proof(s, str_skip(proof, 2)) || !m->is_known)
        return SASL_FAILED;
    s->env->crypto->hmac_sha256(str_n(m->keys.server_key, SCRAM_KEY), buf_str(&m->auth_message),
                                signature);
    if (buf_append_c(out, "v=") < 0 || str_base64_encode(str_n(signature, SCRAM_KEY), out) < 0)
        return SASL_FAILED;
    s->cred.is_proved = true;
    return SASL_CREDENTIALS;
}

enum sasl_result sasl_scram_step(struct sasl *s, bool has_response, struct str response,
                                 struct buf *out)
{
    if (!has_response) /* the client speaks first: an empty challenge invites it */
        return s->step == 0 ? SASL_CHALLENGE : SASL_FAILED;
    if (s->scram->phase == SCRAM_FIRST)
        return scram_first(s, response);
    if (s->scram->phase == SCRAM_FINAL)
        return scram_final(s, response, out);
    return SASL_FAILED;
}
