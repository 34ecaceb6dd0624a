/* SPDX-License-Identifier: ISC */
/* Boxes over the screen: a question with fields and No as its default, a line of input, a text to
 * scroll through. */
#pragma once

#include <jansson.h>

#include "tui/screen.h"

#define DIALOG_FIELDS_MAX 4
#define DIALOG_TEXT_MAX 512
#define DIALOG_HISTORY_MAX 100

enum dialog_kind { DIALOG_NONE, DIALOG_CONFIRM, DIALOG_LINE, DIALOG_PANE };
enum dialog_result { DIALOG_OPEN, DIALOG_YES, DIALOG_NO };

/* A line that is edited. */
struct dialog_field {
    const char *label;
    char text[DIALOG_TEXT_MAX];
    size_t cursor; /* byte */
};

struct dialog {
    enum dialog_kind kind;
    char title[256];
    struct dialog_field fields[DIALOG_FIELDS_MAX];
    size_t n_fields, focus; /* focus == n_fields: No, n_fields + 1: Yes */
    char *pane;             /* owned text */
    size_t pane_top;
    char **history; /* of lines; owned */
    size_t n_history, history_at;
};

/* "Kill 3 sessions?"; fields may be added with dialog_add. */
void dialog_confirm(struct dialog *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dialog_add(struct dialog *d, const char *label, const char *value);
/* One line at the bottom: prompt ":" or "/". */
void dialog_line(struct dialog *d, const char *prompt, const char *value);
/* A text; takes it over. */
void dialog_pane(struct dialog *d, const char *title, char *text);
void dialog_close(struct dialog *d);
void dialog_fini(struct dialog *d);
/* Value of a field of a finished dialog. */
const char *dialog_value(const struct dialog *d, size_t field);
/* Keeps a line for the arrows of the next dialog_line. */
void dialog_remember(struct dialog *d, const char *line);
enum dialog_result dialog_key(struct dialog *d, int key, int rows);
void dialog_draw(struct dialog *d, struct screen *s);
