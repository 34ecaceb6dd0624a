/* SPDX-License-Identifier: ISC */
/* Cutting a line into words. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* Cuts a line into words in place: blanks separate, '...' and "..." and \ quote as in sh, # begins
 * a comment. words has room for strlen(line) + 1. -ERR_SYNTAX when a quote is not closed. */
int words_split(char *line, const char **words, size_t *ret_n) NODISCARD;
