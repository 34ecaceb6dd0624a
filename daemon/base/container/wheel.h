/* SPDX-License-Identifier: ISC */
/* Timer wheel: many coarse deadlines (sessions) on one clock tick, O(1) to set and to move. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/container/list.h"

/* One deadline; embed it. Zero-initialise, then wheel_timer_init. */
struct wheel_timer {
    struct list link;
    uint64_t due_ms; /* 0 = not set */
};

#define WHEEL_SLOTS 512
#define WHEEL_TICK_MS 250

/* Hashed wheel of WHEEL_SLOTS slots of WHEEL_TICK_MS; deadlines further away stay in their slot and
 * are looked at once a turn. */
struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t now_tick;
    size_t count;
};

/* An empty wheel whose time begins at now_ms. */
void wheel_init(struct wheel *w, uint64_t now_ms);
/* A timer that is not set; before anything else is done with it. */
void wheel_timer_init(struct wheel_timer *t);
/* Sets or moves a deadline. Moving it LATER only stores the number (no relink): the tick that finds
 * it early puts it right. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms);
void wheel_cancel(struct wheel *w, struct wheel_timer *t);
/* Advances to now and moves every due timer to `expired` (a caller-owned list; each is unset:
 * due_ms 0). Never early; late by at most a tick. */
void wheel_advance(struct wheel *w, uint64_t now_ms, struct list *expired);
