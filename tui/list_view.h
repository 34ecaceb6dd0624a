/* SPDX-License-Identifier: ISC */
/* The one list widget: a table with its columns in a part of the screen. */
#pragma once

#include "base/buf.h"
#include "ctl/output.h"
#include "tui/row_table.h"
#include "tui/screen.h"

struct list_view_view {
    struct row_table table;
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
void list_view_init(struct list_view_view *l, const struct command *command, const char *identity,
                    const char *sort, const char *empty);
void list_view_fini(struct list_view_view *l);
/* Draws titles and rows; is_stale greys everything; words stand in place of the rows unless NULL.
 */
void list_view_draw(struct list_view_view *l, struct screen *s, int row, int height, bool is_stale,
                    const char *words);
/* Orders by the next column in a direction, of those that are shown by default or shown now. */
void list_view_sort_next(struct list_view_view *l, int direction);
/* Moves the columns. */
void list_view_scroll(struct list_view_view *l, int by);
/* Shows a column or hides it; the last one stays. NULL: the usual ones again. */
void list_view_toggle_column(struct list_view_view *l, const char *column);
/* Whether it is shown, or would be if there was room. */
bool list_view_has_column(const struct list_view_view *l, size_t column);
/* The names of those that were picked, to a buffer; "" = the usual ones. The other way: names that
 * there are none of are passed over. */
int list_view_shown_text(const struct list_view_view *l, struct buf *text) NODISCARD;
void list_view_set_shown(struct list_view_view *l, struct str names);
/* Widths are found anew. */
void list_view_reset_widths(struct list_view_view *l);
/* Rank of the row at a line of the screen; -1 = none. */
long list_view_row_at(const struct list_view_view *l, int line);
/* Column whose title is at a place of the screen; NULL = none. */
const char *list_view_title_at(const struct list_view_view *l, int line, int col);
/* The style that a state deserves wherever it stands: "down" is bad. */
enum style list_view_word_style(struct str word);
/* What a row shows, separated by tabs; owned. */
char *list_view_row_text(const struct list_view_view *l, const json_t *row);
