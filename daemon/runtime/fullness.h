/* SPDX-License-Identifier: ISC */
/* Says when a backend becomes full and when it has room again: not for every login that comes and
 * goes. */
#pragma once

#include <stdint.h>

struct control;

/* It has room again when nothing filled it for so long. */
#define FULLNESS_CALM_MS 3000

/* Looks at the backends of all pools; called about once a second. now_ms: monotonic. Thread:
 * control. */
void fullness_look(struct control *c, uint64_t now_ms);
