/* SPDX-License-Identifier: ISC */
/* What several daemons answer to one question, as one answer. Pure: no connection, no clock. All
 * functions: one thread. */
#pragma once

#include <jansson.h>

#include "rpc/commands.h"
#include "tui/table.h"

#define MERGE_MAX 64 /* daemons */
/* Members that rows get: the daemon's name for people, and its place among the daemons. */
#define MERGE_NODE "node"
#define MERGE_PLACE "node#"

/* How answers to a command become one. */
enum merge_kind {
    MERGE_FIRST,   /* an object that one of them knows */
    MERGE_ROWS,    /* rows of all, each with the daemon it is of */
    MERGE_GROUPS,  /* counts of the same thing are added up */
    MERGE_SAMPLES, /* counts of the same time are added up */
    MERGE_TOTALS,  /* counts are added up; of times and shares the worst is taken */
    MERGE_STATUS,  /* one object with all of them as "nodes" */
    MERGE_STREAM,
    MERGE_CHANGE, /* what was done is added up */
};

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
    const char *name;       /* of the daemon; borrowed */
    json_t *result;         /* borrowed, its rows get MERGE_NODE; NULL = there is no answer */
    struct table_part part; /* of a list that can begin anywhere */
};

/* How the answers of several daemons to this command become one. */
enum merge_kind merge_kind(const struct command *c);
/* Whether the command gives a part of a list that can begin anywhere. */
bool merge_is_window(const struct command *c);
/* Says on a row which daemon it is of. */
void merge_tag(json_t *row, size_t place, const char *name);
/* The parameters for each of n daemons, to ret (n owned objects), when params are asked of all; of
 * a list's part also a->part of each. */
void merge_params(const struct command *c, const json_t *params, const struct merge_window *w,
                  struct merge_answer *a, size_t n, json_t **ret);
/* One answer of n; at least one is there. w (NULL when merge_is_window is false) learns where the
 * rows lie; until it knows, the answer has "again": the same question brings better rows. Owned;
 * NULL without memory. */
json_t *merge_answers(const struct command *c, const json_t *params, struct merge_window *w,
                      const struct merge_answer *a, size_t n);
/* Whether two rows have the same in a member; nothing is the same as nothing. */
bool merge_is_same(const json_t *a, const json_t *b, const char *member);
