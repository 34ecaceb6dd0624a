/* SPDX-License-Identifier: ISC */
/* Limits of addresses and users over all nodes of a fleet: once a second each tells what it has of
 * those that are near one, and hears what the others have. Thread of everything: control. */
#pragma once

#include "fleet/fleet.h"

struct fleet_limits;

struct fleet_limits_spec {
    struct control *control;
    struct fleet *fleet;   /* borrowed, outlives it */
    const uint8_t *secret; /* FLEET_SECRET_BYTES; what is told is sealed */
    const char *node;      /* this one's name; copied */
};
/* -ERR_NOMEM, -ERR_TLS. */
int fleet_limits_new(const struct fleet_limits_spec *spec, struct fleet_limits **ret) NODISCARD;
/* What this engine has counts no longer at the others. NULL is fine. */
void fleet_limits_free(struct fleet_limits *c);

struct fleet_limits_facts {
    size_t n_told, n_heard; /* addresses and users: near a limit here, of others; now */
    size_t n_left_out;      /* that were too many, now */
    uint64_t failed_open;   /* turns that judged by this node alone */
};
void fleet_limits_look(const struct fleet_limits *c, struct fleet_limits_facts *ret);
