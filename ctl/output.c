/* SPDX-License-Identifier: ISC */
/* The table of output formats, the choice of columns, and rows and objects on their way through
 * both. */
#include "ctl/output.h"

#include <ctype.h>
#include <errno.h>

#include "base/buf.h"

/* ---- columns ---- */

static int output_add(struct output *o, const char *name, const char *title,
                      enum commands_type unit, bool is_wide)
{
    if (o->n_columns == OUTPUT_COLUMNS_MAX)
        return 0;
    struct output_column *col = &o->columns[o->n_columns];
    *col = (struct output_column){.name = str_dup_c(name),
                                  .title = str_dup_c(title),
                                  .unit = unit,
                                  .is_wide = is_wide,
                                  .is_short = o->has_short_times};
    if (!col->name || !col->title) {
        free(col->name);
        free(col->title);
        return PROBLEM_FAILED;
    }
    o->n_columns++;
    return 0;
}

static int output_add_column(struct output *o, const struct command_column *col)
{
    for (size_t i = 0; i < o->n_columns; i++)
        if (strcmp(o->columns[i].name, col->name) == 0)
            return 0;
    int code = output_add(o, col->name, col->title, col->unit, col->is_wide);
    if (!code)
        o->columns[o->n_columns - 1].is_some = col->is_some;
    return code;
}

static int output_add_default(struct output *o, bool with_wide)
{
    size_t n;
    const struct command_column *col = commands_columns(o->command, &n);
    /* Programs that read lines want the same columns each time, and a stream does not know its rows
     * before. */
    bool can_hide = o->format == OUTPUT_TABLE && !(o->command->flags & COMMANDS_STREAM);
    for (size_t i = 0; i < n; i++) {
        bool is_default = !col[i].is_wide && (!col[i].is_some || can_hide);
        if ((with_wide || is_default) && output_add_column(o, &col[i]))
            return PROBLEM_FAILED;
    }
    /* Rows of several kinds, of which no column is in all: then those of each. */
    bool has_none =
        o->n_columns == 0 || (o->n_columns == 1 && strcmp(o->columns[0].name, "node") == 0);
    for (size_t i = 0; i < n && has_none; i++)
        if (!col[i].is_wide && output_add_column(o, &col[i]))
            return PROBLEM_FAILED;
    return 0;
}

static int output_add_named(struct output *o, struct str word, struct problem *problem)
{
    AUTO_FREE char *name = str_dup(word);
    if (!name)
        return PROBLEM_FAILED;
    if (strcmp(name, "node") == 0)
        return o->n_columns && strcmp(o->columns[0].name, "node") == 0
                   ? 0
                   : output_add(o, "node", "NODE", COMMANDS_TEXT, false);
    const struct command_column *col = commands_column(o->command, name);
    if (col)
        return output_add_column(o, col);
    AUTO_FREE char *hint = NULL;
    const char *near = commands_nearest_column(o->command, name);
    hint = near ? str_printf("%s?", near)
                : str_printf("mailproxyctl %s %s --help lists them", o->command->noun,
                             o->command->verb);
    return problem_usage(problem, hint, "%s %s has no column %s", o->command->noun,
                         o->command->verb, name);
}

static int output_choose(struct output *o, const char *columns, struct problem *problem)
{
    struct str rest = str_of(columns);
    o->has_choice = columns[0] != '+';
    if (!o->has_choice && output_add_default(o, false))
        return PROBLEM_FAILED;
    while (rest.n) {
        struct str word = str_trim(str_cut(&rest, ','));
        if (word.n && word.p[0] == '+')
            word = (struct str){word.p + 1, word.n - 1};
        int code = word.n == 0                ? 0
                   : str_eq(word, STR("all")) ? output_add_default(o, true)
                                              : output_add_named(o, word, problem);
        if (code)
            return code;
    }
    return 0;
}

static const struct output_ops *const formats[] = {
    [OUTPUT_TABLE] = &output_table_ops, [OUTPUT_TSV] = &output_tsv_ops,
    [OUTPUT_JSON] = &output_json_ops,   [OUTPUT_JSONL] = &output_jsonl_ops,
    [OUTPUT_ID] = &output_id_ops,
};

int output_init(struct output *o, const struct command *c, const char *columns, bool with_node,
                struct problem *problem)
{
    int code = 0;
    o->ops = formats[o->format];
    o->command = c;
    if (with_node && o->format != OUTPUT_ID)
        code = output_add(o, "node", "NODE", COMMANDS_TEXT, false);
    if (!code && columns)
        code = output_choose(o, columns, problem);
    else if (!code)
        code = output_add_default(o, c->flags & COMMANDS_ONE);
    if (code && problem->exit == PROBLEM_NONE)
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    return code;
}

