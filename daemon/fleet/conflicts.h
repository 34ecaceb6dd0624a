/* SPDX-License-Identifier: ISC */
/* Users with sessions on two backends, as a failure of the store may leave them: told to operators,
 * and with fleet.end_conflicts ended where they do not belong. Thread: control. */
#pragma once

#include "fleet/pins/pins.h"

struct control;
struct conflicts;

/* pins: borrowed. -ERR_NOMEM. */
int conflicts_new(struct control *c, struct pins_shared *pins, struct conflicts **ret) NODISCARD;
void conflicts_free(struct conflicts *c); /* NULL is fine */
