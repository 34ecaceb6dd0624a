/* SPDX-License-Identifier: ISC */
/* Writing a file that a person asked for: whole or not at all, and never over what is there by
 * mistake. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* Writes a file with mode 0600 (it may hold secrets) in one step: whoever reads it meanwhile finds
 * the old content or the new one. is_forced: a regular file that is there is replaced. 0 or
 * -ERR_x: -ERR_EXISTS for a name that is taken, also by a link, a folder or a device, which are
 * never replaced. Blocking. */
int output_write(const char *path, bool is_forced, struct str text) NODISCARD;
/* The same question before the work: 0 when output_write would find the name free, -ERR_EXISTS
 * else. */
int output_check(const char *path, bool is_forced) NODISCARD;
/* What to do about -ERR_EXISTS, as the end of a message; static, "" for other errors. */
const char *output_hint(const char *path, int err);
