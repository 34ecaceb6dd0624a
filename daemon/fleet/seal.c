/* SPDX-License-Identifier: ISC */
/* Sealing with GnuTLS: version, nonce, encrypted text, tag. */
#include "fleet/seal.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define SEAL_VERSION 1
#define NONCE_BYTES 12 /* random: a key may seal 2^32 texts (NIST SP 800-38D, 8.3) */
#define TAG_BYTES 16
#define LABEL_PREFIX "mailproxy fleet "

_Static_assert(SEAL_MORE_BYTES == 1 + NONCE_BYTES + TAG_BYTES, "what is around a text");

static gnutls_datum_t datum(const void *p, size_t n)
{
    return (gnutls_datum_t){(unsigned char *)p, (unsigned)n};
}

int seal_init(struct seal *s, const uint8_t secret[SEAL_SECRET_BYTES], const char *label)
{
    char info[64];
    uint8_t prk[32];
    const gnutls_datum_t key = datum(secret, SEAL_SECRET_BYTES), salt = datum(NULL, 0),
                         extracted = datum(prk, sizeof(prk));
    int n = snprintf(info, sizeof(info), LABEL_PREFIX "%s", label);
    const gnutls_datum_t about = datum(info, (size_t)n);
    bool is_made =
        (size_t)n < sizeof(info) && gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &key, &salt, prk) >= 0 &&
        gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &extracted, &about, s->key, sizeof(s->key)) >= 0;
    gnutls_memset(prk, 0, sizeof(prk));
    return is_made ? 0 : -ERR_TLS;
}

void seal_fini(struct seal *s)
{
    gnutls_memset(s->key, 0, sizeof(s->key));
}

static int seal_cipher(const struct seal *s, gnutls_aead_cipher_hd_t *ret)
{
    const gnutls_datum_t key = datum(s->key, sizeof(s->key));
    return gnutls_aead_cipher_init(ret, GNUTLS_CIPHER_AES_256_GCM, &key) < 0 ? -ERR_TLS : 0;
}

int seal_text(const struct seal *s, struct str place, struct str text, struct buf *out)
{
    gnutls_aead_cipher_hd_t cipher;
    size_t n = text.n + TAG_BYTES;
    if (text.n > SEAL_TEXT_MAX)
        return -ERR_TOO_LONG;
    int err = buf_reserve(out, SEAL_MORE_BYTES + text.n);
    if (err == 0)
        err = seal_cipher(s, &cipher);
    if (err < 0)
        return err;
    char *to = buf_tail(out), *nonce = to + 1, *rest = nonce + NONCE_BYTES;
    *to = SEAL_VERSION;
    hash_random(nonce, NONCE_BYTES);
    if (gnutls_aead_cipher_encrypt(cipher, nonce, NONCE_BYTES, place.p, place.n, TAG_BYTES, text.p,
                                   text.n, rest, &n) < 0 ||
        n != text.n + TAG_BYTES)
        err = -ERR_TLS;
    else
        buf_commit(out, SEAL_MORE_BYTES + text.n);
    gnutls_aead_cipher_deinit(cipher);
    return err;
}

int seal_open(const struct seal *s, struct str place, struct str sealed, struct buf *out)
{
    gnutls_aead_cipher_hd_t cipher;
    if (sealed.n < SEAL_MORE_BYTES || *sealed.p != SEAL_VERSION)
        return -ERR_AUTH;
    if (sealed.n > SEAL_MORE_BYTES + SEAL_TEXT_MAX)
        return -ERR_TOO_LONG;
    const char *nonce = sealed.p + 1, *rest = nonce + NONCE_BYTES;
    size_t n = sealed.n - SEAL_MORE_BYTES;
    int err = buf_reserve(out, n + 1); /* for an empty text, too */
    if (err == 0)
        err = seal_cipher(s, &cipher);
    if (err < 0)
        return err;
    if (gnutls_aead_cipher_decrypt(cipher, nonce, NONCE_BYTES, place.p, place.n, TAG_BYTES, rest,
                                   n + TAG_BYTES, buf_tail(out), &n) < 0 ||
        n != sealed.n - SEAL_MORE_BYTES)
        err = -ERR_AUTH;
    else
        buf_commit(out, n);
    gnutls_aead_cipher_deinit(cipher);
    return err;
}
