/* SPDX-License-Identifier: ISC */
/* Marking all rows that match the filter. */
#pragma once

struct app;

/* Marks them; says how many they are when that is known. */
void mark_all(struct app *a);
