/* SPDX-License-Identifier: ISC */
/* JSON: one array or object (json), or one row a line (jsonl). */
#include "ctl/output.h"

/* Text of clients must not steer a terminal: JSON allows to write all but ASCII as escapes. */
static size_t output_json_flags(const struct output *o)
{
    return o->is_terminal ? JSON_ENSURE_ASCII : 0;
}

/* The object with the chosen columns only; owned. */
static json_t *output_pick(const struct output *o, const json_t *object)
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

static void output_json_begin(struct output *o, const json_t *rows)
{
    (void)rows;
    fputs("[", o->f);
}

static void output_json_row(struct output *o, const json_t *row)
{
    json_t *picked = output_pick(o, row);
    fputs(o->n_rows ? ",\n " : "\n ", o->f);
    if (picked)
        json_dumpf(picked, o->f, output_json_flags(o));
    json_decref(picked);
}

static void output_json_end(struct output *o)
{
    fputs(o->n_rows ? "\n]\n" : "]\n", o->f);
}

static void output_json_object(struct output *o, const json_t *object)
{
    json_t *picked = output_pick(o, object);
    if (picked)
        json_dumpf(picked, o->f, output_json_flags(o) | JSON_INDENT(2));
    fputc('\n', o->f);
    json_decref(picked);
}

const struct output_ops output_json_ops = {
    output_json_begin,
    output_json_row,
    output_json_end,
    output_json_object,
};

static void output_jsonl_begin(struct output *o, const json_t *rows)
{
    (void)o;
    (void)rows;
}

static void output_jsonl_row(struct output *o, const json_t *row)
{
    json_t *picked = output_pick(o, row);
    if (picked)
        json_dumpf(picked, o->f, output_json_flags(o) | JSON_COMPACT);
    fputc('\n', o->f);
    json_decref(picked);
}

static void output_jsonl_end(struct output *o)
{
    (void)o;
}

const struct output_ops output_jsonl_ops = {
    output_jsonl_begin,
    output_jsonl_row,
    output_jsonl_end,
    output_jsonl_row,
};
