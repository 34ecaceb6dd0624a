/* SPDX-License-Identifier: ISC */
/* Dots of several layers, of which each cell shows the one that matters most. */
#include "tui/plot.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"

enum layer { LAYER_LINE, LAYER_BEFORE, LAYER_FILL, LAYER_ZERO, LAYER_COUNT };

struct plot_cell {
    unsigned char dots[LAYER_COUNT]; /* bits: row by row, from the upper left */
    unsigned char style;
};

static int dots_across(enum glyphs glyphs)
{
    return glyphs == GLYPHS_FULL ? 2 : 1;
}

static int dots_down(enum glyphs glyphs)
{
    return glyphs == GLYPHS_FULL ? 4 : 2;
}

int plot_dots(enum glyphs glyphs, int cols)
{
    return cols > 0 ? cols * dots_across(glyphs) : 0;
}

int plot_init(struct plot *p, enum glyphs glyphs, int rows, int cols)
{
    *p = (struct plot){.glyphs = glyphs, .rows = rows > 0 ? rows : 0, .cols = cols > 0 ? cols : 0};
    p->cells = calloc((size_t)p->rows * (size_t)p->cols + 1, sizeof(*p->cells));
    return p->cells ? 0 : -ERR_NOMEM;
}

void plot_fini(struct plot *p)
{
    free(p->cells);
    *p = (struct plot){0};
}

/* ---- curves ---- */

/* A dot of a curve: level counts from its base. */
static void plot_dot(struct plot *p, const struct plot_curve *c, enum layer layer, int x, int level)
{
    int across = dots_across(p->glyphs), down = dots_down(p->glyphs);
    int y = c->is_down ? c->top * down + level : (c->top + c->rows) * down - 1 - level;
    int row = y / down, col = x / across;
    if (y < 0 || row >= p->rows || x < 0 || col >= p->cols)
        return;
    struct plot_cell *cell = &p->cells[row * p->cols + col];
    cell->dots[layer] |= (unsigned char)(1u << (y % down * across + x % across));
    if (layer != LAYER_BEFORE)
        cell->style = (unsigned char)c->style;
}

/* How many dots a value is high: something is never nothing. */
static int plot_level(const struct plot *p, const struct plot_curve *c, double v)
{
    int height = c->rows * dots_down(p->glyphs);
    double share = v / c->most;
    int level = share >= 1 ? height : (int)(share * height + 0.5);
    return v > 0 && level < 1 ? 1 : level < 0 ? 0 : level;
}

void plot_add(struct plot *p, const struct plot_curve *c)
{
    int n = plot_dots(p->glyphs, p->cols), last = -1;
    bool is_full = p->glyphs == GLYPHS_FULL;
    if (c->rows <= 0)
        return;
    for (int x = 0; x < n; x++) {
        int level = isnan(c->now[x]) ? -1 : plot_level(p, c, c->now[x]);
        int before = !c->before || isnan(c->before[x]) ? -1 : plot_level(p, c, c->before[x]);
        if (level == 0 && (!is_full || x % 2 == 0))
            plot_dot(p, c, LAYER_ZERO, x, 0);
        /* A line through the levels of two columns: what rises is drawn where it goes to, what
         * falls where it comes from, so that a short peak stays narrow. */
        if (level > 0)
            plot_dot(p, c, LAYER_LINE, x, level - 1);
        for (int i = last + 1; last >= 0 && i < level; i++)
            plot_dot(p, c, LAYER_LINE, x, i - 1);
        for (int i = level + 1; level >= 0 && i < last; i++)
            plot_dot(p, c, LAYER_LINE, x - 1, i - 1);
        if (before > 0) /* only its course: edges would outshine what is now */
            plot_dot(p, c, LAYER_BEFORE, x, before - 1);
        for (int i = 0; i < level - 1; i++)
            if (!is_full || (x % 2 == 0 && i % 2 == 0))
                plot_dot(p, c, LAYER_FILL, x, i);
        last = level;
    }
}

/* ---- cells ---- */

/* What a cell of two dots looks like: none, the upper, the lower, both. */
static const char *half(enum glyphs glyphs, enum layer layer, unsigned dots)
{
    static const char *const lines[2][4] = {{" ", "'", ".", ":"}, {" ", "▀", "▄", "█"}};
    static const char *const others[2][LAYER_COUNT] = {
        {[LAYER_BEFORE] = "-", [LAYER_FILL] = ".", [LAYER_ZERO] = "_"},
        {[LAYER_BEFORE] = "-", [LAYER_FILL] = "░", [LAYER_ZERO] = "_"}};
    return layer == LAYER_LINE ? lines[glyphs][dots & 3] : others[glyphs][layer];
}

static void plot_show_cell(const struct plot *p, const struct plot_cell *cell, struct screen *s,
                           int row, int col)
{
    enum layer layer = LAYER_LINE;
    while (layer < LAYER_COUNT && !cell->dots[layer])
        layer++;
    if (layer == LAYER_COUNT)
        return;
    bool is_faint = layer == LAYER_BEFORE || layer == LAYER_ZERO;
    enum style style = is_faint ? STYLE_DIM : (enum style)cell->style;
    unsigned dots = cell->dots[layer] | (layer == LAYER_LINE ? cell->dots[LAYER_FILL] : 0u);
    if (p->glyphs != GLYPHS_FULL) {
        (void)screen_text(s, row, col, 1, style, str_of(half(p->glyphs, layer, dots)));
        return;
    }
    /* U+2800 and the bits of its dots, which have an order of their own. */
    static const unsigned char bits[8] = {0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80};
    unsigned code = 0x2800;
    for (int i = 0; i < 8; i++)
        code |= dots >> i & 1 ? bits[i] : 0u;
    const char text[] = {(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3f)),
                         (char)(0x80 | (code & 0x3f)), '\0'};
    (void)screen_text(s, row, col, 1, style, str_of(text));
}

void plot_show(const struct plot *p, struct screen *s, int row, int col)
{
    for (int i = 0; i < p->rows * p->cols; i++)
        plot_show_cell(p, &p->cells[i], s, row + i / p->cols, col + i % p->cols);
}
