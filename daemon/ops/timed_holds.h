/* SPDX-License-Identifier: ISC */
/* Holds of backends that end by themselves: operations, so that they are seen and can be called
 * off. All functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "ops/ops.h"

struct control;

/* What follows once a backend, one, is held: with the parameter for an operation that releases it
 * on behalf of the request, or a new end of the one that does; without it the hold has no end any
 * more. Answers r, which it takes over. */
void timed_hold_start(struct request *r, const struct op_backends *held);
/* The state of a backend changed. */
void timed_holds_notice(struct control *c, const struct backend *b);
