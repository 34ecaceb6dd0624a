/* SPDX-License-Identifier: ISC */
/* Sealed texts: what the store of a fleet keeps and must neither read nor change. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SEAL_SECRET_BYTES 32 /* of fleet.secret_file */
#define SEAL_KEY_BYTES 32
#define SEAL_TEXT_MAX (1024 * 1024) /* bytes of a text */
#define SEAL_MORE_BYTES 29          /* a sealed text is so much longer: version, nonce, tag */

/* The key of one purpose: AES-256-GCM (RFC 5288) under a key that HKDF-SHA-256 (RFC 5869) makes of
 * the fleet's secret and a label, so that what was sealed for one purpose is nothing for another.
 * Immutable: any thread may use it. */
struct seal {
    uint8_t key[SEAL_KEY_BYTES];
};

/* label: the purpose: "ticket", "user", "stream". 0; -ERR_TLS: GnuTLS does not. */
int seal_init(struct seal *s, const uint8_t secret[SEAL_SECRET_BYTES], const char *label) NODISCARD;
void seal_fini(struct seal *s); /* wipes the key */

/* Appends the sealed text to out: bytes of any value. place: where it will be, as its key and field
 * in the store; it opens nowhere else. -ERR_TOO_LONG, -ERR_NOMEM, -ERR_TLS: out is as it was. */
int seal_text(const struct seal *s, struct str place, struct str text, struct buf *out) NODISCARD;
/* Appends what was sealed to out. -ERR_AUTH: not sealed with this key for this place, or changed
 * since; -ERR_TOO_LONG, -ERR_NOMEM, -ERR_TLS: out is as it was. The buffer of a secret is one that
 * is wiped (buf_wipe). */
int seal_open(const struct seal *s, struct str place, struct str sealed, struct buf *out) NODISCARD;
