/* SPDX-License-Identifier: ISC */
/* Emptying backends: an operation that follows the sessions of one backend or several, and ends
 * them when asked to, at one rate over all. All functions: control thread. */
#pragma once

#include "ops/kill.h"
#include "ops/ops.h"

#define DRAIN_RATE 50 /* sessions a second, unless the operator says otherwise */

/* What follows once backends are drained, held or disabled: begins a drain as the parameters of the
 * request want it, or lets the one that runs over the same backends follow these wishes; those of
 * other drains are taken from them. Answers r, which it takes over. */
void drain_start(struct request *r, const struct op_backends *drained);
/* The same of a backend, one, that is taken out once it is empty. */
void drain_start_removal(struct request *r, const struct op_backends *drained);
/* Would a drain with the parameters of r end sessions, and not only wait for their end? */
bool drain_is_kicking(const struct request *r, enum backend_admin admin);
/* As kill_start, of the sessions of these backends: those that a drain follows, and those that a
 * dry run tells of. */
int drain_kill(struct control *c, struct backend *const *backends, size_t n,
               const struct kill_spec *spec) NODISCARD;
/* The operator's word for a backend has changed: a drain of another word is over for it. */
void drains_notice(struct control *c, const struct backend *b);
