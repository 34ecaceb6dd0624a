/* SPDX-License-Identifier: ISC */
/* Text on a terminal: its width in columns, cutting, and escaping of what could steer it. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/* Columns that UTF-8 text takes: combining marks none, East Asian wide characters two. */
int output_text_width(struct str s);
/* Appends s with control characters, direction marks and broken UTF-8 written as escapes. */
int output_text_clean(struct buf *out, struct str s) NODISCARD;
/* Appends s with all that is not ASCII written as escapes: for terminals without UTF-8. */
int output_text_ascii(struct buf *out, struct str s) NODISCARD;
/* Appends at most `width` columns of s; a cut text ends in an ellipsis ("~" without UTF-8).
 * Returns the columns written. */
int output_text_cut(struct buf *out, struct str s, int width, bool is_utf8);
/* Bytes of the words at the beginning of s that fit into `width` columns, without the blank behind
 * them; at least the first word. */
size_t output_text_fit(struct str s, int width);
