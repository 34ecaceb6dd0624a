/* SPDX-License-Identifier: ISC */
/* The first configuration, from the answers. */
#pragma once

#include "init/init_answers.h"

/* Appends a file of some 60 lines with comments that says only what matters. All questions that
 * matter are answered. -ERR_NOMEM. */
int init_write(const struct init_answers *a, struct buf *out) NODISCARD;
