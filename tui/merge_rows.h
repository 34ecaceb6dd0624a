/* SPDX-License-Identifier: ISC */
/* Rows of several daemons as one list: their order, and where in long lists one is. Pure: no
 * connection, no clock. All functions: one thread. */
#pragma once

#include <jansson.h>

#include "rpc/commands.h"
#include "tui/row_table.h"

#define MERGE_MAX 64 /* daemons */
/* Members that rows get: the daemon's name for people, and its place among the daemons. */
#define MERGE_NODE TABLE_NODE
#define MERGE_PLACE "node#"

/* Where in a list of many rows one is: how many rows of each daemon lie before that place, and how
 * many it has. While that is being found: which daemons went on (1) or back (-1), by how many rows,
 * and so far how many answers. Zero-initialised: at the beginning. */
struct merge_window {
    size_t at[MERGE_MAX], counts[MERGE_MAX];
    size_t steps[MERGE_MAX];
    signed char ways[MERGE_MAX];
    bool is_seeking;
    unsigned rounds;
};

/* What one daemon was asked for, and answered. */
struct merge_answer {
    const char *name;           /* of the daemon; borrowed */
    json_t *result;             /* borrowed, its rows get MERGE_NODE; NULL = there is no answer */
    struct row_table_part part; /* of a list that can begin anywhere */
};

/* How rows of several daemons lie: ordered by a column, or one daemon's behind another's. */
struct merge_order {
    char column[64]; /* "" = one daemon's rows behind another's */
    bool is_descending;
    bool is_by_node;         /* the daemons by their names */
    size_t turns[MERGE_MAX]; /* their places in the order in which their rows come */
};

static inline size_t merge_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Says on a row which daemon it is of. */
void merge_tag(json_t *row, size_t place, const char *name);
/* Whether two rows have the same in a member; nothing is the same as nothing. */
bool merge_is_same(const json_t *a, const json_t *b, const char *member);
/* The order that params ask n daemons for; of their answers only the names are needed. */
struct merge_order merge_order(const struct command *c, const json_t *params,
                               const struct merge_answer *a, size_t n);
/* For qsort_r of rows; arg: a struct merge_order. */
int merge_compare(const void *a, const void *b, void *arg);
/* The part of a list that params ask for. */
struct row_table_part merge_want(const json_t *params);
/* A count that an answer has; 0 = it has none. */
size_t merge_count(const json_t *result, const char *member);
/* Sets the part that each of n daemons is asked for, so that the wanted one can be put together. */
void merge_plan(const struct merge_window *w, const struct merge_order *o, size_t n,
                const struct row_table_part *want, struct merge_answer *a);
/* Rows of all in one list, see merge_answers. */
json_t *merge_rows(const struct command *c, const json_t *params, struct merge_window *w,
                   const struct merge_answer *a, size_t n);
