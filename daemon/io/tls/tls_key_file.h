/* SPDX-License-Identifier: ISC */
/* Private keys in PEM files: reading them, taking them out, and what stands in their place when a
 * process of its own has the key. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Where a key is that is not here. */
struct tls_key_place {
    uint64_t service; /* key_service_find */
    uint32_t number;  /* of the key there */
    gnutls_pk_algorithm_t kind;
    unsigned bits;
};

/* The first key of a PEM text; without a password, then with each line of passwords in turn. 0 or
 * what GnuTLS said last. *ret is owned. */
int tls_key_file_parse(const gnutls_datum_t *pem, struct str passwords,
                       gnutls_x509_privkey_t *ret) NODISCARD;
/* The same, as PKCS #8 in DER appended to *out, which is secret. ret: service and number are left.
 * -ERR_TLS, -ERR_NOMEM. */
int tls_key_file_take(struct str pem, struct str passwords, struct buf *out,
                      struct tls_key_place *ret) NODISCARD;
/* Appends the text without its private keys. -ERR_NOMEM. */
int tls_key_file_strip(struct str pem, struct buf *out) NODISCARD;

/* Appends what stands for a key. -ERR_NOMEM. */
int tls_key_place_append(const struct tls_key_place *p, struct buf *out) NODISCARD;
/* Finds it in a text. -ERR_NOT_FOUND; -ERR_SYNTAX. */
int tls_key_place_find(struct str text, struct tls_key_place *ret) NODISCARD;
