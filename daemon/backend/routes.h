/* SPDX-License-Identifier: ISC */
/* A list of routes that takes the place of the file's: an operator changed it while the proxy runs.
 * Immutable, reference-counted. */
#pragma once

#include <stdatomic.h>

#include "config/config.h"

struct routes {
    atomic_uint refs;
    size_t n;
    struct config_route *v; /* texts are owned; proto is static */
};

/* A copy, one reference; n 0 is a list without routes. -ERR_NOMEM. */
int routes_new(const struct config_route *v, size_t n, struct routes **ret) NODISCARD;
struct routes *routes_ref(struct routes *r); /* NULL is fine */
void routes_unref(struct routes *r);         /* NULL is fine */
/* Do both lists say the same, in the same order? */
bool routes_are_equal(const struct config_route *a, size_t n_a, const struct config_route *b,
                      size_t n_b);
/* "domain=example.org protocol=imap"; "" where it takes all; appends. */
int route_print(const struct config_route *r, struct buf *out) NODISCARD;
