/* SPDX-License-Identifier: ISC */
/* Names of cipher suites and versions as OpenSSL spells them. */
#pragma once

#include <gnutls/gnutls.h>

/* OpenSSL's name ("ECDHE-RSA-AES128-GCM-SHA256") of a suite given by its IANA name; the argument
 * itself when OpenSSL has no other. Static or the argument. */
const char *tls_cipher_name(const char *iana);
/* "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "unknown". Static. */
const char *tls_version_name(gnutls_protocol_t version);
