/* SPDX-License-Identifier: ISC */
/* What is wrong where libconfig only says "syntax error". */
#pragma once

#include "base/str.h"

/* The habit behind a syntax error: a sentence in English without a full stop, static; NULL when
 * the line has none that is known.
 * text: the whole file; line: from 1, where the reader stopped. Any thread. */
const char *config_syntax_reason(struct str text, unsigned line);
