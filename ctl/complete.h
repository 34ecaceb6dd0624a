/* SPDX-License-Identifier: ISC */
/* Completion of a command line, with live names of the daemon. */
#pragma once

#include "ctl/nodes.h"

/* Prints what the last of n words (perhaps empty) may become, one "WORD\tdescription" a line.
 * Errors are silent; the daemon gets little time. */
void complete_print(struct run *r, FILE *f, size_t n, const char *const *words);
/* Prints the script of a shell: "bash", "zsh" or "fish". false for another one. */
bool complete_script(FILE *f, const char *shell);
