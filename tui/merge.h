/* SPDX-License-Identifier: ISC */
/* What several daemons answer to one question, as one answer. Pure: no connection, no clock. All
 * functions: one thread. */
#pragma once

#include <jansson.h>

#include "tui/merge_rows.h"

/* How answers to a command become one. */
enum merge_kind {
    MERGE_FIRST,   /* what one of them knows for all */
    MERGE_ROWS,    /* rows of all, each with the daemon it is of */
    MERGE_GROUPS,  /* counts of the same thing are added up */
    MERGE_SAMPLES, /* counts of the same time are added up */
    MERGE_TOTALS,  /* counts are added up; of times and shares the worst is taken */
    MERGE_STATUS,  /* one object with all of them as "nodes" */
    MERGE_STREAM,
    MERGE_CHANGE, /* what was done is added up */
};

/* How the answers of several daemons to this command become one. */
enum merge_kind merge_kind(const struct command *c);
/* Whether the command gives a part of a list that can begin anywhere. */
bool merge_is_window(const struct command *c);
/* The parameters for each of n daemons, to ret (n owned objects), when params are asked of all; of
 * a list's part also a->part of each. */
void merge_params(const struct command *c, const json_t *params, const struct merge_window *w,
                  struct merge_answer *a, size_t n, json_t **ret);
/* One answer of n; at least one is there. w (NULL when merge_is_window is false) learns where the
 * rows lie; until it knows, the answer has "again": the same question brings better rows. Owned;
 * NULL without memory. */
json_t *merge_answers(const struct command *c, const json_t *params, struct merge_window *w,
                      const struct merge_answer *a, size_t n);
