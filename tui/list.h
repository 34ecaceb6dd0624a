/* SPDX-License-Identifier: ISC */
/* The one list widget: draws a table into a part of the screen. */
#pragma once

#include "tui/screen.h"
#include "tui/table.h"

/* Draws header and rows; is_stale greys everything. Adjusts t->top so that the selection is
 * visible. Returns the rows that fit. */
size_t list_draw(struct screen *s, struct table *t, int row, int height, bool is_stale);
/* Row index at a line of the list drawn last with this geometry; -1 = the header or nothing. */
long list_at(const struct table *t, int row, int height, int line);
/* Column of the header at a screen column; SIZE_MAX = none. */
size_t list_column_at(const struct table *t, int cols, int col);
