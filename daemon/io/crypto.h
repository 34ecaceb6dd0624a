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
