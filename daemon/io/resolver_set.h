/* SPDX-License-Identifier: ISC */
/* The resolvers of one loop: one for all names, and one for each other specification of a listener
 * that is made when it is asked for. */
#pragma once

#include "io/resolver.h"

struct resolver_set;

/* Makes the first one, too. Errors as of resolver_new. Thread of everything here: the loop's. */
int resolver_set_new(struct loop *l, const struct resolver_spec *first,
                     struct resolver_set **ret) NODISCARD;
/* As resolver_free, for each of them. NULL is fine. */
void resolver_set_free(struct resolver_set *s);
/* The first: it lives as long as the set. */
struct resolver *resolver_set_first(const struct resolver_set *s);
/* The one that asks as spec says, made when there is none; valid until the loop's turn ends or its
 * queries have. Errors as of resolver_new. */
int resolver_set_get(struct resolver_set *s, const struct resolver_spec *spec,
                     struct resolver **ret) NODISCARD;
/* The first one asks as specs[0] says from now on; of the others those remain that are among specs,
 * or have queries. An error is of the first: then it goes on as before. n >= 1. */
int resolver_set_configure(struct resolver_set *s, const struct resolver_spec *specs,
                           size_t n) NODISCARD;
