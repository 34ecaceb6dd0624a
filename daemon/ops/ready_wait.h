/* SPDX-License-Identifier: ISC */
/* backend ready that waits: an operation that is over when checks say that the backends are up. All
 * functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "rpc/request.h"

/* Begins it and answers r, which it takes over. Backends that nothing checks are not waited for. */
void ready_wait_start(struct request *r, struct backend *const *backends, size_t n,
                      bool is_changed);
