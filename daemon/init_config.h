/* SPDX-License-Identifier: ISC */
/* mailproxyd --init: a first configuration from options and questions. */
#pragma once

/* argv: the options beside --init, argv[0] the program; path: the file to write when -o names none.
 * Returns the status of the program: 0; EX_USAGE; EX_CANTCREAT when the file is there already or
 * cannot be written; EX_CONFIG when it is written but not valid on this machine yet; EX_OSERR. */
int init_config(int argc, char **argv, const char *path);
