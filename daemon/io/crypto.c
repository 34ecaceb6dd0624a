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
