/* SPDX-License-Identifier: ISC */
/* Taking over the file, and going back. All functions: control thread. */
#pragma once

#include "control/request.h"

struct configs;

/* -ERR_NOMEM. */
int configs_new(struct control *c, struct configs **ret) NODISCARD;
void configs_free(struct configs *c); /* NULL is fine */
/* Reloads on the daemon's own account; the outcome is logged. */
void configs_reload(struct control *c);
