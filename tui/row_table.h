/* SPDX-License-Identifier: ISC */
/* The rows of one list as they were last fetched: the part that is loaded, selection by identity,
 * marks, order, filter. No terminal here. */
#pragma once

#include <jansson.h>

#include "base/container/map.h"
#include "rpc/commands.h"

#define TABLE_FILTER_MAX 512
#define TABLE_ID_MAX 256
/* The daemon gives no more rows at once. */
#define TABLE_LIMIT_MAX 1000
/* Member of rows of several daemons: the name of each row's. */
#define TABLE_NODE "node"

struct row_table {
    const struct command *command; /* whose rows these are; NULL: this program knows no such */
    const struct command_column *columns;
    size_t n_columns;
    const char *identity; /* columns that name a row, joined by blanks; "" = rows are numbered */
    bool has_node;        /* rows are of several daemons: TABLE_NODE orders them, too */

    json_t *rows;    /* what is loaded; NULL before the first answer */
    size_t start;    /* rank of its first row in the whole list */
    size_t total;    /* rows of the whole list, those that are greyed among them */
    size_t matched;  /* rows that the daemon counted */
    bool has_more;   /* there are more than that */
    uint64_t seen;   /* rows that the filter looked at; 0 = unknown */
    struct map gone; /* identities that the last answer had no more: greyed until the next one */

    char sort[64]; /* a column; "" = the daemon's own order */
    bool is_descending;
    char filter[TABLE_FILTER_MAX];
    bool is_changed;   /* order or filter changed after the last answer */
    unsigned question; /* counts these changes */

    char selected[TABLE_ID_MAX]; /* identity of the selected row; "" = not loaded yet */
    size_t index, top, page;     /* ranks of the selected and the first visible row; visible rows */
    bool is_following; /* the operator chose the selected row: it is kept when its rank changes */
    struct map marks;  /* identity -> json_t *, the row when it was marked (owned) */
    json_int_t next_number;
};

/* A part of the list: rows passed over at its beginning, or at its end, and how many follow. */
struct row_table_part {
    size_t offset, limit;
    bool is_from_end;
};

/* command may be NULL. identity and sort as in panes.def, borrowed. */
void row_table_init(struct row_table *t, const struct command *command, const char *identity,
                    const char *sort);
void row_table_fini(struct row_table *t);
/* Forgets rows, selection and marks; order and filter stay. */
void row_table_clear(struct row_table *t);

/* Takes an answer ({"rows":[...],"matched":n,...}) to the question for a part. The selection stays
 * on its row once it was moved there, else on its rank; a row that is missing stays greyed until
 * the next answer. */
void row_table_take(struct row_table *t, const json_t *result, const struct row_table_part *part);
/* How many rows are not greater than a row, of rows that ascend by a column; NULL = all are. */
size_t row_table_behind(const struct row_table *t, const json_t *row, const char *column);
/* Puts one row at the end, or by a column that ascends (NULL = at the end) behind what is not
 * greater, dropping the oldest beyond max. Takes over row. */
void row_table_append(struct row_table *t, json_t *row, const char *column, size_t max);
/* What to ask for so that the visible rows and a page around them are there. */
struct row_table_part row_table_want(const struct row_table *t);
/* Whether half a page around what is visible is loaded. */
bool row_table_has_margin(const struct row_table *t);
/* Whether what is visible is loaded. */
bool row_table_has_visible(const struct row_table *t);
/* Whether the daemon can begin a list anywhere, and sort it. */
bool row_table_can_skip(const struct row_table *t);
bool row_table_can_sort(const struct row_table *t);

/* Row of a rank, NULL when it is not loaded. Borrowed. */
const json_t *row_table_row(const struct row_table *t, size_t rank);
/* Identity of a row: its naming columns, joined by '/'. Returns dst. */
const char *row_table_identity(const struct row_table *t, const json_t *row,
                               char dst[TABLE_ID_MAX]);
bool row_table_is_gone(const struct row_table *t, const char *identity);
/* NULL when there is none or it is not loaded. */
const json_t *row_table_selected(const struct row_table *t);
/* Moves the selection (clamped) and what is visible with it; from then on it follows its row, until
 * it is moved to the first one. */
void row_table_move(struct row_table *t, long by);
/* Moves the selection and what is visible by a page up (-1) or down (1). */
void row_table_page(struct row_table *t, int direction);
/* How many rows are visible; keeps the selection among them. */
void row_table_set_page(struct row_table *t, size_t page);

/* Is the row of that key marked? */
bool row_table_is_marked(const struct row_table *t, const char *identity);
/* Marks a row, which is kept as it is now. */
void row_table_mark(struct row_table *t, const char *identity, const json_t *row);
void row_table_unmark(struct row_table *t, const char *identity);
/* No row is marked afterwards. */
void row_table_unmark_all(struct row_table *t);
/* Marked identities, or else the selected one; without those that are gone. Owned array; *ret_rows
 * (owned) has the row of each. */
json_t *row_table_targets(const struct row_table *t, json_t **ret_rows);

/* Orders by the next column in a direction; of those not shown by default only by columns in a set
 * (bits by their places). TABLE_NODE is the one before the first. */
void row_table_sort_next(struct row_table *t, int direction, uint64_t wide);
/* Orders by a column; once more turns the order round. */
void row_table_sort_by(struct row_table *t, const char *column);
void row_table_reverse(struct row_table *t);
/* "-out" or "out" for the daemon; "" = its own order. dst of 72 bytes. */
const char *row_table_sort_text(const struct row_table *t, char dst[72]);
/* Sets the filter; the list begins at its top. */
void row_table_set_filter(struct row_table *t, const char *filter);
