/* SPDX-License-Identifier: ISC */
/* Runs one parsed command against one or several daemons and prints what they answer. */
#pragma once

#include <stdio.h>

#include "ctl/args.h"
#include "ctl/client.h"
#include "ctl/output.h"

/* A daemon, connected when first needed. */
struct run_node {
    char *path;
    struct client *client;
};

/* What outlives a command: where to write, and the open connections. */
struct run {
    FILE *out, *err;
    bool is_terminal; /* out is one */
    bool is_utf8;
    bool can_prompt;
    bool can_draw;       /* err is a terminal */
    bool is_stdin_taken; /* commands are read from it */
    int width;           /* of the terminal, 0 = unknown */
    struct run_node nodes[ARGS_SOCKETS_MAX];
    size_t n_nodes;
};

/* One command on its way. */
struct run_job {
    struct run *run;
    struct args *args;
    struct output output;
    bool is_multi;       /* several daemons */
    json_t *collected;   /* rows that wait to be sorted here; NULL when they need not */
    size_t n_rows;       /* printed or collected */
    bool has_error_rows; /* config check found errors */
    bool is_over;        /* --limit is reached */
    struct problem problem;
};

/* Writes to out and err; is_terminal and width describe out. */
void run_init(struct run *r, FILE *out, FILE *err);
void run_fini(struct run *r);
/* Takes the width of the terminal behind f (or of COLUMNS) anew. */
void run_measure(struct run *r, FILE *f);
/* Runs a command and prints its outcome or failure; returns the exit code. */
int run_command(struct run *r, struct args *a);

/* ---- for the parts of a run ---- */

/* The format that was asked for; else a table on a terminal and TSV elsewhere. */
enum output_format run_format(const struct run *r, const struct args_options *o);
/* The i-th daemon of a command, connected. NULL with *problem set. */
struct run_node *run_node(struct run *r, const struct args *a, size_t i, struct problem *problem);
/* Its name for people: the greeting's, else the path. Borrowed. */
const char *run_node_name(const struct run_node *node);
/* One call to a daemon. Takes over params. 0 with *ret_result (owned), or an exit code. */
int run_call(struct run_node *node, const struct args *a, json_t *params, json_t **ret_result,
             struct problem *problem);
/* Takes a node's row in: its name is added, then it is printed or collected. */
void run_rows(struct run_job *job, const struct run_node *node, const json_t *rows);
/* True when the command's answer is one text that is printed as it is. */
bool run_is_text(const struct command *c);
/* The outcome of a command in words ("session kill: 3"), the daemon's own where it gave some;
 * owned, NULL when there is nothing to say. */
char *run_sentence(const struct command *c, const json_t *params, const json_t *result);
/* A message, count or "already so" of an answer, for people. */
void run_say(struct run_job *job, const struct run_node *node, const json_t *result);
