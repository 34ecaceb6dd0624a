/* SPDX-License-Identifier: ISC */
/* Curves as dots in the cells of a screen: eight in a cell where the terminal has Braille, two
 * where it has not. */
#pragma once

#include "tui/screen.h"

struct plot_cell;

struct plot {
    enum glyphs glyphs;
    int rows, cols;
    struct plot_cell *cells; /* owned */
};

/* One curve in some rows of a plot. Values are one for each column of dots; NAN = none. */
struct plot_curve {
    const double *now, *before; /* before is drawn faintly; NULL = none */
    double most;                /* what reaches the edge; above 0 */
    int top, rows;
    bool is_down; /* it grows from the upper edge downwards */
    enum style style;
};

/* Columns of dots in so many cells. */
int plot_dots(enum glyphs glyphs, int cols);
/* An empty one; -ERR_NOMEM. */
int plot_init(struct plot *p, enum glyphs glyphs, int rows, int cols) NODISCARD;
void plot_fini(struct plot *p);
/* Adds a curve: a line, lightly filled to its base. Zero is a faint line at the base. */
void plot_add(struct plot *p, const struct plot_curve *c);
/* Puts it on the screen. */
void plot_show(const struct plot *p, struct screen *s, int row, int col);
