/* SPDX-License-Identifier: ISC */
/* What the daemon does with the table of commands: checking parameters, filtering rows, masking. */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "proto/filter.h"
#include "rpc/commands.h"

struct request;

/* What runs when a command is asked for: answers r now or later, exactly once. */
typedef void (*command_fn)(struct request *r);

/* Why something was refused, before it becomes an answer. Texts owned; command_failure_fini. */
struct command_failure {
    int err; /* -ERR_x */
    char *text, *hint;
};
void command_failure_fini(struct command_failure *f);

/* Nearest method, or NULL. */
const char *command_nearest(const char *method);
/* The columns of a command for filter_parse; ids are positions for command_column_get. */
const struct filter_field *command_filter_fields(const struct command *c, size_t *ret_n);
/* get of filter_match for a row that is a JSON object with the command's columns. */
bool command_row_get(const void *row, int id, struct filter_value *ret);

/* Checks parameters by the table: unknown ones, types, missing ones. *ret_params (new reference)
 * has durations and sizes as integers, MANY as arrays, filters as one text, user names in their
 * normal form. 0 or -ERR_x with *ret_failure. */
int command_check(const struct command *c, const json_t *params, json_t **ret_params,
                  struct command_failure *ret_failure) NODISCARD;
/* Appends "name=value ..." for the audit; secrets, files and what the table does not know become
 * "***". */
int command_mask(const struct command *c, const json_t *params, struct buf *out) NODISCARD;
