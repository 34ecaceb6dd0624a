/* SPDX-License-Identifier: ISC */
/* Help texts and the tables of the manual, all made from the command table. */
#pragma once

#include <stdio.h>

#include "rpc/commands.h"

/* Behind the text of a secret: where it comes from. */
#define HELP_SECRET "; asked for, or from stdin or a file"

/* Help for a command, else for a noun, else for the program (NULL = not given). */
void help_print(FILE *f, const char *noun, const struct command *c);
/* The filter language. */
void help_filter(FILE *f);
/* The part of mailproxyctl(8) that the tables know, as man(7) text. */
void help_manual(FILE *f);
/* The methods of mailproxy-control(7), as man(7) text. */
void help_manual_control(FILE *f);
/* The i-th example of a command, without "mailproxyctl "; owned, NULL behind the last. */
char *help_example(const struct command *c, size_t i);
/* "session kill [FILTER...] [OPTIONS]"; owned. */
char *help_usage(const struct command *c);
