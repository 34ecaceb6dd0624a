/* SPDX-License-Identifier: ISC */
/* A thread that ends the process when one of its loops is stuck, so that the supervisor starts a
 * new engine. */
#pragma once

#include <stddef.h>

#include "io/loop.h"

struct watchdog;

#define WATCHDOG_SILENCE_MS 10000

/* loops are borrowed until watchdog_free; the array is copied. */
int watchdog_start(const struct loop *const *loops, size_t n, struct watchdog **ret) NODISCARD;
/* NULL is fine. */
void watchdog_free(struct watchdog *w);
