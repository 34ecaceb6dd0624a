/* SPDX-License-Identifier: ISC */
/* Tables for people: units, numbers at the right, fitted to the width of the terminal. */
#include <limits.h>

#include "base/buf.h"
#include "ctl/output.h"
#include "ctl/output_text.h"

#define OUTPUT_GAP 2
/* Texts are cut to this before a column is dropped for them, and no further. */
#define OUTPUT_TEXT_MIN 12
/* Names are what people look for: they keep a part of the width, up to so much. */
#define OUTPUT_NAME_PART 3
#define OUTPUT_NAME_MIN 24
/* More than columns and expendable ones together. */
#define OUTPUT_RANKS (2 * OUTPUT_COLUMNS_MAX)
/* One odd value must not push everything else out. */
#define OUTPUT_LATENCY_WIDTH 6 /* "1500ms" */
#define OUTPUT_TEXT_MAX 60

/* Columns that are missed least, in the order in which they go when the terminal is narrow. */
static const char *const expendable[] = {
    "ports",  "port",     "tls",    "password",     "phase",      "in",     "reason",  "out",
    "host",   "failures", "weight", "result",       "count",      "effect", "idle",    "proto",
    "logins", "balance",  "usable", "health_since", "last_login", "age",    "session",
};

static int output_table_value(const struct output *o, size_t i, const json_t *row, struct buf *text)
{
    AUTO_BUF plain = BUF_INIT;
    struct buf *to = o->is_terminal && !o->is_utf8 ? &plain : text;
    buf_clear(text);
    output_human(to, &o->columns[i], json_object_get(row, o->columns[i].name));
    if (to == &plain && output_text_ascii(text, buf_str(&plain)) < 0)
        buf_clear(text);
    return output_text_width(buf_str(text));
}

/* ---- widths ---- */

static int output_table_guess(const struct output_column *col)
{
    switch (col->unit) {
    case COMMANDS_TIME:
        return 19;
    case COMMANDS_CLOCK:
        return 12;
    case COMMANDS_IP:
        return 15;
    case COMMANDS_TEXT:
        if (col->title[0] == '\0') /* a mark, which needs none */
            return 2;
        return strcmp(col->name, "user") == 0 ? 24 : 10;
    default:
        return 6;
    }
}

void output_table_measure(struct output *o, const json_t *rows)
{
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < o->n_columns; i++) {
        struct output_column *col = &o->columns[i];
        col->width = o->no_header ? 1 : output_text_width(str_of(col->title));
        if (o->is_stream && output_table_guess(col) > col->width)
            col->width = output_table_guess(col);
        size_t r;
        json_t *row;
        col->is_empty = json_array_size(rows) > 0;
        json_array_foreach ((json_t *)rows, r, row) {
            int width = output_table_value(o, i, row, &text);
            col->is_empty = col->is_empty && str_eq(buf_str(&text), STR("-"));
            if (width > OUTPUT_TEXT_MAX && o->width && i + 1 < o->n_columns)
                width = OUTPUT_TEXT_MAX;
            col->width = width > col->width ? width : col->width;
        }
        if (o->has_total && i == 0 && col->width < output_text_width(STR(OUTPUT_TOTAL)))
            col->width = output_text_width(STR(OUTPUT_TOTAL));
        /* It changes too often for a place of its own each time. */
        if (col->unit == COMMANDS_LATENCY && col->width < OUTPUT_LATENCY_WIDTH)
            col->width = OUTPUT_LATENCY_WIDTH;
        if (col->is_some && !o->has_choice && (col->is_empty || json_array_size(rows) == 0))
            col->width = 0;
    }
}

static bool output_table_is_cuttable(const struct output_column *col)
{
    return col->unit == COMMANDS_TEXT && col->width > 0;
}

static int output_table_least(const struct output *o, const struct output_column *col)
{
    int title = o->no_header ? 1 : output_text_width(str_of(col->title));
    int part = o->width / OUTPUT_NAME_PART;
    bool has_node = strcmp(o->columns[0].name, "node") == 0; /* before the naming one */
    bool is_name = col == o->columns + has_node || strcmp(col->name, "user") == 0;
    int text = OUTPUT_TEXT_MIN; /* what a text is cut to for the sake of other columns */
    if (!o->is_stream && is_name && part > OUTPUT_TEXT_MIN)
        text = part < OUTPUT_NAME_MIN ? part : OUTPUT_NAME_MIN;
    int least = title > text ? title : text;
    return output_table_is_cuttable(col) && col->width >= least ? least : col->width;
}

/* Width of the whole line; with texts cut as far as is good when is_least. */
static int output_table_total(const struct output *o, bool is_least)
{
    int total = 0;
    for (size_t i = 0; i < o->n_columns; i++)
        if (o->columns[i].width)
            total += (total ? OUTPUT_GAP : 0) +
                     (is_least ? output_table_least(o, &o->columns[i]) : o->columns[i].width);
    return total;
}

/* What goes first has the lowest: what is not shown by default, what no row has, the rest, and in
 * the end what happened. */
static int output_table_rank(const struct output *o, size_t i)
{
    const struct output_column *c = &o->columns[i];
    if (i == 0 || c->width == 0)
        return INT_MAX;
    int kind = c->is_wide ? 0 : c->is_empty ? 1 : strcmp(c->name, "text") != 0 ? 2 : 3;
    /* Within a kind: the expendable ones in their order, then later columns before earlier ones. */
    size_t k = 0;
    while (k < ARRAY_LEN(expendable) && strcmp(c->name, expendable[k]) != 0)
        k++;
    if (k == ARRAY_LEN(expendable))
        k += OUTPUT_COLUMNS_MAX - i;
    return kind * OUTPUT_RANKS + (int)k;
}

