/* SPDX-License-Identifier: ISC */
/* Private keys of certificates, signing with libcrypto where that is faster than GnuTLS. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/err.h"
#include "base/str.h"
#include "io/tls/tls_key_file.h"

/* Longest signature: RSA of 16384 bits. */
#define TLS_SIGNATURE_MAX 2048

/* Immutable; its secret numbers lie in memory that is neither dumped nor swapped (as far as the
 * limit for locked memory goes) and is wiped when it is freed. */
struct tls_key;

/* Is libcrypto the faster one for keys of a kind and size? RSA-2048 takes 290 us instead of 1,220,
 * P-256 24 instead of 43; P-384 (690, 100) and EdDSA (31, 26) are better left to GnuTLS. */
bool tls_key_is_faster(gnutls_pk_algorithm_t kind, unsigned bits);
/* A copy of a key in libcrypto. -ERR_UNSUPPORTED: its kind cannot sign here (RSA-PSS, DSA, GOST),
 * which is left to GnuTLS; -ERR_NOMEM. Thread: any. */
int tls_key_new(gnutls_x509_privkey_t key, struct tls_key **ret) NODISCARD;
/* One that another process has. Its process need not be there yet, nor any more: then it signs
 * nothing. -ERR_NOMEM. Thread: any. */
int tls_key_new_remote(const struct tls_key_place *p, struct tls_key **ret) NODISCARD;
void tls_key_free(struct tls_key *k); /* NULL is fine */

/* Also of a key that another process has: it is told with its place. Thread: any. */
gnutls_pk_algorithm_t tls_key_kind(const struct tls_key *k);
/* Signs a digest (EdDSA: the whole message; GNUTLS_SIGN_RSA_RAW: a DigestInfo, RFC 8017 section
 * 9.2) as TLS sends it. *ret_n: in the room of out, out its bytes. -ERR_UNSUPPORTED: not an
 * algorithm of this key; -ERR_INVAL: data of a wrong length; -ERR_TLS: libcrypto failed; what
 * key_service_sign says. Thread: any, several at once. */
int tls_key_sign(const struct tls_key *k, gnutls_sign_algorithm_t algo, struct str data,
                 unsigned char *out, size_t *ret_n) NODISCARD;

/* What GnuTLS says of a handshake whose key is not there: the process that had it is gone, or has
 * let it go for others. */
#define TLS_KEY_IS_GONE GNUTLS_E_NO_CERTIFICATE_FOUND
/* Makes it a key of GnuTLS, which takes k over (also on failure). -ERR_NOMEM, -ERR_TLS. */
int tls_key_import(struct tls_key *k, gnutls_privkey_t *ret) NODISCARD;
