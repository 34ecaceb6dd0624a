/* SPDX-License-Identifier: ISC */
/* Filters as they are typed, and terms for the daemon. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

/* What a typed filter means: words without an operator are searched in a column (none when it is
 * ""). dst of a size; what does not fit is left as it was typed. Returns dst. */
const char *query_typed(const char *text, const char *search, char *dst, size_t size);
/* Adds "field=value" to a filter, whatever the value is made of. */
int query_term(struct buf *filter, const char *field, const char *value) NODISCARD;
/* Appends FIELD=VALUE,VALUE... of an array of strings. -ERR_NOMEM. */
int query_terms(struct buf *filter, const char *field, const json_t *values) NODISCARD;
