/* SPDX-License-Identifier: ISC */
/* The table of nginx's directives: which there are, and what each becomes. */
#pragma once

#include "nginx/nginx_put.h"

extern const struct nginx_row nginx_rows[];
extern const size_t nginx_n_rows;

/* NULL: there is no such directive. */
const struct nginx_row *nginx_row_find(const char *name);
/* Translates d by its row, after its arguments were counted, and notes the verdict. Errors as
 * nginx_how. */
int nginx_row_apply(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d) NODISCARD;
/* Translates a word of a directive d ("backlog=511") by the row of that parameter ("listen
 * backlog="). -ERR_CONFIG when there is none. */
int nginx_row_apply_param(const struct nginx_job *job, struct nginx_directive *d,
                          const char *word) NODISCARD;
