/* SPDX-License-Identifier: ISC */
/* One log event as a line of text or JSON, safe against forged lines. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/log/log.h"

#define LOG_LINE_MAX 4096

struct log_line {
    char text[LOG_LINE_MAX];
    size_t n;    /* with the final LF */
    size_t body; /* where the text after time and level begins: what syslog gets */
};

/* Fills *line. Values are escaped and cut so that the line always ends in one LF and is valid UTF-8
 * (and valid JSON). */
void log_line_make(struct log_line *line, enum log_format format, uint64_t wall_ms,
                   enum log_level level, const char *event, const struct log_field *fields,
                   size_t n);
