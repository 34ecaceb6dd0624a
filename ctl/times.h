/* SPDX-License-Identifier: ISC */
/* Times as people write them, for --since, --until and --for. */
#pragma once

#include <time.h>

#include "base/err.h"
#include "base/str.h"

/* "09:00", "09:00:30" (the last such time, or with is_past false the next), "today", "yesterday",
 * "tomorrow" (their midnight), "2026-11-28", "2026-11-28 14:00", "11-28 14:00" (of this year), also
 * with seconds, with T for the blank, and with Z behind it for UTC; else local time. ret_ms: how
 * long it is from now, 0 on the other side of it (-ERR_RANGE). -ERR_SYNTAX: no time. */
int times_parse(struct str text, bool is_past, time_t now, uint64_t *ret_ms) NODISCARD;
