/* SPDX-License-Identifier: ISC */
/* Lists that fit in memory: filtering, sorting and cutting rows of JSON. Any thread, but
 * table_answer. */
#pragma once

#include "rpc/request.h"

/* A row by what it is sorted: the value of a column, "-NAME" descending; rows without it come
 * first, of the same value the one of the lower position. */
struct table_key {
    json_t *row;
    const json_t *value; /* of row */
    size_t position;
    bool is_descending;
};
struct table_key table_key_of(json_t *row, const char *sort, size_t position);
int table_key_order(const struct table_key *a, const struct table_key *b);
/* Sorts rows by a column, "-NAME" descending; rows without it come first. Stable. -ERR_NOMEM. */
int table_sort(json_t *rows, const char *sort) NODISCARD;
/* Removes all rows but the first n. */
void table_cut(json_t *rows, size_t n);
/* Answers a LIST with the request's filter, sort and limit applied; takes over rows and r. Thread:
 * control. */
void table_answer(struct request *r, json_t *rows);
