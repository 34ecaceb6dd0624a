/* SPDX-License-Identifier: ISC */
/* Private keys in libcrypto, and the functions by which GnuTLS signs with them. */
#include "io/tls/tls_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "io/tls/key_service.h"

/* Room for some 300 RSA keys of 4096 bits; pages are taken when they are used. */
#define KEY_HEAP_BYTES (4 << 20)
#define KEY_HEAP_PIECE 32

struct tls_key {
    EVP_PKEY *pkey;
    gnutls_pk_algorithm_t kind;
    unsigned bits;
    struct key_service *service; /* that has it instead of pkey; NULL there = it is gone */
    uint32_t number;
};

/* How libcrypto is asked for what GnuTLS calls an algorithm. bits: of the only curve that it is
 * for as GnuTLS counts them (whole bytes), 0 = any. RSA's raw form has a DigestInfo of any digest.
 */
static const struct key_algorithm {
    gnutls_sign_algorithm_t algo;
    gnutls_pk_algorithm_t kind;
    const EVP_MD *(*digest)(void);
    int padding;
    unsigned bits;
} key_algorithms[] = {
    {GNUTLS_SIGN_RSA_RAW, GNUTLS_PK_RSA, NULL, RSA_PKCS1_PADDING, 0},
    {GNUTLS_SIGN_RSA_SHA1, GNUTLS_PK_RSA, EVP_sha1, RSA_PKCS1_PADDING, 0},
    {GNUTLS_SIGN_RSA_SHA256, GNUTLS_PK_RSA, EVP_sha256, RSA_PKCS1_PADDING, 0},
    {GNUTLS_SIGN_RSA_SHA384, GNUTLS_PK_RSA, EVP_sha384, RSA_PKCS1_PADDING, 0},
    {GNUTLS_SIGN_RSA_SHA512, GNUTLS_PK_RSA, EVP_sha512, RSA_PKCS1_PADDING, 0},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_PK_RSA, EVP_sha256, RSA_PKCS1_PSS_PADDING, 0},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, GNUTLS_PK_RSA, EVP_sha384, RSA_PKCS1_PSS_PADDING, 0},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, GNUTLS_PK_RSA, EVP_sha512, RSA_PKCS1_PSS_PADDING, 0},
    {GNUTLS_SIGN_ECDSA_SHA1, GNUTLS_PK_ECDSA, EVP_sha1, 0, 0},
    {GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_PK_ECDSA, EVP_sha256, 0, 0},
    {GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_PK_ECDSA, EVP_sha384, 0, 0},
    {GNUTLS_SIGN_ECDSA_SHA512, GNUTLS_PK_ECDSA, EVP_sha512, 0, 0},
    {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, GNUTLS_PK_ECDSA, EVP_sha256, 0, 256},
    {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, GNUTLS_PK_ECDSA, EVP_sha384, 0, 384},
    {GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, GNUTLS_PK_ECDSA, EVP_sha512, 0, 528},
    {GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_PK_EDDSA_ED25519, NULL, 0, 0},
    {GNUTLS_SIGN_EDDSA_ED448, GNUTLS_PK_EDDSA_ED448, NULL, 0, 0},
};

static const struct key_algorithm *key_algorithm_find(gnutls_pk_algorithm_t kind, unsigned bits,
                                                      gnutls_sign_algorithm_t algo)
{
    for (size_t i = 0; i < ARRAY_LEN(key_algorithms); i++) {
        const struct key_algorithm *a = &key_algorithms[i];
        if (a->algo == algo)
            return a->kind == kind && (a->bits == 0 || a->bits == bits) ? a : NULL;
    }
    return NULL;
}

bool tls_key_is_faster(gnutls_pk_algorithm_t kind, unsigned bits)
{
    return kind == GNUTLS_PK_RSA || (kind == GNUTLS_PK_ECDSA && bits == 256);
}

/* ---- making one ---- */

/* Where libcrypto puts the secret numbers: locked, left out of core dumps, between guard pages. It
 * works without the lock, too. */
static void key_heap_make(void)
{
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(KEY_HEAP_BYTES, KEY_HEAP_PIECE);
}

static EVP_PKEY *key_parse(gnutls_x509_privkey_t key)
{
    gnutls_datum_t der = {0};
    EVP_PKEY *pkey = NULL;
    if (gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN, &der) <
        0)
        return NULL;
    const unsigned char *p = der.data;
    pkey = d2i_AutoPrivateKey(NULL, &p, (long)der.size);
    gnutls_memset(der.data, 0, der.size);
    gnutls_free(der.data);
    return pkey;
}

int tls_key_new(gnutls_x509_privkey_t key, struct tls_key **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned bits = 0;
    int kind = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_LEN(key_algorithms); i++)
        is_known = is_known || (int)key_algorithms[i].kind == kind;
    if (!is_known)
        return -ERR_UNSUPPORTED;
    pthread_once(&once, key_heap_make);
    struct tls_key *k = calloc(1, sizeof(*k));
    if (!k)
        return -ERR_NOMEM;
    *k =
        (struct tls_key){.pkey = key_parse(key), .kind = (gnutls_pk_algorithm_t)kind, .bits = bits};
    if (!k->pkey || EVP_PKEY_get_size(k->pkey) > TLS_SIGNATURE_MAX) {
        tls_key_free(k);
        return -ERR_UNSUPPORTED;
    }
    *ret = k;
    return 0;
}

