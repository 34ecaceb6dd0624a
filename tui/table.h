/* SPDX-License-Identifier: ISC */
/* The rows of one list as they were last fetched: selection by identity, marks, order, filter. No
 * terminal here. */
#pragma once

#include <jansson.h>

#include "base/map.h"
#include "ctl/commands.h"

#define TABLE_FILTER_MAX 512

struct table {
    const struct command *command; /* whose rows these are */
    const struct command_column *columns;
    size_t n_columns;
    json_t *rows; /* array; NULL before the first answer */
    json_t *gone; /* rows of the answer before that are missing now: shown greyed once */
    uint64_t matched, seen;
    size_t sort; /* column; SIZE_MAX = the daemon's own order */
    bool is_descending, is_wide;
    char filter[TABLE_FILTER_MAX];
    char selected[256]; /* identity of the selected row */
    size_t index, top;  /* where it was last; first row on the screen */
    struct map marks;   /* identities */
};

void table_init(struct table *t, const char *noun, const char *verb);
void table_fini(struct table *t);
/* Takes a new answer ({"rows":[...],"matched":n}); the selection stays on its row, or where it was
 * when that row is gone. */
void table_take(struct table *t, const json_t *result);
/* Puts one row at the end (events), dropping the oldest beyond max. */
void table_append(struct table *t, json_t *row, size_t max);
size_t table_rows(const struct table *t);
const json_t *table_row(const struct table *t, size_t i);
/* Identity of a row: its first column. Borrowed; "" when absent. dst of 256 bytes for numbers. */
const char *table_identity(const struct table *t, const json_t *row, char dst[256]);
const json_t *table_selected(const struct table *t);
/* Moves the selection by n rows (clamped); page rows are visible. */
void table_move(struct table *t, long n, size_t page);
bool table_is_marked(const struct table *t, const char *identity);
void table_mark(struct table *t, const char *identity, bool is_on);
void table_unmark_all(struct table *t);
/* Marked identities, or the selected one: owned array of texts. */
json_t *table_targets(const struct table *t);
/* Next sortable column in a direction. */
void table_sort_next(struct table *t, int direction);
/* "-out" or "out" for the daemon; NULL = its own order. dst of 64 bytes. */
const char *table_sort_text(const struct table *t, char dst[64]);
bool table_is_shown(const struct table *t, size_t column);
