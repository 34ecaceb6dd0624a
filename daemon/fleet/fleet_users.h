/* SPDX-License-Identifier: ISC */
/* Users that all nodes of a fleet have as one (fleet.users): what is changed here the others are
 * told, what they change holds here. Each node works from its own store. Thread of everything:
 * control. */
#pragma once

#include "fleet/fleet.h"

struct fleet_users;

struct fleet_users_spec {
    struct control *control;
    struct fleet *fleet;   /* borrowed, outlives it */
    const uint8_t *secret; /* of fleet.secret_file; borrowed for the call */
    const char *node;      /* this one's name; copied */
};
/* Follows fleet.users of the configuration. -ERR_NOMEM, -ERR_TLS. */
int fleet_users_new(const struct fleet_users_spec *spec, struct fleet_users **ret) NODISCARD;
void fleet_users_free(struct fleet_users *u); /* NULL is fine */

struct fleet_users_facts {
    bool is_on, is_behind; /* not all that the others have said is known here yet */
    uint64_t told, taken;  /* revisions since the start: by this node, by others */
    uint64_t refused;      /* what the store had that no node has written there */
    uint64_t waiting;      /* changes made here that the store has not taken yet; as of last time */
};
/* u NULL: it is off. */
void fleet_users_look(const struct fleet_users *u, struct fleet_users_facts *ret);
