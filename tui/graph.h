/* SPDX-License-Identifier: ISC */
/* A graph of the daemon's samples: exactly one length of time, up to two curves, what was before
 * as a faint line, values, peak, axis and times. */
#pragma once

#include <jansson.h>

#include "tui/screen.h"

/* A length of time, and how long ago the time lies that it is compared with. */
struct graph_span {
    const char *step; /* as stats history takes it */
    unsigned step_s, length_s, before_s;
    const char *before; /* what people call that time */
};

struct graph_series {
    const char *member, *label;
    enum style style;
};

/* The second series, if there is one, grows downwards and has a scale of its own. */
struct graph {
    const char *title;
    struct graph_series series[2];
    bool is_rate, is_size; /* samples are sums over their step; bytes */
};

/* What all graphs show. */
struct graph_view {
    const json_t *samples; /* oldest first; borrowed */
    const struct graph_span *span;
    uint64_t cursor_ms; /* values of this time are told; 0 = of now */
};

/* The highest value of each of n equal parts of the span that ends with the newest sample, of
 * back_s before; NAN where there is no sample. The parts are the same ones when time goes on. */
void graph_values(const struct graph_view *v, const struct graph *g, const char *member,
                  unsigned back_s, int n, double *ret);
/* The next value above that an axis ends with: 1, 1.5, 2, 3, ... of bytes 1K, 1.5K, 2K, ... */
double graph_nice(double value, bool is_size);
/* Cells of the plot of a graph of a width and height. */
int graph_plot_cols(int height, int width);
/* Draws it. */
void graph_draw(const struct graph_view *v, const struct graph *g, struct screen *s, int row,
                int col, int height, int width);