int tls_key_new_remote(const struct tls_key_place *p, struct tls_key **ret)
{
    struct tls_key *k = calloc(1, sizeof(*k));
    if (!k)
        return -ERR_NOMEM;
    *k = (struct tls_key){.kind = p->kind,
                          .bits = p->bits,
                          .service = key_service_find(p->service),
                          .number = p->number};
    *ret = k;
    return 0;
}

void tls_key_free(struct tls_key *k)
{
    if (!k)
        return;
    key_service_unref(k->service);
    EVP_PKEY_free(k->pkey);
    free(k);
}

gnutls_pk_algorithm_t tls_key_kind(const struct tls_key *k)
{
    return k->kind;
}

/* ---- signing ---- */

static bool key_sign_message(EVP_PKEY *pkey, struct str data, unsigned char *out, size_t *ret_n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
                   EVP_DigestSign(ctx, out, ret_n, (const unsigned char *)data.p, data.n) > 0;
    EVP_MD_CTX_free(ctx);
    return is_good;
}

static bool key_sign_digest(EVP_PKEY *pkey, const struct key_algorithm *a, struct str data,
                            unsigned char *out, size_t *ret_n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool is_good = ctx && EVP_PKEY_sign_init(ctx) > 0;
    if (is_good && a->padding)
        is_good = EVP_PKEY_CTX_set_rsa_padding(ctx, a->padding) > 0;
    if (is_good && a->digest)
        is_good = EVP_PKEY_CTX_set_signature_md(ctx, a->digest()) > 0;
    if (is_good && a->padding == RSA_PKCS1_PSS_PADDING) /* RFC 8446 section 4.2.3 */
        is_good = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
    if (is_good)
        is_good = EVP_PKEY_sign(ctx, out, ret_n, (const unsigned char *)data.p, data.n) > 0;
    EVP_PKEY_CTX_free(ctx);
    return is_good;
}

int tls_key_sign(const struct tls_key *k, gnutls_sign_algorithm_t algo, struct str data,
                 unsigned char *out, size_t *ret_n)
{
    const struct key_algorithm *a = key_algorithm_find(k->kind, k->bits, algo);
    if (!a)
        return -ERR_UNSUPPORTED;
    if (!k->pkey)
        return key_service_sign(k->service, k->number, algo, data, out, ret_n);
    if (data.n == 0 || (a->digest && data.n != (size_t)EVP_MD_get_size(a->digest())))
        return -ERR_INVAL;
    bool is_message = k->kind == GNUTLS_PK_EDDSA_ED25519 || k->kind == GNUTLS_PK_EDDSA_ED448;
    bool is_good = is_message ? key_sign_message(k->pkey, data, out, ret_n)
                              : key_sign_digest(k->pkey, a, data, out, ret_n);
    return is_good ? 0 : -ERR_TLS;
}

/* ---- as GnuTLS sees it ---- */

static int on_sign(gnutls_privkey_t key, gnutls_sign_algorithm_t algo, void *arg, unsigned flags,
                   const gnutls_datum_t *data, gnutls_datum_t *ret)
{
    (void)key;
    (void)flags;
    unsigned char out[TLS_SIGNATURE_MAX];
    size_t n = sizeof(out);
    int err = tls_key_sign(arg, algo, str_n(data->data, data->size), out, &n);
    if (err < 0) /* the key process has it no more; else it may have it again */
        return err == -ERR_NOT_FOUND || err == -ERR_CLOSED ? TLS_KEY_IS_GONE
                                                           : GNUTLS_E_PK_SIGN_FAILED;
    ret->data = gnutls_malloc(n);
    if (!ret->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret->data, out, n);
    ret->size = (unsigned)n;
    return 0;
}

static int on_key_info(gnutls_privkey_t key, unsigned flags, void *arg)
{
    (void)key;
    const struct tls_key *k = arg;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int)k->kind;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int)k->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO)
        return key_algorithm_find(k->kind, k->bits, GNUTLS_FLAGS_TO_SIGN_ALGO(flags)) != NULL;
    return flags & GNUTLS_PRIVKEY_INFO_SIGN_ALGO ? 0 : -1; /* none is preferred */
}

static void on_deinit(gnutls_privkey_t key, void *arg)
{
    (void)key;
    tls_key_free(arg);
}

int tls_key_import(struct tls_key *k, gnutls_privkey_t *ret)
{
    gnutls_privkey_t key = NULL;
    int rc = gnutls_privkey_init(&key);
    if (rc == 0)
        rc = gnutls_privkey_import_ext4(key, k, on_sign, on_sign, NULL, on_deinit, on_key_info, 0);
    if (rc < 0) {
        if (key)
            gnutls_privkey_deinit(key);
        tls_key_free(k);
        return rc == GNUTLS_E_MEMORY_ERROR ? -ERR_NOMEM : -ERR_TLS;
    }
    *ret = key;
    return 0;
}
