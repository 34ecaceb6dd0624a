/* SPDX-License-Identifier: ISC */
/* What the output formats share: choosing columns, and values as text. */
#include "ctl/output.h"

#include <ctype.h>
#include <inttypes.h>
#include <time.h>

#include "base/buf.h"
#include "base/units.h"
#include "ctl/output_text.h"

bool output_is_number(enum commands_type unit)
{
    return unit == COMMANDS_NUMBER || unit == COMMANDS_SIZE || unit == COMMANDS_DURATION ||
           unit == COMMANDS_PERCENT;
}

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
    return output_add(o, col->name, col->title, col->unit, col->is_wide);
}

static int output_add_default(struct output *o, bool with_wide)
{
    size_t n;
    const struct command_column *col = commands_columns(o->command, &n);
    for (size_t i = 0; i < n; i++)
        if ((with_wide || !col[i].is_wide) && output_add_column(o, &col[i]))
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

static void output_begin(struct output *o, const json_t *rows)
{
    if (o->is_begun)
        return;
    o->is_begun = true;
    if (!output_has_own_columns(o) && json_array_size(rows))
        output_derive(o, json_array_get(rows, 0));
    o->ops->begin(o, rows);
}

void output_rows(struct output *o, const json_t *rows)
{
    size_t i;
    json_t *row;
    output_begin(o, rows);
    json_array_foreach ((json_t *)rows, i, row) {
        o->ops->row(o, row);
        o->n_rows++;
    }
    fflush(o->f);
}

void output_end(struct output *o)
{
    if (o->is_ended)
        return;
    output_begin(o, NULL);
    o->is_ended = true;
    o->ops->end(o);
    fflush(o->f);
}

void output_object(struct output *o, const json_t *object)
{
    if (!output_has_own_columns(o))
        output_derive(o, object);
    o->ops->object(o, object);
    fflush(o->f);
}

json_t *output_pick(const struct output *o, const json_t *object)
{
    if (!o->has_choice)
        return json_incref((json_t *)object);
    json_t *picked = json_object();
    for (size_t i = 0; picked && i < o->n_columns; i++) {
        json_t *v = json_object_get(object, o->columns[i].name);
        if (v)
            json_object_set(picked, o->columns[i].name, v);
    }
    return picked;
}

/* ---- values ---- */

int output_compare(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    /* Absent values come first, and booleans false before true. */
    return (int)(a ? json_typeof(a) + 1 : 0) == (int)(b ? json_typeof(b) + 1 : 0) ? 0
           : (a ? json_is_true(a) + 1 : 0) < (b ? json_is_true(b) + 1 : 0)        ? -1
                                                                                  : 1;
}

/* As much of a time as must be said; 0 when it cannot be. */
static size_t output_time_text(char dst[32], const struct tm *tm, bool is_short)
{
    struct tm now;
    time_t t = time(NULL);
    if (!is_short || !localtime_r(&t, &now) || now.tm_year != tm->tm_year)
        return strftime(dst, 32, "%Y-%m-%d %H:%M:%S", tm);
    return now.tm_yday == tm->tm_yday ? strftime(dst, 32, "%H:%M:%S", tm)
                                      : strftime(dst, 32, "%m-%d %H:%M", tm);
}

static int output_time(struct buf *out, json_int_t ms, bool is_short)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (ms <= 0)
        return buf_append_c(out, "-");
    if (!localtime_r(&t, &tm) || !output_time_text(text, &tm, is_short))
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, ms);
    return buf_append_c(out, text);
}

/* The time of day with milliseconds. */
static int output_clock(struct buf *out, json_int_t ms)
{
    char text[16];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (!localtime_r(&t, &tm) || !strftime(text, sizeof(text), "%H:%M:%S", &tm))
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, ms);
    return buf_printf(out, "%s.%03d", text, (int)(ms % 1000));
}

static int output_list(struct buf *out, const json_t *list, const char *separator)
{
    size_t i;
    json_t *item;
    int err = 0;
    json_array_foreach ((json_t *)list, i, item) {
        if (i && !err)
            err = buf_append_c(out, separator);
        output_raw(out, item);
    }
    return err;
}

/* imap=143,pop3=110 */
static int output_members(struct buf *out, const json_t *object)
{
    const char *key;
    json_t *value;
    int err = 0;
    bool is_first = true;
    json_object_foreach ((json_t *)object, key, value) {
        if (!err)
            err = buf_printf(out, "%s%s=", is_first ? "" : ",", key);
        output_raw(out, value);
        is_first = false;
    }
    return err;
}

void output_raw(struct buf *out, const json_t *value)
{
    int err = 0;
    if (json_is_string(value))
        err = output_text_clean(out, str_n(json_string_value(value), json_string_length(value)));
    else if (json_is_integer(value))
        err = buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        err = buf_printf(out, "%.*g", 10, json_real_value(value));
    else if (json_is_boolean(value))
        err = buf_append_c(out, json_is_true(value) ? "true" : "false");
    else if (json_is_array(value))
        err = output_list(out, value, ",");
    else if (json_is_object(value))
        err = output_members(out, value);
    (void)err; /* out of memory: the value is cut */
}

static int output_human_number(struct buf *out, const struct output_column *col, json_int_t v)
{
    char text[32];
    if (col->unit == COMMANDS_TIME)
        return output_time(out, v, col->is_short);
    if (col->unit == COMMANDS_CLOCK)
        return output_clock(out, v);
    if (col->unit == COMMANDS_PERCENT)
        return buf_printf(out, "%" JSON_INTEGER_FORMAT "%%", v);
    if (v < 0 || (col->unit != COMMANDS_SIZE && col->unit != COMMANDS_DURATION))
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, v);
    if (col->unit == COMMANDS_SIZE)
        units_human_size(text, (uint64_t)v);
    else
        units_human_duration(text, (uint64_t)v);
    return buf_append_c(out, text);
}

void output_human(struct buf *out, const struct output_column *col, const json_t *value)
{
    int err = 0;
    if (json_is_integer(value))
        err = output_human_number(out, col, json_integer_value(value));
    else if (json_is_boolean(value))
        err = buf_append_c(out, json_is_true(value) ? "yes" : "no");
    else
        output_raw(out, value);
    if (out->len == 0)
        err = buf_append_char(out, '-');
    (void)err;
}
