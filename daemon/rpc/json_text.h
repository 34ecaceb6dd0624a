/* SPDX-License-Identifier: ISC */
/* JSON written straight into a buffer: for long lists, of which no tree is made. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

/* The whole of a small value as one line; takes over v. Owned; NULL without memory or v. */
char *json_text_take(json_t *v);

/* All others return 0 or -ERR_NOMEM. */

/* Any value. */
int json_text_value(struct buf *out, const json_t *v) NODISCARD;
/* The members of an array, with commas between them. */
int json_text_members(struct buf *out, const json_t *array) NODISCARD;

/* A member's name, which needs no escapes, with what separates it from the member before. */
int json_text_key(struct buf *out, const char *name, bool is_first) NODISCARD;
/* A string of bytes from outside: what is not UTF-8 becomes '?'. */
int json_text_string(struct buf *out, struct str s) NODISCARD;
/* Numbers end at INT64_MAX, as in the rest of the protocol. */
int json_text_number(struct buf *out, uint64_t v) NODISCARD;
