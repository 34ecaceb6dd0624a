/* SPDX-License-Identifier: ISC */
/* Marking all rows that match the filter. */
#pragma once

#include "tui/keys.h"

struct app;

/* Marks them; says how many they are when that is known. */
void mark_all(struct app *a);
/* While rows are still being marked an action waits for the last of them; true when it does. */
bool mark_defer(struct app *a, enum action action);
/* Goes on without a daemon that went away or is silent. */
void mark_tick(struct app *a);
/* Forgets what is being marked; the marks that are there stay. */
void mark_stop(struct app *a);
