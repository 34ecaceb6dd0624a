/* SPDX-License-Identifier: ISC */
/* Lines of styled text to scroll through: details, help, outputs. */
#pragma once

#include "base/buf.h"
#include "tui/screen.h"

struct text_page {
    char title[320];
    struct buf *lines; /* cleaned text; a byte STYLE_x + 1 below ' ' switches the style */
    size_t n, cap;
    enum glyphs glyphs; /* of the screen where it will be shown */
    size_t top;
    int left, height;  /* scrolled columns; lines that fitted at the last drawing */
    bool is_stream;    /* lines are added at the end as they come */
    bool is_following; /* of a stream: the end stays in view */
    bool is_paused;    /* of a stream: what comes is kept, and not shown */
    size_t n_paused;   /* lines that are shown meanwhile */
};

/* Frees the lines; it is empty afterwards. */
void text_page_fini(struct text_page *p);
/* Forgets the lines; the place in them stays. */
void text_page_clear(struct text_page *p);
/* Begins a line. */
void text_page_line(struct text_page *p);
/* Adds to the last line; control bytes become escapes. */
void text_page_put(struct text_page *p, enum style style, struct str text);
void text_page_printf(struct text_page *p, enum style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a text to the last line, broken at blanks where it would reach beyond `width` columns; what
 * follows stands below its beginning. */
void text_page_wrap(struct text_page *p, enum style style, const char *text, int width);
/* Blanks up to a column of the last line. */
void text_page_pad(struct text_page *p, int col);
/* Lines of a text that is broken at its line feeds; returns bytes that make no whole line yet. */
size_t text_page_add(struct text_page *p, enum style style, struct str text);
/* A line of its own. */
void text_page_say(struct text_page *p, enum style style, struct str text);
/* The same: a heading after an empty line. */
void text_page_heading(struct text_page *p, const char *text);
/* Columns of a line. */
int text_page_line_width(const struct text_page *p, size_t i);
/* True when the key was one for moving. */
bool text_page_key(struct text_page *p, int key);
/* A stream stands still, or goes on and follows its end again. */
void text_page_pause(struct text_page *p, bool is_paused);
/* Lines that can be seen. */
size_t text_page_lines(const struct text_page *p);
/* Draws the lines from its top on into a part of the screen. */
void text_page_draw(struct text_page *p, struct screen *s, int row, int col, int height, int width,
                    bool is_stale);
/* All lines as text; owned. */
char *text_page_text(const struct text_page *p);
