/* SPDX-License-Identifier: ISC */
/* Rows and objects for people and for programs: table, tsv, json, jsonl, id behind one interface.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "ctl/problem.h"
#include "rpc/commands.h"

#define OUTPUT_COLUMNS_MAX 64
#define OUTPUT_TOTAL "total" /* in place of a node */

enum output_format { OUTPUT_TABLE, OUTPUT_TSV, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_ID };

struct output_column {
    char *name;              /* member of the rows */
    char *title;             /* upper case */
    enum commands_type unit; /* how its values are shown */
    bool is_wide;
    bool is_some;  /* not shown as long as no row has it */
    bool is_empty; /* no row that was measured has it */
    bool is_short; /* times without what goes without saying */
    int width;     /* table: columns of the terminal; 0 = dropped */
};

struct output_ops;

/* One listing or object on its way out. The caller sets the upper part; output_init the rest. */
struct output {
    FILE *f;
    enum output_format format;
    bool no_header;
    bool is_utf8;         /* cut texts end in one character more than ASCII has */
    bool is_terminal;     /* nothing but ASCII in JSON */
    int width;            /* of the table; 0 = no limit */
    bool has_short_times; /* the date only of another day, the year only of another one */

    const struct output_ops *ops;
    const struct command *command; /* NULL: columns are taken from the first row */
    struct output_column columns[OUTPUT_COLUMNS_MAX];
    size_t n_columns;
    bool has_choice; /* --columns: neither dropped nor added to */
    bool is_stream;  /* rows come one by one: widths are guessed */
    bool is_block;   /* table: too wide for the terminal, a row is shown as a block of lines */
    bool is_joined;  /* table: rows are measured together, whichever answer brought them */
    bool has_total;  /* of several daemons: a last row adds up what can be added */
    bool is_begun, is_ended;
    size_t n_rows;
    int write_error; /* errno of the first write to f that failed, 0 = none */
    json_t *total;   /* that row; NULL = nothing was added */
    json_t *held;    /* rows that wait for those of the other daemons; NULL = none */
};

/* What a format does. All parts may be called with no row at all. */
struct output_ops {
    /* First rows are known (for their widths); rows may be empty. */
    void (*begin)(struct output *o, const json_t *rows);
    void (*row)(struct output *o, const json_t *row);
    void (*end)(struct output *o);
    /* One object alone. */
    void (*object)(struct output *o, const json_t *object);
};

extern const struct output_ops output_table_ops, output_tsv_ops, output_json_ops, output_jsonl_ops,
    output_id_ops;

/* Chooses the format's functions and the columns of a command. columns: "a,b", "all", "+a,+b" or
 * NULL for those shown by default; with_node puts a node column first. 0 or an exit code. */
int output_init(struct output *o, const struct command *c, const char *columns, bool with_node,
                struct problem *problem);
void output_fini(struct output *o);
/* The widths that rows ask for, and how they give way to o->width: cut texts, dropped columns
 * (width 0), numbers never cut. Other ways to show a table use the same. */
void output_table_measure(struct output *o, const json_t *rows);
void output_table_fit(struct output *o);
/* A chunk of rows: the first one decides the widths of a table, with is_joined the first thousand
 * rows or output_end. */
void output_rows(struct output *o, const json_t *rows);
/* Prints the rows that wait to be measured with others. */
void output_release(struct output *o);
/* Sends on what was printed; that it could not be written is in write_error. */
void output_flush(struct output *o);
/* Ends a listing (writes the header when there was no row). */
void output_end(struct output *o);
/* One object: a table of "TITLE value" lines, or one object of JSON. */
void output_object(struct output *o, const json_t *object);
/* Text of a member for people, or raw. out is appended to; nothing for absent members. */
void output_human(struct buf *out, const struct output_column *col, const json_t *value);
void output_raw(struct buf *out, const json_t *value);
/* Orders two members, absent ones first: <0, 0, >0. */
int output_compare(const json_t *a, const json_t *b);
/* Numbers stand at the right. */
bool output_is_number(enum commands_type unit);
