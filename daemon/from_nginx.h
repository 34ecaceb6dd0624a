/* SPDX-License-Identifier: ISC */
/* mailproxyd --from-nginx: reads nginx's file, writes ours and a report. */
#pragma once

#include <stdbool.h>

/* Translates nginx's file `path`. output: the file to write, with mode 0600, NULL = standard
 * output; one that is there is written over only when is_forced, in one step. Returns the status of
 * the program: 0; 1 when something has no equal; EX_CONFIG, EX_CANTCREAT, EX_OSERR. */
int from_nginx(const char *path, const char *output, bool is_forced);
/* Prints the table of directives for the manual: directive, keys, verdict, words, with tabs.
 * Returns the status of the program. */
int from_nginx_print_table(void);
