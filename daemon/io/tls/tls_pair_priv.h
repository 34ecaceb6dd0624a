/* SPDX-License-Identifier: ISC */
/* Inside of a pair, for who shows it in a handshake. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>

#include "io/tls/tls_session.h"

struct tls_pair {
    _Atomic unsigned refs;
    gnutls_pcert_st chain[TLS_CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
    int64_t expires;
};
