/* SPDX-License-Identifier: ISC */
/* The questions of --init on a terminal. */
#pragma once

#include <stdio.h>

#include "init/init_defaults.h"

/* Asks what is not answered yet, question after question: an empty line takes the answer in
 * brackets, a wrong one is told and asked for again. in, out: the terminal; in = NULL asks nothing
 * and takes the answers that are in no need of a person. 0; -ERR_EOF when the input ends before all
 * is known, -ERR_MISSING_PARAM with *ret_missing when nobody is asked, -ERR_NOMEM. */
int init_ask(struct init_answers *a, const struct init_machine *m, FILE *in, FILE *out,
             enum init_id *ret_missing) NODISCARD;
