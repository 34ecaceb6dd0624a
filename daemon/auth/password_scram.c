/* SPDX-License-Identifier: ISC */
/* SCRAM-SHA-256 keys (RFC 5802, RFC 7677) made from a password, and their text forms. */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

#include "auth/provider.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "io/crypto.h"

/* As many as the exchange shows for unknown users, so that nobody can tell (sasl_scram.c). */
#define SCRAM_ITERATIONS 4096
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_SALT_BYTES 16
#define SCRAM_KEY_BYTES 32

/* Fills in the two keys for the salt and the iterations that are there. */
static int scram_derive(struct str password, struct sasl_scram_keys *k)
{
    const struct sasl_crypto *crypto = crypto_sasl();
    const gnutls_datum_t key = {(void *)password.p, (unsigned)password.n};
    const gnutls_datum_t salt = {k->salt, (unsigned)k->salt_len};
    uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
    if (gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &salt, k->iterations, salted, sizeof(salted)) < 0)
        return -ERR_UNSUPPORTED;
    crypto->hmac_sha256(str_n(salted, sizeof(salted)), STR("Client Key"), client_key);
    crypto->sha256(str_n(client_key, sizeof(client_key)), k->stored_key);
    crypto->hmac_sha256(str_n(salted, sizeof(salted)), STR("Server Key"), k->server_key);
    explicit_bzero(salted, sizeof(salted));
    explicit_bzero(client_key, sizeof(client_key));
    return 0;
}

int password_scram_verify(const struct sasl_scram_keys *keys, struct str password)
{
    struct sasl_scram_keys k = *keys;
    int err = scram_derive(password, &k);
    if (err == 0 && !str_eq_secret(str_n(k.stored_key, sizeof(k.stored_key)),
                                   str_n(keys->stored_key, sizeof(keys->stored_key))))
        err = -ERR_AUTH;
    explicit_bzero(&k, sizeof(k));
    return err;
}

/* RFC 5803: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
static int scram_format(const struct sasl_scram_keys *k, char **ret_text)
{
    AUTO_SECRET_BUF b = BUF_INIT;
    if (buf_printf(&b, "SCRAM-SHA-256$%u:", k->iterations) < 0 ||
        str_base64_encode(str_n(k->salt, k->salt_len), &b) < 0 || buf_append_char(&b, '$') < 0 ||
        str_base64_encode(str_n(k->stored_key, SCRAM_KEY_BYTES), &b) < 0 ||
        buf_append_char(&b, ':') < 0 ||
        str_base64_encode(str_n(k->server_key, SCRAM_KEY_BYTES), &b) < 0)
        return -ERR_NOMEM;
    char *text = buf_steal(&b);
    if (!text)
        return -ERR_NOMEM;
    *ret_text = text;
    return 0;
}

int password_scram(struct str password, char **ret_text)
{
    struct sasl_scram_keys k = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_BYTES};
    if (str_has_crlf_nul(password))
        return -ERR_INVAL;
    hash_random(k.salt, k.salt_len);
    int err = scram_derive(password, &k);
    if (err == 0)
        err = scram_format(&k, ret_text);
    explicit_bzero(&k, sizeof(k));
    return err;
}

/* ---- parsing ---- */

static int scram_decode(struct str text, uint8_t *dst, size_t min, size_t max, size_t *ret_n)
{
    AUTO_SECRET_BUF raw = BUF_INIT;
    int err = str_base64_decode(text, &raw);
    if (err < 0)
        return err;
    if (raw.len < min || raw.len > max)
        return -ERR_SYNTAX;
    memcpy(dst, buf_str(&raw).p, raw.len);
    *ret_n = raw.len;
    return 0;
}

static int scram_fill(struct str iterations, struct str salt, struct str stored, struct str server,
                      struct sasl_scram_keys *ret)
{
    struct sasl_scram_keys k = {0};
    uint64_t n;
    size_t length;
    int err = str_to_u64(iterations, SCRAM_ITERATIONS_MAX, &n);
    if (err == 0 && n == 0)
        err = -ERR_RANGE;
    if (err == 0)
        err = scram_decode(salt, k.salt, 1, sizeof(k.salt), &k.salt_len);
    if (err == 0)
        err = scram_decode(stored, k.stored_key, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, &length);
    if (err == 0)
        err = scram_decode(server, k.server_key, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, &length);
    if (err == 0) {
        k.iterations = (uint32_t)n;
        *ret = k;
    }
    explicit_bzero(&k, sizeof(k));
    return err;
}

int password_scram_parse(const char *text, struct sasl_scram_keys *ret)
{
    const struct str scheme = STR("SCRAM-SHA-256$");
    struct str rest = str_of(text);
    bool is_rfc = str_is_iprefix(rest, scheme);
    if (is_rfc)
        rest = str_n(rest.p + scheme.n, rest.n - scheme.n);
    /* Dovecot: iterations,salt,StoredKey,ServerKey */
    struct str iterations = str_cut(&rest, is_rfc ? ':' : ',');
    struct str salt = str_cut(&rest, is_rfc ? '$' : ',');
    struct str stored = str_cut(&rest, is_rfc ? ':' : ',');
    return rest.p ? scram_fill(iterations, salt, stored, rest, ret) : -ERR_SYNTAX;
}
