/* SPDX-License-Identifier: ISC */
/* PROXY protocol versions 1 and 2: parsing what a load balancer sends, building what a backend
 * gets. */
#pragma once

#include "base/addr.h"
#include "base/buf.h"

#define PROXYHDR_MAX 536 /* longest header accepted: v2 with 520 bytes of addresses and TLVs */

struct proxyhdr {
    bool is_local; /* LOCAL / UNKNOWN: use the socket's own addresses */
    struct addr src, dst;
    /* out, v2 only: TLVs */
    const char *tls_version; /* "TLSv1.3", NULL = no PP2_TYPE_SSL */
    const char *tls_cipher;
    const char *sni; /* PP2_TYPE_AUTHORITY, NULL = none */
    bool has_client_cert, is_client_cert_verified;
};

/* Parses a header at the start of `in`. 0 with *ret_consumed; -ERR_AGAIN: more bytes needed;
 * -ERR_SYNTAX / -ERR_TOO_LONG: close. */
int proxyhdr_parse(struct str in, struct proxyhdr *ret, size_t *ret_consumed) NODISCARD;
int proxyhdr_build_v1(const struct proxyhdr *h, struct buf *out) NODISCARD;
/* With TLVs and CRC32C. */
int proxyhdr_build_v2(const struct proxyhdr *h, struct buf *out) NODISCARD;
