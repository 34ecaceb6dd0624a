/* SPDX-License-Identifier: ISC */
/* Sealing: version, nonce, encrypted text, tag. */
#include "fleet/seal.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "io/crypto.h"

#define SEAL_VERSION 1
#define LABEL_PREFIX "mailproxy fleet "

/* Nonces are random: a key may seal 2^32 texts (NIST SP 800-38D, 8.3). */
_Static_assert(SEAL_MORE_BYTES == 1 + CRYPTO_NONCE_BYTES + CRYPTO_TAG_BYTES,
               "what is around a text");
_Static_assert(SEAL_KEY_BYTES == CRYPTO_KEY_BYTES, "one size of keys");

int seal_init(struct seal *s, const uint8_t secret[SEAL_SECRET_BYTES], const char *label)
{
    char info[64];
    int n = snprintf(info, sizeof(info), LABEL_PREFIX "%s", label);
    return (size_t)n < sizeof(info)
               ? crypto_hkdf(str_n(secret, SEAL_SECRET_BYTES), str_n(info, (size_t)n), s->key)
               : -ERR_TLS;
}

void seal_fini(struct seal *s)
{
    explicit_bzero(s->key, sizeof(s->key));
}

int seal_text(const struct seal *s, struct str place, struct str text, struct buf *out)
{
    if (text.n > SEAL_TEXT_MAX)
        return -ERR_TOO_LONG;
    int err = buf_reserve(out, SEAL_MORE_BYTES + text.n);
    if (err < 0)
        return err;
    char *to = buf_tail(out), *nonce = to + 1;
    *to = SEAL_VERSION;
    hash_random(nonce, CRYPTO_NONCE_BYTES);
    err = crypto_gcm_encrypt(s->key, (uint8_t *)nonce, place, text, nonce + CRYPTO_NONCE_BYTES);
    if (err == 0)
        buf_commit(out, SEAL_MORE_BYTES + text.n);
    return err;
}

int seal_open(const struct seal *s, struct str place, struct str sealed, struct buf *out)
{
    if (sealed.n < SEAL_MORE_BYTES || *sealed.p != SEAL_VERSION)
        return -ERR_AUTH;
    if (sealed.n > SEAL_MORE_BYTES + SEAL_TEXT_MAX)
        return -ERR_TOO_LONG;
    const uint8_t *nonce = (const uint8_t *)sealed.p + 1;
    size_t n = sealed.n - SEAL_MORE_BYTES;
    int err = buf_reserve(out, n + 1); /* for an empty text, too */
    if (err == 0)
        err = crypto_gcm_decrypt(s->key, nonce, place, str_skip(sealed, 1 + CRYPTO_NONCE_BYTES),
                                 buf_tail(out));
    if (err == 0)
        buf_commit(out, n);
    return err;
}
