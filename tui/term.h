/* SPDX-License-Identifier: ISC */
/* The terminal: the only file that knows curses. */
#pragma once

#include "tui/input.h"
#include "tui/screen.h"

struct term_options {
    bool is_ascii;      /* no characters beyond ASCII */
    bool is_monochrome; /* NO_COLOR */
    bool is_light;      /* colours for a light background */
};

/* What the locale and the kind of terminal can show. */
enum glyphs term_glyphs(bool is_ascii);
/* Whether the environment (COLORFGBG) tells of a light background. */
bool term_is_light(void);
/* Takes the terminal over; it is restored by term_close, at exit and after a crash. False when
 * there is none that will do. */
bool term_open(const struct term_options *o);
void term_close(void);
void term_size(int *ret_rows, int *ret_cols);
/* The next key without waiting, INPUT_NONE when there is none. */
int term_key(void);
/* The text that the last INPUT_PASTE brought; borrowed until term_forget_paste, which wipes it. */
struct str term_pasted(void);
void term_forget_paste(void);
/* Throws away what was typed and not read yet. */
void term_drop_keys(void);
/* Shows a screen; sends only what differs. */
void term_show(const struct screen *s);
/* Everything is sent anew with the next term_show. */
void term_redraw(void);
void term_set_mouse(bool is_on);
/* Where the last INPUT_MOUSE happened; wheel: -1 up, 1 down, 0 = a click. */
void term_mouse(int *ret_row, int *ret_col, int *ret_wheel);
/* Hands text to the terminal's clipboard (OSC 52). */
void term_copy(struct str text);
/* Gives the terminal back and stops, as Ctrl-Z does; returns when the program goes on. */
void term_suspend(void);
/* Signals since the last call: the end is wanted; a stop is wanted; it went on after a stop. */
bool term_wants_end(void);
bool term_wants_suspend(void);
bool term_was_continued(void);
