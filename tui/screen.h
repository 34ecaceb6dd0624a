/* SPDX-License-Identifier: ISC */
/* What the screen shall look like: styled cells in memory, independent of any terminal. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

enum style {
    STYLE_NORMAL,
    STYLE_DIM,
    STYLE_TITLE,
    STYLE_HEADER,
    STYLE_SELECTED,
    STYLE_MARKED,
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_BAD,
    STYLE_KEY,
    STYLE_INPUT,
    STYLE_GRAPH,
    STYLE_COUNT
};

struct screen_cell {
    char text[8]; /* UTF-8 with combining marks as far as they fit; "" = right half of a wide one */
    unsigned char style;
};

struct screen {
    int rows, cols;
    bool is_utf8;
    struct screen_cell *cells;
    int cursor_row, cursor_col; /* -1 = hidden */
};

/* Empties it at a size; false without memory (it is then 0x0). */
bool screen_reset(struct screen *s, int rows, int cols);
void screen_fini(struct screen *s);
/* Puts text at a place, at most `width` columns of it, never beyond the edges; control bytes become
 * escapes, too long texts end in an ellipsis. */
void screen_text(struct screen *s, int row, int col, int width, enum style style, struct str text);
void screen_printf(struct screen *s, int row, int col, int width, enum style style, const char *fmt,
                   ...) __attribute__((format(printf, 6, 7)));
/* Right-aligned within width. */
void screen_right(struct screen *s, int row, int col, int width, enum style style, struct str text);
/* Blanks of a style. */
void screen_fill(struct screen *s, int row, int col, int width, enum style style);
/* Changes the style of what is there. */
void screen_restyle(struct screen *s, int row, int col, int width, enum style style);
/* The cells as lines of text, without styles and trailing blanks. */
void screen_print(const struct screen *s, FILE *f);
