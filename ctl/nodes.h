/* SPDX-License-Identifier: ISC */
/* Where commands are run: what outlives each of them, the terminal and the daemons with their
 * connections. */
#pragma once

#include <stdio.h>

#include "ctl/args.h"
#include "ctl/control_client.h"

struct fleet_link;

/* A daemon, connected when first needed, or a node of the fleet behind one. */
struct run_node {
    char *path;
    struct control_client *client;
    struct fleet_link *fleet; /* asked by way of this; NULL = it is a daemon */
    char *name;               /* of a node of a fleet */
    char *unreached; /* engines that had no part in the present command; owned, NULL = all had */
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
    int write_error;     /* errno of the first write to out that failed, 0 = none */
    struct run_node nodes[ARGS_SOCKETS_MAX];
    size_t n_nodes;
    struct fleet_link
        *fleet; /* of the nodes of a fleet, which are the last; NULL = there are none */
};

/* Writes to out and err; is_terminal and width describe out. */
void run_init(struct run *r, FILE *out, FILE *err);
void run_fini(struct run *r);
/* Takes the width of the terminal behind f (or of COLUMNS) anew. */
void run_measure(struct run *r, FILE *f);
/* The i-th daemon of a command, connected. NULL with *problem set. */
struct run_node *run_node(struct run *r, const struct args *a, size_t i, struct problem *problem);
/* Its name for people: the greeting's, else the path. Borrowed. */
const char *run_node_name(const struct run_node *node);
/* The same of the daemon of a path, which is its name where it was not asked. Borrowed. */
const char *run_path_name(const struct run *r, const char *path);
/* May it be asked without connecting first? */
bool run_node_is_open(const struct run_node *node);
/* The problem is that a daemon, or a node of the fleet, was not there to be asked. */
bool run_has_not_reached(const struct run *r, const struct problem *problem);
/* Closes the connection and frees what the node has. */
void run_node_fini(struct run_node *node);
/* A call by its method, as client_call. */
int run_node_call(struct run_node *node, const char *method, json_t *params, uint64_t timeout_ms,
                  json_t **ret_result, struct control_client_error *ret_error) NODISCARD;
/* Forgets, or notes, what an answer says about engines that had no part in it. */
void run_clear_unreached(struct run_node *node);
/* One call to a daemon. Takes over params. 0 with *ret_result (owned), or an exit code. */
int run_call(struct run_node *node, const struct args *a, json_t *params, json_t **ret_result,
             struct problem *problem);
/* The same of another method in the place of the command's. */
int run_call_method(struct run_node *node, const struct args *a, const char *method, json_t *params,
                    json_t **ret_result, struct problem *problem);
