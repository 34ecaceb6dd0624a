/* SPDX-License-Identifier: ISC */
/* The cryptography that the protocol floor asks for, done by GnuTLS. */
#pragma once

#include "proto/sasl/sasl.h"

/* HMAC-MD5, HMAC-SHA-256, SHA-256 and random bytes. Static storage. Thread: any. A digest that
 * GnuTLS refuses to compute (MD5 in FIPS mode) comes back as random bytes, so that a comparison
 * with it fails. */
const struct sasl_crypto *crypto_sasl(void);

/* HMAC-SHA-256 with one key again and again: the key is digested once, and no memory comes and
 * goes. Thread: one at a time. */
struct crypto_hmac;
/* The key is copied, and wiped by crypto_hmac_free. -ERR_NOMEM. */
int crypto_hmac_new(struct str key, struct crypto_hmac **ret) NODISCARD;
void crypto_hmac_free(struct crypto_hmac *h); /* NULL is fine */
/* As hmac_sha256 of crypto_sasl. */
void crypto_hmac_of(struct crypto_hmac *h, struct str data, uint8_t ret[32]);

#define CRYPTO_KEY_BYTES 32
#define CRYPTO_NONCE_BYTES 12
#define CRYPTO_TAG_BYTES 16

/* HKDF-SHA-256 (RFC 5869) without a salt: the key of a secret for what info says. -ERR_TLS. Thread:
 * any, as of those below. */
int crypto_hkdf(struct str secret, struct str info, uint8_t ret[CRYPTO_KEY_BYTES]) NODISCARD;
/* AES-256-GCM (NIST SP 800-38D): ret has room for text.n + CRYPTO_TAG_BYTES. A nonce is used once
 * with a key. about: what the tag is about, too. -ERR_TLS. */
int crypto_gcm_encrypt(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES],
                       struct str about, struct str text, char *ret) NODISCARD;
/* The way back: ret has room for text.n - CRYPTO_TAG_BYTES. -ERR_AUTH: another key, nonce or about,
 * or it was changed; what is in ret is nothing then. -ERR_TLS. */
int crypto_gcm_decrypt(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES],
                       struct str about, struct str text, char *ret) NODISCARD;
