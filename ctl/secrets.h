/* SPDX-License-Identifier: ISC */
/* Secrets: from a prompt without echo, stdin or a file; never from the command line. */
#pragma once

#include "ctl/args.h"

/* Puts the secrets of a command into its parameters. 0 or an exit code with *problem set. */
int secrets_fill(struct args *a, struct problem *problem);
