/* SPDX-License-Identifier: ISC */
/* Copies of what resolvers are made from, to tell whether two are alike. */
#pragma once

#include "io/resolver.h"

/* Do both ask the same name servers in the same way? Thread: any. */
bool resolver_spec_eq(const struct resolver_spec *a, const struct resolver_spec *b);
/* A copy with name servers of its own, for resolver_spec_fini. 0, -ERR_NOMEM. Thread: any. */
int resolver_spec_copy(const struct resolver_spec *spec, struct resolver_spec *ret) NODISCARD;
/* Of copies. */
void resolver_spec_fini(struct resolver_spec *spec);
