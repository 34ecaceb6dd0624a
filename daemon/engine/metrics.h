/* SPDX-License-Identifier: ISC */
/* The metrics page over HTTP. */
#pragma once

#include "control/control.h"

struct metrics;

/* Serves GET /metrics on an address ("127.0.0.1:9100"). 0 or -ERR_x with a sentence in *ret_error
 * (owned). Thread: control. */
int metrics_new(struct loop *l, const char *address, struct control *c, struct metrics **ret,
                char **ret_error) NODISCARD;
void metrics_free(struct metrics *m); /* NULL is fine */
