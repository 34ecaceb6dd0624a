/* SPDX-License-Identifier: ISC */
/* The command line: any mailproxyctl command, run beside the dashboard. */
#pragma once

#include "ctl/args.h"
#include "tui/child.h"

struct app;
struct node;

enum shell_phase {
    SHELL_IDLE,
    SHELL_SECRETS, /* a dialog asks for them */
    SHELL_COUNT,   /* finding out what would be hit */
    SHELL_ASK,     /* a dialog asks whether to go on */
    SHELL_RUN,
};

struct shell {
    enum shell_phase phase;
    char *line, *copy;  /* as typed; cut into words */
    const char **words; /* owned array */
    struct args args;   /* borrows words */
    bool has_args;
    bool is_utf8;
    int width;
    struct child child;
    size_t n_lines;          /* of output so far */
    struct child completer;  /* of the prompt's word */
    const char **candidates; /* words that it completes; owned array */
    size_t n_candidates;
    char *typed;
};

/* A text as one word of a line, whatever it holds; owned. */
char *shell_quote(const char *text);
/* Runs a line; problems are said. */
void shell_run(struct app *a, const struct node *n, const char *line);
/* A dialog of the shell was answered with yes. */
void shell_confirmed(struct app *a);
/* Takes output. */
void shell_tick(struct app *a);
/* Stops what runs; its page was closed. */
void shell_stop(struct shell *s);
/* Asks for candidates for the prompt's word. */
void shell_complete(struct app *a);
void shell_fini(struct shell *s);
