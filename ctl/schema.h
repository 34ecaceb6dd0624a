/* SPDX-License-Identifier: ISC */
/* What commands answer, as JSON Schema (draft 2020-12), made from the command table. */
#pragma once

#include <stdio.h>

#include "rpc/commands.h"

/* The JSON type of a column: "integer", "boolean" or "string"; static. */
const char *schema_type(enum commands_type unit);
/* Writes the schema of what a command prints with -o json; of a stream, of each line with -o jsonl.
 * Without a command (NULL): one document whose $defs hold that of each command by its method.
 * -ERR_NOMEM: nothing was written. Any thread. */
int schema_print(FILE *f, const struct command *c) NODISCARD;
