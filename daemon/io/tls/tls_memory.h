/* SPDX-License-Identifier: ISC */
/* Memory for the large numbers of GnuTLS. GMP ends the process when an allocation fails; with this
 * a reserve lets it finish what it does, and new handshakes are refused until memory is back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Sets the reserve aside and gives GMP its functions. Call once, before any thread starts.
 * -ERR_NOMEM. */
int tls_memory_init(void) NODISCARD;
/* True for a second after an allocation failed: nobody should begin what needs more. Thread: any;
 * costs one read of a word. */
bool tls_memory_is_low(void);
