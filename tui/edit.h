/* SPDX-License-Identifier: ISC */
/* A line of text that is being edited. */
#pragma once

#include "tui/screen.h"

#define EDIT_MAX 2048

struct edit {
    char text[EDIT_MAX];
    size_t cursor;  /* byte */
    bool is_secret; /* shown as dots, wiped */
};

/* Replaces the text; the cursor goes to its end. */
void edit_set(struct edit *e, const char *text);
void edit_wipe(struct edit *e);
/* Replaces the bytes from..cursor by text; false when it does not fit. */
bool edit_replace(struct edit *e, size_t from, const char *text);
/* Inserts text that was pasted at the cursor: its line breaks are blanks, other control characters
 * are left out, and so is what does not fit. */
void edit_paste(struct edit *e, struct str text);
/* True when the key was one for editing. */
bool edit_key(struct edit *e, int key);
/* Draws it; with the focus the cursor is shown and always in view. */
void edit_draw(const struct edit *e, struct screen *s, int row, int col, int width, bool has_focus);