void output_fini(struct output *o)
{
    for (size_t i = 0; i < o->n_columns; i++) {
        free(o->columns[i].name);
        free(o->columns[i].title);
    }
    o->n_columns = 0;
    json_decref(o->total);
    json_decref(o->held);
    o->total = o->held = NULL;
}

/* Columns after the members of a row, for commands whose table names none. */
static void output_derive(struct output *o, const json_t *row)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)row, key, value) {
        AUTO_FREE char *title = str_dup_c(key);
        for (char *t = title; t && *t; t++)
            *t = *t == '_' ? '-' : (char)toupper((unsigned char)*t);
        bool is_known = false;
        for (size_t i = 0; i < o->n_columns; i++)
            is_known = is_known || strcmp(o->columns[i].name, key) == 0;
        if (title && !is_known)
            (void)output_add(o, key, title,
                             json_is_integer(value) ? COMMANDS_NUMBER : COMMANDS_TEXT, false);
    }
}

static bool output_has_own_columns(const struct output *o)
{
    size_t n = 0;
    if (o->command)
        (void)commands_columns(o->command, &n);
    return n > 0;
}

/* ---- rows ---- */

#define OUTPUT_HELD_MAX 1000

static void output_begin(struct output *o, const json_t *rows)
{
    if (o->is_begun)
        return;
    o->is_begun = true;
    if (!output_has_own_columns(o) && json_array_size(rows))
        output_derive(o, json_array_get(rows, 0));
    o->ops->begin(o, rows);
}

/* Columns whose values of several daemons make a whole. */
static const char *const summed[] = {
    "sessions", "relaying", "waiting",  "logins",  "failures", "in",     "out",
    "count",    "users",    "accepted", "in_rate", "out_rate", "minute", "new",
};

static void output_sum(struct output *o, const json_t *row)
{
    for (size_t i = 0; i < ARRAY_LEN(summed); i++) {
        const json_t *v = json_object_get(row, summed[i]);
        json_int_t before = json_integer_value(json_object_get(o->total, summed[i]));
        if (!json_is_integer(v))
            continue;
        if (!o->total && !(o->total = json_object()))
            return;
        (void)json_object_set_new(o->total, summed[i],
                                  json_integer(before + json_integer_value(v)));
    }
}

void output_flush(struct output *o)
{
    if ((fflush(o->f) || ferror(o->f)) && !o->write_error)
        o->write_error = errno ? errno : EIO;
}

static void output_print(struct output *o, const json_t *rows)
{
    size_t i;
    json_t *row;
    output_begin(o, rows);
    json_array_foreach ((json_t *)rows, i, row) {
        o->ops->row(o, row);
        o->n_rows++;
        if (o->has_total)
            output_sum(o, row);
    }
    output_flush(o);
}

/* True: the rows wait. A table without an end would wait for too many. */
static bool output_hold(struct output *o, const json_t *rows)
{
    if (!o->is_joined || o->is_begun || (!o->held && !(o->held = json_array())))
        return false;
    return json_array_extend(o->held, (json_t *)rows) == 0 &&
           json_array_size(o->held) < OUTPUT_HELD_MAX;
}

static void output_print_held(struct output *o)
{
    json_t *held = STEAL(o->held);
    output_print(o, held);
    json_decref(held);
}

void output_release(struct output *o)
{
    if (o->held)
        output_print_held(o);
}

void output_rows(struct output *o, const json_t *rows)
{
    if (output_hold(o, rows))
        return;
    if (o->held)
        output_print_held(o);
    else
        output_print(o, rows);
}

void output_end(struct output *o)
{
    if (o->is_ended)
        return;
    if (o->held)
        output_print_held(o);
    output_begin(o, NULL);
    o->is_ended = true;
    if (o->total) {
        bool is_shown = false;
        for (size_t i = 0; i < o->n_columns; i++)
            is_shown = is_shown || json_object_get(o->total, o->columns[i].name);
        if (is_shown) {
            (void)json_object_set_new(o->total, "node", json_string(OUTPUT_TOTAL));
            o->ops->row(o, o->total);
        }
    }
    o->ops->end(o);
    output_flush(o);
}

void output_object(struct output *o, const json_t *object)
{
    if (!output_has_own_columns(o))
        output_derive(o, object);
    o->ops->object(o, object);
    output_flush(o);
}
