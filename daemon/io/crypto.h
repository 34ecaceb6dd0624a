/* SPDX-License-Identifier: ISC */
/* The cryptography that the protocol floor asks for, done by GnuTLS. */
#pragma once

#include "proto/sasl/sasl.h"

/* HMAC-MD5, HMAC-SHA-256, SHA-256 and random bytes. Static storage. Thread: any. A digest that
 * GnuTLS refuses to compute (MD5 in FIPS mode) comes back as random bytes, so that a comparison
 * with it fails. */
const struct sasl_crypto *crypto_sasl(void);
