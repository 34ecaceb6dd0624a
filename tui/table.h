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

struct table {
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
struct table_part {
    size_t offset, limit;
    bool is_from_end;
};

/* command may be NULL. identity and sort as in panes.def, borrowed. */
void table_init(struct table *t, const struct command *command, const char *identity,
                const char *sort);
void table_fini(struct table *t);
/* Forgets rows, selection and marks; order and filter stay. */
void table_clear(struct table *t);

/* Takes an answer ({"rows":[...],"matched":n,...}) to the question for a part. The selection stays
 * on its row once it was moved there, else on its rank; a row that is missing stays greyed until
 * the next answer. */
void table_take(struct table *t, const json_t *result, const struct table_part *part);
/* How many rows are not greater than a row, of rows that ascend by a column; NULL = all are. */
size_t table_behind(const struct table *t, const json_t *row, const char *column);
/* Puts one row at the end, or by a column that ascends (NULL = at the end) behind what is not
 * greater, dropping the oldest beyond max. Takes over row. */
void table_append(struct table *t, json_t *row, const char *column, size_t max);
/* What to ask for so that the visible rows and a page around them are there. */
struct table_part table_want(const struct table *t);
/* Whether half a page around what is visible is loaded. */
bool table_has_margin(const struct table *t);
/* Whether what is visible is loaded. */
bool table_has_visible(const struct table *t);
/* Whether the daemon can begin a list anywhere, and sort it. */
bool table_can_skip(const struct table *t);
bool table_can_sort(const struct table *t);

/* Row of a rank, NULL when it is not loaded. Borrowed. */
const json_t *table_row(const struct table *t, size_t rank);
/* Identity of a row: its naming columns, joined by '/'. Returns dst. */
const char *table_identity(const struct table *t, const json_t *row, char dst[TABLE_ID_MAX]);
bool table_is_gone(const struct table *t, const char *identity);
/* NULL when there is none or it is not loaded. */
const json_t *table_selected(const struct table *t);
/* Moves the selection (clamped) and what is visible with it; from then on it follows its row, until
 * it is moved to the first one. */
void table_move(struct table *t, long by);
/* Moves the selection and what is visible by a page up (-1) or down (1). */
void table_page(struct table *t, int direction);
/* How many rows are visible; keeps the selection among them. */
void table_set_page(struct table *t, size_t page);

/* Is the row of that key marked? */
bool table_is_marked(const struct table *t, const char *identity);
/* Marks a row, which is kept as it is now. */
void table_mark(struct table *t, const char *identity, const json_t *row);
void table_unmark(struct table *t, const char *identity);
/* No row is marked afterwards. */
void table_unmark_all(struct table *t);
/* Marked identities, or else the selected one; without those that are gone. Owned array; *ret_rows
 * (owned) has the row of each. */
json_t *table_targets(const struct table *t, json_t **ret_rows);

/* Orders by the next column in a direction; of those not shown by default only by columns in a set
 * (bits by their places). TABLE_NODE is the one before the first. */
void table_sort_next(struct table *t, int direction, uint64_t wide);
/* Orders by a column; once more turns the order round. */
void table_sort_by(struct table *t, const char *column);
void table_reverse(struct table *t);
/* "-out" or "out" for the daemon; "" = its own order. dst of 72 bytes. */
const char *table_sort_text(const struct table *t, char dst[72]);
/* Sets the filter; the list begins at its top. */
void table_set_filter(struct table *t, const char *filter);
