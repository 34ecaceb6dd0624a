/* SPDX-License-Identifier: ISC */
/* The name that a client asks for, read ahead of the handshake: GnuTLS chooses the certificate as
 * it reads the ClientHello, and cannot wait there for one that has to be loaded. Pure. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* A client that sends more before its ClientHello is whole gets the default certificate. */
#define TLS_HELLO_MAX 16384

/* Room for a name and a NUL. */
#define TLS_HELLO_NAME_MAX 256

/* bytes: what a client has sent so far, as TLS records. 0: its ClientHello asks for this name (RFC
 * 6066 section 3; as it is, without NUL). -ERR_AGAIN: more is needed. -ERR_NOT_FOUND: it asks for
 * none, or this is no ClientHello, which is for the handshake to say. */
int tls_hello_name(struct str bytes, char ret[TLS_HELLO_NAME_MAX]) NODISCARD;
