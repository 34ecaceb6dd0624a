/* SPDX-License-Identifier: ISC */
/* The control thread's part of pins: what the store is told again, and conflicts. */
#pragma once

#include "fleet/claims.h"
#include "fleet/fleet.h"

struct fleet_pins;

/* f: borrowed, outlives it. -ERR_NOMEM. Thread of everything: control. */
int fleet_pins_new(struct control *c, struct fleet *f, struct fleet_pins **ret) NODISCARD;
void fleet_pins_free(struct fleet_pins *p); /* NULL is fine */

/* What the store says of a user: texts as pin_script_show returns them. */
struct pins_shown {
    size_t n;
    char *v[];
};
void pins_shown_free(struct pins_shown *s); /* NULL is fine */
/* Asks the store. fn: once, never within this call, also when p goes; it owns shown, which is NULL
 * when the store cannot be asked. -ERR_x: fn will not run. */
int fleet_pins_show(struct fleet_pins *p, const char *user,
                    void (*fn)(void *arg, struct pins_shown *shown), void *arg) NODISCARD;
/* A user's pin in one pool. */
struct pin_facts {
    char backend[PIN_NAME_SIZE];
    char source[16];
    uint64_t gen, age_ms; /* of its last change: a login or an end */
    uint64_t sessions;    /* on all nodes that are alive */
    char holders[512];    /* "px1 2, px2 1": nodes and their sessions; perhaps cut */
};
/* False: the user has none there. */
bool pins_shown_find(const struct pins_shown *s, const char *pool, struct pin_facts *ret);
