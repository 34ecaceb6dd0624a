/* SPDX-License-Identifier: ISC */
/* The terminal: the only file that knows curses. */
#pragma once

#include "tui/screen.h"

/* Keys beyond characters. Control keys are their ASCII codes. */
enum term_key {
    TERM_NONE = -1,
    TERM_UP = 0x200000, /* beyond Unicode */
    TERM_DOWN,
    TERM_LEFT,
    TERM_RIGHT,
    TERM_PAGE_UP,
    TERM_PAGE_DOWN,
    TERM_HOME,
    TERM_END,
    TERM_BACKSPACE,
    TERM_DELETE,
    TERM_BACKTAB,
    TERM_RESIZE,
    TERM_MOUSE,
    TERM_F1, /* the others follow */
    TERM_F12 = TERM_F1 + 11,
};

struct term_options {
    bool is_ascii;      /* no characters beyond ASCII */
    bool is_monochrome; /* NO_COLOR */
};

/* Takes the terminal over; it is restored by term_close, at exit and after a crash. False when
 * there is none that will do. */
bool term_open(const struct term_options *o);
void term_close(void);
bool term_is_utf8(void);
void term_size(int *ret_rows, int *ret_cols);
/* The next key without waiting, TERM_NONE when there is none. */
int term_key(void);
/* Shows a screen; sends only what differs. */
void term_show(const struct screen *s);
/* Everything is sent anew with the next term_show. */
void term_redraw(void);
void term_set_mouse(bool is_on);
/* Where the last TERM_MOUSE happened; wheel: -1 up, 1 down, 0 = a click. */
void term_mouse(int *ret_row, int *ret_col, int *ret_wheel);
/* Hands text to the terminal's clipboard (OSC 52). */
void term_copy(struct str text);
