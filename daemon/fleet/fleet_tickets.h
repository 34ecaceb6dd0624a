/* SPDX-License-Identifier: ISC */
/* The secret of TLS tickets that the nodes of a fleet share, so that a client resumes its session
 * at whichever of them it comes to. Thread of everything: control. */
#pragma once

#include "fleet/fleet.h"

struct fleet_tickets;

/* f: borrowed, outlives it. Follows fleet.tickets of the configuration. -ERR_NOMEM, -ERR_TLS. */
int fleet_tickets_new(struct control *c, struct fleet *f, struct fleet_tickets **ret) NODISCARD;
void fleet_tickets_free(struct fleet_tickets *t); /* NULL is fine */
