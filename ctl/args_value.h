/* SPDX-License-Identifier: ISC */
/* One value of the command line: checked against the type of its argument, made JSON. */
#pragma once

#include "ctl/args.h"

/* Checks text and makes the JSON value that is sent. *ret is owned by the caller. 0 or an exit
 * code with *problem set. Not for SECRET, FILE and FILTER. */
int args_value(const struct command *c, const struct command_arg *arg, const char *text,
               json_t **ret, struct problem *problem);
/* Joins words of a filter into one text: words without an operator name objects by the first
 * column of the noun's rows, values with blanks are quoted. Owned; NULL when out of memory. */
char *args_value_filter(const struct command *c, const json_t *words);
