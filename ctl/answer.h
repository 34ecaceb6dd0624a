/* SPDX-License-Identifier: ISC */
/* One command on its way, and what is printed of its answers. */
#pragma once

#include "ctl/nodes.h"
#include "ctl/output.h"

/* One command on its way. */
struct run_job {
    struct run *run;
    struct args *args;
    struct output output;
    bool is_multi;     /* several daemons */
    json_t *collected; /* rows that wait to be sorted here; NULL when they need not */
    size_t n_rows;     /* printed or collected */
    size_t n_of_node[ARGS_SOCKETS_MAX]; /* printed; as run.nodes */
    bool has_error_rows;                /* config check found errors */
    bool is_over;                       /* --limit is reached, or nothing more can be written */
    struct problem problem;
};

/* The format that was asked for; else a table on a terminal and TSV elsewhere. */
enum output_format run_format(const struct run *r, const struct args_options *o);
/* Takes a node's row in: its name is added, then it is printed or collected. */
void run_rows(struct run_job *job, const struct run_node *node, const json_t *rows);
/* Prints rows that have the names of their nodes. */
void run_print_rows(struct run_job *job, const json_t *rows);
/* After a table of several daemons: how many rows, and of which each. */
void run_say_rows(const struct run_job *job);
/* A message, count or "already so" of an answer, for people. */
void run_say(struct run_job *job, const struct run_node *node, const json_t *result);
/* That, in a format that leaves it as it is. */
bool run_is_raw_text(const struct run_job *job);
/* Prints the text of such an answer. */
void run_print_text(struct run_job *job, const json_t *object);
