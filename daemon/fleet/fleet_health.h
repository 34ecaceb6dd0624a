/* SPDX-License-Identifier: ISC */
/* Health checks of a fleet (fleet.health = "shared"): one node checks a backend, the others take
 * over that it is well. Thread of everything: control. */
#pragma once

#include "backend/check.h"
#include "fleet/fleet.h"

struct fleet_health;

struct fleet_health_spec {
    struct control *control;
    struct fleet *fleet;   /* borrowed, outlives it */
    struct checks *checks; /* borrowed; makes no check any more when this is freed */
    const uint8_t *secret; /* FLEET_SECRET_BYTES; what was found is sealed */
    const char *node;      /* this one's name; copied */
};
/* -ERR_NOMEM, -ERR_TLS. */
int fleet_health_new(const struct fleet_health_spec *spec, struct fleet_health **ret) NODISCARD;
/* NULL is fine. */
void fleet_health_free(struct fleet_health *h);

struct fleet_health_facts {
    uint64_t taken;       /* findings of other nodes */
    uint64_t failed_open; /* checks that were made here for want of an answer of the store */
};
void fleet_health_look(const struct fleet_health *h, struct fleet_health_facts *ret);
