/* SPDX-License-Identifier: ISC */
/* The table of commands as the daemon uses it: finding a command, checking parameters, columns. */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "proto/filter.h"

struct request;

/* What runs when a command is asked for: answers r now or later, exactly once. */
typedef void (*command_fn)(struct request *r);

/* What a peer may do; each includes those before it. */
enum role { ROLE_NONE = -1, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

enum command_flag {
    COMMAND_LIST = 1 << 0,
    COMMAND_ONE = 1 << 1,
    COMMAND_STREAM = 1 << 2,
    COMMAND_DESTRUCTIVE = 1 << 3,
    COMMAND_CHANGES = 1 << 4,
    COMMAND_ASYNC = 1 << 5,
    COMMAND_OLD = 1 << 6,
};

enum command_arg_flag {
    COMMAND_NEEDED = 1 << 0,
    COMMAND_POSITIONAL = 1 << 1,
    COMMAND_MANY = 1 << 2,
};

/* Types of arguments and units of columns, as commands.def says. */
enum command_type {
    COMMAND_TYPE_TEXT,
    COMMAND_TYPE_NUMBER,
    COMMAND_TYPE_DURATION,
    COMMAND_TYPE_SIZE,
    COMMAND_TYPE_BOOL,
    COMMAND_TYPE_SECRET,
    COMMAND_TYPE_USER,
    COMMAND_TYPE_SESSION,
    COMMAND_TYPE_BACKEND,
    COMMAND_TYPE_POOL,
    COMMAND_TYPE_LISTENER,
    COMMAND_TYPE_FILTER,
    COMMAND_TYPE_FIELD,
    COMMAND_TYPE_FILE,
    COMMAND_TYPE_ADDRESS,
    COMMAND_TYPE_IP,
    COMMAND_TYPE_TIME,
    COMMAND_TYPE_PERCENT,
    COMMAND_TYPE_CLOCK,
    COMMAND_TYPE_COUNT
};

struct command {
    const char *method; /* "session.list" */
    const char *noun, *verb;
    enum role role;
    unsigned flags; /* enum command_flag */
    const char *summary;
};

struct command_arg {
    int command;
    const char *name;
    enum command_type type;
    unsigned flags; /* enum command_arg_flag */
};

struct command_column {
    int command;
    const char *name;
    enum command_type unit;
};

/* Why something was refused, before it becomes an answer. Texts owned; command_failure_fini. */
struct command_failure {
    int err; /* -ERR_x */
    char *text, *hint;
};
void command_failure_fini(struct command_failure *f);

/* "viewer", "operator", "admin"; static. */
const char *role_name(enum role role);

/* All commands, in the order of the table. */
const struct command *command_all(size_t *ret_n);
/* Position of a command in the table. */
size_t command_index(const struct command *c);
/* NULL when there is none of that name. */
const struct command *command_find(const char *method);
/* Nearest method, or NULL. */
const char *command_nearest(const char *method);
const struct command_arg *command_args(const struct command *c, size_t *ret_n);
const struct command_column *command_columns(const struct command *c, size_t *ret_n);
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
