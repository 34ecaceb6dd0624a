/* SPDX-License-Identifier: ISC */
/* The command line of mailproxyctl: words and options into a command with JSON parameters, checked
 * against the command table before anything is sent. */
#pragma once

#include <jansson.h>

#include "ctl/problem.h"
#include "rpc/commands.h"

#define ARGS_SOCKETS_MAX 64
#define ARGS_SECRETS_MAX 8

enum args_format { ARGS_AUTO, ARGS_TABLE, ARGS_TSV, ARGS_JSON, ARGS_JSONL, ARGS_ID };

/* Options that belong to no command. Strings are borrowed from the command line. */
struct args_options {
    const char *sockets[ARGS_SOCKETS_MAX];
    size_t n_sockets;
    enum args_format format;
    const char *columns; /* "a,b", "all", "+x", or NULL */
    const char *sort;    /* "-out", or NULL */
    uint64_t limit;      /* rows, 0 = all */
    bool no_header, yes, quiet, help, schema, version, keep_going, is_watch, allow_empty, wait;
    uint64_t wait_ms; /* the longest, 0 = any */
    uint64_t watch_ms;
    uint64_t timeout_ms; /* for each answer */
    bool is_fleet;       /* all nodes of the fleet */
    const char *node;    /* one of them; NULL */
    const char *file;    /* batch */
    const char *save;    /* of a stream; NULL = stdout */
};

/* Where a secret comes from. */
enum args_secret_source { ARGS_SECRET_PROMPT, ARGS_SECRET_STDIN, ARGS_SECRET_FILE };

struct args_secret {
    const struct command_arg *arg;
    enum args_secret_source source;
    const char *path; /* ARGS_SECRET_FILE */
};

struct args {
    struct args_options options;
    const char *noun;              /* when a noun was given, for help */
    const struct command *command; /* NULL: none was given */
    json_t *params;                /* without secrets and files; owned */
    struct args_secret secrets[ARGS_SECRETS_MAX];
    size_t n_secrets;
    const struct command_arg *file_arg; /* its file is sent in place of its name */
    const char *file_path;
};

/* An option that belongs to no command. */
struct args_global {
    char letter;       /* 0 = none */
    const char *name;  /* "no-header" */
    const char *value; /* word for its value, NULL = none, "[...]" = may be left out */
    const char *help;
};

/* The options that every command has: a static table of *ret_n. */
const struct args_global *args_globals(size_t *ret_n);

/* Defaults: one socket (of the environment), automatic format, 30 s. */
void args_options_init(struct args_options *o);
/* Parses words (without the program's name) on top of `defaults`. Words are borrowed as long as
 * *ret lives. 0 or an exit code with *problem set; args_fini frees *ret in both cases. A command
 * line that ends before the verb is no error when help or version is asked for. */
int args_parse(struct args *ret, const struct args_options *defaults, size_t n,
               const char *const *words, struct problem *problem);
void args_fini(struct args *a);
/* Names of the output formats: "table", ...; NULL behind the last. i from 0. */
const char *args_format_name(size_t i);
