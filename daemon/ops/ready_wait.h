/* SPDX-License-Identifier: ISC */
/* backend ready that waits: an operation that is over when checks say that the backends are up. All
 * functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "ops/ops.h"

/* What follows once they are ready: begins it where the request has until_up. Answers r, which it
 * takes over. Backends that nothing checks are not waited for. */
void ready_wait_start(struct request *r, const struct op_backends *ready);
