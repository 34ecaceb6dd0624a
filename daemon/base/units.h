/* SPDX-License-Identifier: ISC */
/* Durations ("500ms" "10s" "5m" "24h" "7d") and sizes ("4k" "1m" "2g"): one parser and one printer
 * for config, filters and tables. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Parses a duration into milliseconds; a bare number other than 0 is -ERR_SYNTAX, combined "1h30m"
 * is accepted; -ERR_RANGE on overflow. */
int units_parse_duration(struct str s, uint64_t *ret_ms) NODISCARD;
/* Parses a size into bytes; suffixes b k m g t (1024, any case, optional trailing "b" or "ib"),
 * bare number = bytes. */
int units_parse_size(struct str s, uint64_t *ret_bytes) NODISCARD;
/* Exact text that the parser reads back: "90s" -> "90s", 60000 -> "1m". dst of 32 bytes. */
void units_format_duration(char dst[32], uint64_t ms);
/* Exact text that the parser reads back ("4k"). */
void units_format_size(char dst[32], uint64_t bytes);
/* For people, rounded, at most 6 columns: "3.2 GB"-like as "3.2G", "742". */
void units_human_size(char dst[32], uint64_t bytes);
/* For people, two units: "5s", "12m", "3h07m", "2d04h". */
void units_human_duration(char dst[32], uint64_t ms);
