/* SPDX-License-Identifier: ISC */
/* The one list widget: a table with its columns in a part of the screen. */
#pragma once

#include "base/buf.h"
#include "ctl/output.h"
#include "tui/screen.h"
#include "tui/table.h"

struct list {
    struct table table;
    const char *empty; /* words for no rows; borrowed */
    bool is_looking;   /* an answer to the present question is still to come */
    bool has_focus;    /* the selected row is picked out */
    bool is_wide;      /* all columns; those beyond the edge are reached by moving */
    size_t first;      /* columns passed over behind the naming one */
    uint64_t shown;    /* bits of the columns that were picked; 0 = the usual ones */

    struct output output;            /* columns and their widths */
    int natural[OUTPUT_COLUMNS_MAX]; /* widest so far: columns do not jump about */
    bool is_laid_wide;
    size_t n_hidden; /* columns that found no room at the last drawing */
    int row, height; /* where it was drawn last; the titles are in `row` */
};

/* As table_init. */
void list_init(struct list *l, const struct command *command, const char *identity,
               const char *sort, const char *empty);
void list_fini(struct list *l);
/* Draws titles and rows; is_stale greys everything; words stand in place of the rows unless NULL.
 */
void list_draw(struct list *l, struct screen *s, int row, int height, bool is_stale,
               const char *words);
/* Orders by the next column in a direction, of those that are shown by default or shown now. */
void list_sort_next(struct list *l, int direction);
/* Moves the columns. */
void list_scroll(struct list *l, int by);
/* Shows a column or hides it; the last one stays. NULL: the usual ones again. */
void list_toggle_column(struct list *l, const char *column);
/* Whether it is shown, or would be if there was room. */
bool list_has_column(const struct list *l, size_t column);
/* The names of those that were picked, to a buffer; "" = the usual ones. The other way: names that
 * there are none of are passed over. */
int list_shown_text(const struct list *l, struct buf *text) NODISCARD;
void list_set_shown(struct list *l, struct str names);
/* Widths are found anew. */
void list_reset_widths(struct list *l);
/* Rank of the row at a line of the screen; -1 = none. */
long list_row_at(const struct list *l, int line);
/* Column whose title is at a place of the screen; NULL = none. */
const char *list_title_at(const struct list *l, int line, int col);
/* The style that a state deserves wherever it stands: "down" is bad. */
enum style list_word_style(struct str word);
/* What a row shows, separated by tabs; owned. */
char *list_row_text(const struct list *l, const json_t *row);
