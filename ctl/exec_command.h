/* SPDX-License-Identifier: ISC */
/* The command of --exec: split into words once, run without a shell for each user, with the values
 * of placeholders inside of the words they stand in. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/buf.h"
#include "ctl/problem.h"

#define EXEC_OUTPUT_MAX 2000 /* bytes of the output that are kept: the last ones */

struct exec_command {
    char *text;
    const char **words; /* in text */
    size_t n;
};

/* Splits it as sh does with quotes, and refuses placeholders that there are not. 0 or an exit code
 * with *problem set. */
int exec_command_parse(const char *text, struct exec_command *ret, struct problem *problem);
void exec_command_fini(struct exec_command *c);
/* The words with the values of an object ("user", "from", ...); owned, exec_words_free. NULL with
 * *ret_why (owned): a value would be taken for an option, or there is no memory. */
char **exec_command_words(const struct exec_command *c, const json_t *values, char **ret_why);
void exec_words_free(char **words);

/* A command that runs, in a process group of its own. */
struct exec_child {
    pid_t pid; /* 0 = it has ended */
    int fd;    /* of its output; -1 = closed */
    struct buf output;
    int status; /* exit status, or 256 and the signal; once it has ended */
};

/* Starts it; it dies with this process. -ERR_x. */
int exec_child_start(struct exec_child *c, char *const *words) NODISCARD;
/* Reads what there is of its output, without waiting. */
void exec_child_read(struct exec_child *c);
/* True once it has ended; does not wait. */
bool exec_child_has_ended(struct exec_child *c);
/* SIGTERM or SIGKILL for it and what it started. */
void exec_child_signal(const struct exec_child *c, int sig);
void exec_child_fini(struct exec_child *c);
