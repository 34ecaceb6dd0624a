/* SPDX-License-Identifier: ISC */
/* The cryptography that the protocol floor asks for, done by GnuTLS. */
#include "io/crypto.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/hash.h"
#include "base/zalloc.h"

static void crypto_hmac(gnutls_mac_algorithm_t mac, struct str key, struct str data, void *ret,
                        size_t n)
{
    if (gnutls_hmac_fast(mac, key.p, key.n, data.p, data.n, ret) < 0)
        hash_random(ret, n);
}

static void crypto_hmac_md5(struct str key, struct str data, uint8_t ret[16])
{
    crypto_hmac(GNUTLS_MAC_MD5, key, data, ret, 16);
}

static void crypto_hmac_sha256(struct str key, struct str data, uint8_t ret[32])
{
    crypto_hmac(GNUTLS_MAC_SHA256, key, data, ret, 32);
}

static void crypto_sha256(struct str data, uint8_t ret[32])
{
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data.p, data.n, ret) < 0)
        hash_random(ret, 32);
}

static void crypto_random(void *p, size_t n)
{
    hash_random(p, n);
}

const struct sasl_crypto *crypto_sasl(void)
{
    static const struct sasl_crypto crypto = {
        .hmac_md5 = crypto_hmac_md5,
        .hmac_sha256 = crypto_hmac_sha256,
        .sha256 = crypto_sha256,
        .random = crypto_random,
    };
    return &crypto;
}

/* ---- one key ---- */

struct crypto_hmac {
    gnutls_hmac_hd_t handle;
};

int crypto_hmac_new(struct str key, struct crypto_hmac **ret)
{
    struct crypto_hmac *h = zalloc(sizeof(*h));
    if (!h || gnutls_hmac_init(&h->handle, GNUTLS_MAC_SHA256, key.p, key.n) < 0) {
        free(h);
        return -ERR_NOMEM;
    }
    *ret = h;
    return 0;
}

void crypto_hmac_free(struct crypto_hmac *h)
{
    if (h)
        gnutls_hmac_deinit(h->handle, NULL);
    free(h);
}

void crypto_hmac_of(struct crypto_hmac *h, struct str data, uint8_t ret[32])
{
    bool is_good = gnutls_hmac(h->handle, data.p, data.n) == 0;
    gnutls_hmac_output(h->handle, ret); /* and begins anew */
    if (!is_good)
        hash_random(ret, 32);
}

/* ---- keys and sealed texts ---- */

static gnutls_datum_t datum_of(const void *p, size_t n)
{
    return (gnutls_datum_t){(unsigned char *)p, (unsigned)n};
}

int crypto_hkdf(struct str secret, struct str info, uint8_t ret[CRYPTO_KEY_BYTES])
{
    uint8_t prk[32];
    const gnutls_datum_t key = datum_of(secret.p, secret.n), salt = datum_of(NULL, 0),
                         extracted = datum_of(prk, sizeof(prk)), about = datum_of(info.p, info.n);
    bool is_made =
        gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &key, &salt, prk) >= 0 &&
        gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &extracted, &about, ret, CRYPTO_KEY_BYTES) >= 0;
    gnutls_memset(prk, 0, sizeof(prk));
    return is_made ? 0 : -ERR_TLS;
}

static int gcm_begin(const uint8_t key[CRYPTO_KEY_BYTES], gnutls_aead_cipher_hd_t *ret)
{
    const gnutls_datum_t d = datum_of(key, CRYPTO_KEY_BYTES);
    return gnutls_aead_cipher_init(ret, GNUTLS_CIPHER_AES_256_GCM, &d) < 0 ? -ERR_TLS : 0;
}

int crypto_gcm_encrypt(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES],
                       struct str about, struct str text, char *ret)
{
    gnutls_aead_cipher_hd_t cipher;
    size_t n = text.n + CRYPTO_TAG_BYTES;
    int err = gcm_begin(key, &cipher);
    if (err < 0)
        return err;
    if (gnutls_aead_cipher_encrypt(cipher, nonce, CRYPTO_NONCE_BYTES, about.p, about.n,
                                   CRYPTO_TAG_BYTES, text.p, text.n, ret, &n) < 0 ||
        n != text.n + CRYPTO_TAG_BYTES)
        err = -ERR_TLS;
    gnutls_aead_cipher_deinit(cipher);
    return err;
}

int crypto_gcm_decrypt(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES],
                       struct str about, struct str text, char *ret)
{
    gnutls_aead_cipher_hd_t cipher;
    if (text.n < CRYPTO_TAG_BYTES)
        return -ERR_AUTH;
    size_t n = text.n - CRYPTO_TAG_BYTES, got = n;
    int err = gcm_begin(key, &cipher);
    if (err < 0)
        return err;
    if (gnutls_aead_cipher_decrypt(cipher, nonce, CRYPTO_NONCE_BYTES, about.p, about.n,
                                   CRYPTO_TAG_BYTES, text.p, text.n, ret, &got) < 0 ||
        got != n)
        err = -ERR_AUTH;
    gnutls_aead_cipher_deinit(cipher);
    return err;
}
