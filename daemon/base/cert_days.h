/* SPDX-License-Identifier: ISC */
/* How long a certificate still lasts, and when that is told: the same for the log, listings and the
 * dashboard. */
#pragma once

#include <stdint.h>

/* One with fewer days is warned of. */
#define CERT_DAYS_WARN 14

/* Whole days from now until it ends, both in Unix seconds; negative when it has ended. Thread: any.
 */
static inline int64_t cert_days(int64_t expires, int64_t now)
{
    int64_t left = expires - now;
    return left >= 0 ? left / 86400 : -((86399 - left) / 86400);
}