static bool output_table_drop(struct output *o, bool only_wide)
{
    size_t best = 0;
    for (size_t i = 1; i < o->n_columns; i++)
        if (output_table_rank(o, i) < output_table_rank(o, best))
            best = i;
    if (best == 0 || (only_wide && !o->columns[best].is_wide))
        return false;
    o->columns[best].width = 0;
    return true;
}

/* Takes a column off the widest text until the line fits; texts below `least` are spared. */
static void output_table_shrink(struct output *o, bool to_least)
{
    while (output_table_total(o, false) > o->width) {
        struct output_column *widest = NULL;
        for (size_t i = 0; i < o->n_columns; i++) {
            struct output_column *col = &o->columns[i];
            int least = to_least ? output_table_least(o, col) : 1;
            if (output_table_is_cuttable(col) && col->width > least &&
                (!widest || col->width > widest->width))
                widest = col;
        }
        if (!widest)
            return;
        widest->width--;
    }
}

void output_table_fit(struct output *o)
{
    if (o->width <= 0)
        return;
    /* What is not shown by default goes before a text is cut. */
    while (!o->has_choice && output_table_total(o, false) > o->width && output_table_drop(o, true))
        ;
    while (!o->has_choice && output_table_total(o, true) > o->width && output_table_drop(o, false))
        ;
    output_table_shrink(o, true);
    output_table_shrink(o, false);
}

/* ---- lines ---- */

static bool output_table_is_last(const struct output *o, size_t i)
{
    for (i++; i < o->n_columns; i++)
        if (o->columns[i].width)
            return false;
    return true;
}

/* Appends a cell; nothing is padded behind the last text. */
static int output_table_cell(const struct output *o, size_t i, struct str text, struct buf *line)
{
    const struct output_column *col = &o->columns[i];
    bool is_number = output_is_number(col->unit);
    int width = output_text_width(text);
    int room = is_number && width > col->width ? width : col->width;
    if (output_table_is_last(o, i) && (o->width == 0 || (o->is_stream && !is_number)))
        room = width > room ? width : room;
    int pad = room > width ? room - width : 0;
    int err = 0;
    if (line->len)
        err = buf_printf(line, "%*s", OUTPUT_GAP, "");
    if (!err && is_number && pad)
        err = buf_printf(line, "%*s", pad, "");
    if (!err)
        (void)output_text_cut(line, text, room, o->is_utf8);
    if (!err && !is_number && pad && !output_table_is_last(o, i))
        err = buf_printf(line, "%*s", pad, "");
    return err;
}

/* Columns that the user chose are all shown: where no line has room for them, even with texts cut
 * as far as is good, each row is a block of its own. */
static void output_table_begin(struct output *o, const json_t *rows)
{
    output_table_measure(o, rows);
    o->is_block = o->width > 0 && o->has_choice && !o->is_stream && !o->no_header &&
                  json_array_size(rows) > 0 && output_table_total(o, true) > o->width;
    if (o->is_block)
        return;
    output_table_fit(o);
    AUTO_BUF line = BUF_INIT;
    for (size_t i = 0; !o->no_header && i < o->n_columns; i++)
        if (o->columns[i].width && output_table_cell(o, i, str_of(o->columns[i].title), &line))
            return;
    if (line.len)
        fprintf(o->f, "%.*s\n", STR_ARG(buf_str(&line)));
}

/* One member a line; of an object alone those that the daemon did not send are left out. */
static void output_table_object(struct output *o, const json_t *object)
{
    AUTO_BUF text = BUF_INIT;
    int width = 0;
    for (size_t i = 0; i < o->n_columns; i++)
        if ((o->is_block || json_object_get(object, o->columns[i].name)) &&
            output_text_width(str_of(o->columns[i].title)) > width)
            width = output_text_width(str_of(o->columns[i].title));
    for (size_t i = 0; i < o->n_columns; i++) {
        const struct output_column *col = &o->columns[i];
        if (!o->is_block && !json_object_get(object, col->name))
            continue;
        output_table_value(o, i, object, &text);
        if (!o->no_header)
            fprintf(o->f, "%s%*s", col->title,
                    width - output_text_width(str_of(col->title)) + OUTPUT_GAP, "");
        fprintf(o->f, "%.*s\n", STR_ARG(buf_str(&text)));
    }
}

static void output_table_row(struct output *o, const json_t *row)
{
    if (o->is_block) {
        if (o->n_rows > 0) /* between two */
            fputc('\n', o->f);
        output_table_object(o, row);
        return;
    }
    AUTO_BUF line = BUF_INIT;
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < o->n_columns; i++) {
        if (!o->columns[i].width)
            continue;
        /* A later chunk may have longer texts than those that were measured: they are shown whole
         * where there is room. */
        int width = output_table_value(o, i, row, &text);
        struct output_column *col = &o->columns[i];
        if (width > OUTPUT_TEXT_MAX && o->width && i + 1 < o->n_columns)
            width = OUTPUT_TEXT_MAX;
        int more = width - col->width;
        if (more > 0 && !o->is_stream && !output_is_number(col->unit) &&
            (o->width == 0 || output_table_total(o, false) + more <= o->width))
            col->width = width;
        if (output_table_cell(o, i, buf_str(&text), &line))
            return;
    }
    fprintf(o->f, "%.*s\n", STR_ARG(buf_str(&line)));
}

static void output_table_end(struct output *o)
{
    (void)o;
}

const struct output_ops output_table_ops = {
    output_table_begin,
    output_table_row,
    output_table_end,
    output_table_object,
};
