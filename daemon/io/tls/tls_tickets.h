/* SPDX-License-Identifier: ISC */
/* A secret of session tickets that servers of TLS share, here and elsewhere, and that changes while
 * they serve. Thread of everything: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define TLS_TICKETS_BYTES 64 /* what gnutls_session_ticket_enable_server takes */

struct tls_tickets;

/* Without a secret at first. -ERR_NOMEM. */
int tls_tickets_new(struct tls_tickets **ret) NODISCARD;
/* When no server uses it any more. Wipes the secret; NULL is fine. */
void tls_tickets_free(struct tls_tickets *t);
/* New sessions use this one; tickets of the one before end in a whole handshake. */
void tls_tickets_set(struct tls_tickets *t, const uint8_t secret[TLS_TICKETS_BYTES]);
/* Into ret, to be wiped after use. False: there is none yet. */
bool tls_tickets_get(struct tls_tickets *t, uint8_t ret[TLS_TICKETS_BYTES]);
