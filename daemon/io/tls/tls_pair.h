/* SPDX-License-Identifier: ISC */
/* A certificate chain with its private key, loaded by itself and shared by the handshakes that show
 * it. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Reference-counted, immutable. */
struct tls_pair;

/* From PEM texts; the key may be the place of one that another process has (io/tls/tls_key_file.h).
 * is_decrypting: as of tls_priority_decrypts. -ERR_TLS, -ERR_NOMEM. Thread: any. */
int tls_pair_new(struct str chain, struct str key, bool is_decrypting,
                 struct tls_pair **ret) NODISCARD;
struct tls_pair *tls_pair_ref(struct tls_pair *p);
void tls_pair_unref(struct tls_pair *p); /* NULL is fine */
/* Unix seconds of the certificate's end; 0 = nobody knows. */
int64_t tls_pair_expires(const struct tls_pair *p);
/* Is the certificate for a host of this name? "_.example.org" = for any beside it. */
bool tls_pair_is_for(const struct tls_pair *p, struct str name);

/* Opens the key of a pair (passwords: one a line, tried in turn) and sees whether it is that of the
 * certificate: *ret_key, which is secret, gets it as PEM without a password. -ERR_TLS with what is
 * wrong in *ret_why (static); -ERR_NOMEM. Thread: any. */
int tls_pair_open(struct str chain, struct str key, struct str passwords, struct buf *ret_key,
                  const char **ret_why) NODISCARD;
