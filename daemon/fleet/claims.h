/* SPDX-License-Identifier: ISC */
/* The control thread tells the store which users are here: all of them now and then and after the
 * store was away or lost what it had, single ones whose count there is in doubt. Paced. */
#pragma once

#include "fleet/pins/pins.h"

struct claims;

/* pins: borrowed. -ERR_NOMEM. Thread of everything here: the loop's. */
int claims_new(struct loop *l, struct pins_shared *pins, struct claims **ret) NODISCARD;
void claims_free(struct claims *c); /* NULL is fine */
/* Tells this client (borrowed) from now on; NULL: nobody, and what was told and not answered yet is
 * told again. Before the client before is freed. */
void claims_set_redis(struct claims *c, struct redis_client *redis);
/* The store was away, or holds other data than before: all are told at once, and once more when all
 * nodes have done so, as one may overrule what another had told before. */
void claims_begin(struct claims *c);
/* So many nodes share the store, and what it can take. */
void claims_set_nodes(struct claims *c, size_t n);

struct claims_facts {
    bool is_walking;    /* all are being told */
    uint64_t begun_ms;  /* monotonic, when that began last; 0 = never */
    uint64_t walked_ms; /* how long it took last, until the last answer; 0 = never */
    size_t n_pending;   /* told, and not answered */
};
void claims_look(const struct claims *c, struct claims_facts *ret);
