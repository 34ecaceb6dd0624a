/* SPDX-License-Identifier: ISC */
/* What was counted within the last minute and the last ten: differences to copies that are kept for
 * that long. Pure; bounded memory. */
#pragma once

#include <stdbool.h>

#include "base/latency.h"

enum window { WINDOW_MINUTE, WINDOW_TEN_MINUTES, WINDOW_COUNT };

#define WINDOW_COPIES 13 /* of each length: twelve steps and the one that is being replaced */

/* Totals since the start, or what a window saw of them. */
struct window_counts {
    struct latency_counts login, connect; /* of those that succeeded */
    uint32_t logins, failures;
};

/* Zeroed: nothing was kept so far. */
struct windows {
    struct window_counts base; /* the totals when they began to be looked at */
    struct window_ring {
        struct window_counts copies[WINDOW_COPIES];
        uint64_t n; /* copies taken so far */
    } rings[WINDOW_COUNT];
};

/* Called once a second, which is counted by `second`, with the totals: keeps a copy when one is
 * due. */
void windows_take(struct windows *w, const struct window_counts *now, uint64_t second);
/* Is a copy due in this second? Then windows_take wants the totals. */
bool windows_is_due(uint64_t second);
/* What happened in a window that ends now; ret may be now. */
void windows_get(const struct windows *w, enum window which, const struct window_counts *now,
                 struct window_counts *ret);
/* Failures of all tries in percent, rounded up: one of a thousand is not none. */
unsigned window_fail_percent(const struct window_counts *c);
