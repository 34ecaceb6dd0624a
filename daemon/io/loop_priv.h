/* SPDX-License-Identifier: ISC */
/* Private to io/: what the TLS code keeps once per loop. */
#pragma once

#include <stddef.h>

#include "base/container/list.h"

struct conn_tls;
struct loop;

#define LOOP_TLS_IN_BYTES (128 * 1024)
#define LOOP_TLS_OUT_BYTES (96 * 1024)

/* Ciphertext read ahead for ONE conn (the owner), and room to gather records before one write. */
struct loop_tls_io {
    struct conn_tls *in_owner; /* whose bytes lie in `in`; NULL = nobody's */
    size_t in_start, in_len;   /* unread part of `in` */
    struct list waits;         /* conn_tls_wait: handshakes whose certificate is being loaded */
    size_t out_len;            /* gathered bytes of `out` */
    char in[LOOP_TLS_IN_BYTES];
    char out[LOOP_TLS_OUT_BYTES];
};

/* The loop's TLS buffers, made when first asked for; NULL when out of memory. Thread: own. */
struct loop_tls_io *loop_tls_io(struct loop *l);
