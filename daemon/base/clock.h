/* SPDX-License-Identifier: ISC */
/* Time: one monotonic clock for deadlines, one wall clock for people. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* Monotonic milliseconds (CLOCK_MONOTONIC); for deadlines and ages. */
uint64_t clock_ms(void);
/* Monotonic microseconds. */
uint64_t clock_us(void);
/* Unix time in milliseconds; for records and logs. */
uint64_t clock_wall_ms(void);
/* RFC 3339 text in UTC with milliseconds, "2026-01-02T03:04:05.678Z" (25 bytes with NUL). */
void clock_format(char dst[25], uint64_t wall_ms);
