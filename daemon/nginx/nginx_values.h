/* SPDX-License-Identifier: ISC */
/* Values of nginx's directives in the words of our file. */
#pragma once

#include "base/buf.h"

/* nginx's times: "60", "90s", "1h 30m", "1d", "500ms". *ret_ms. -ERR_SYNTAX,
 * -ERR_RANGE. */
int nginx_time(const char *text, uint64_t *ret_ms) NODISCARD;
/* nginx's sizes: "4096", "4k", "1m", "1g". -ERR_SYNTAX, -ERR_RANGE. */
int nginx_size(const char *text, uint64_t *ret_bytes) NODISCARD;
/* Appends a text in quotes. -ERR_NOMEM; -ERR_INVAL: our file cannot hold it (control characters, no
 * UTF-8). */
int nginx_quote(struct str text, struct buf *out) NODISCARD;
/* Appends a text to a list: "[ ]" or what this function made. Errors as nginx_quote. */
int nginx_quote_next(struct str text, struct buf *list) NODISCARD;
