/* SPDX-License-Identifier: ISC */
/* What the screen shall look like: styled cells in memory, independent of any terminal. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

/* What a piece of text means; the terminal decides how that looks. */
enum style {
    STYLE_NORMAL,
    STYLE_DIM,
    STYLE_TITLE,    /* names of things */
    STYLE_BAR,      /* the first line */
    STYLE_TAB,      /* another screen */
    STYLE_TAB_HERE, /* this screen */
    STYLE_HEADER,   /* titles of columns */
    STYLE_SELECTED,
    STYLE_MARKED,
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_BAD,
    STYLE_ALARM, /* a banner: somebody has to act */
    STYLE_KEY,
    STYLE_INPUT,
    STYLE_BORDER,
    STYLE_GRAPH,
    STYLE_BUTTON, /* the one that Enter presses */
    STYLE_COUNT
};

/* What the terminal can show beyond ASCII. */
enum glyphs {
    GLYPHS_ASCII,
    GLYPHS_CONSOLE, /* the Linux console: UTF-8, but few shapes */
    GLYPHS_FULL,
};

enum shape {
    SHAPE_HORIZONTAL,
    SHAPE_VERTICAL,
    SHAPE_TOP_LEFT,
    SHAPE_TOP_RIGHT,
    SHAPE_BOTTOM_LEFT,
    SHAPE_BOTTOM_RIGHT,
    SHAPE_UP,    /* ascending order */
    SHAPE_DOWN,  /* descending order */
    SHAPE_MORE,  /* something is cut off here */
    SHAPE_BAR,   /* part of a bar */
    SHAPE_TRACK, /* rest of a bar */
    SHAPE_MARK,  /* a marked row */
    SHAPE_COUNT
};

struct screen_cell {
    char
        text[15]; /* UTF-8 with combining marks as far as they fit; "" = right half of a wide one */
    unsigned char style;
};

struct screen {
    int rows, cols;
    enum glyphs glyphs;
    struct screen_cell *cells;
    int cursor_row, cursor_col; /* -1 = hidden */
};

/* Empties it at a size; false without memory (it is then 0x0). */
bool screen_reset(struct screen *s, int rows, int cols);
void screen_fini(struct screen *s);
const struct screen_cell *screen_at(const struct screen *s, int row, int col);
/* Puts text at a place, at most `width` columns of it, never beyond the edges; control bytes become
 * escapes, too long texts end in an ellipsis. Returns the columns used. */
int screen_text(struct screen *s, int row, int col, int width, enum style style, struct str text);
int screen_printf(struct screen *s, int row, int col, int width, enum style style, const char *fmt,
                  ...) __attribute__((format(printf, 6, 7)));
/* Right-aligned within width. */
void screen_right(struct screen *s, int row, int col, int width, enum style style, struct str text);
/* Blanks of a style. */
void screen_fill(struct screen *s, int row, int col, int width, enum style style);
/* Changes the style of what is there. */
void screen_restyle(struct screen *s, int row, int col, int width, enum style style);
void screen_shape(struct screen *s, int row, int col, enum style style, enum shape shape);
/* A frame with blanks inside and a title on its upper edge. */
void screen_box(struct screen *s, int row, int col, int height, int width, struct str title);
/* A bar of `width` cells, filled to part/whole. */
void screen_bar(struct screen *s, int row, int col, int width, enum style style, uint64_t part,
                uint64_t whole);
/* A column of a graph that grows upwards from row `bottom`, `height` cells at most: its top shows
 * the value, what is below is filled lightly. */
void screen_column(struct screen *s, int bottom, int col, int height, enum style style,
                   uint64_t part, uint64_t whole);
/* The cells as lines of text, without styles and trailing blanks. */
void screen_print(const struct screen *s, FILE *f);
