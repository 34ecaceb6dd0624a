/* SPDX-License-Identifier: ISC */
/* Tab-separated raw values for scripts, and the bare first column (-o id). */
#include "base/buf.h"
#include "ctl/output.h"

static void output_tsv_begin(struct output *o, const json_t *rows)
{
    (void)rows;
    for (size_t i = 0; !o->no_header && i < o->n_columns; i++)
        fprintf(o->f, "%s%s", i ? "\t" : "", o->columns[i].name);
    if (!o->no_header && o->n_columns)
        fputc('\n', o->f);
}

static void output_tsv_row(struct output *o, const json_t *row)
{
    AUTO_BUF line = BUF_INIT;
    for (size_t i = 0; i < o->n_columns; i++) {
        if (i && buf_append_char(&line, '\t'))
            return;
        output_raw(&line, json_object_get(row, o->columns[i].name));
    }
    fprintf(o->f, "%.*s\n", STR_ARG(buf_str(&line)));
}

static void output_tsv_end(struct output *o)
{
    (void)o;
}

static void output_tsv_object(struct output *o, const json_t *object)
{
    output_tsv_begin(o, NULL);
    output_tsv_row(o, object);
}

const struct output_ops output_tsv_ops = {
    output_tsv_begin,
    output_tsv_row,
    output_tsv_end,
    output_tsv_object,
};

static void output_id_begin(struct output *o, const json_t *rows)
{
    (void)o;
    (void)rows;
}

static void output_id_row(struct output *o, const json_t *row)
{
    AUTO_BUF line = BUF_INIT;
    size_t i = 0;
    if (o->n_columns == 0)
        return;
    while (i + 1 < o->n_columns && o->columns[0].is_some &&
           !json_object_get(row, o->columns[i].name))
        i++; /* of rows of several kinds each has a name of its own */
    output_raw(&line, json_object_get(row, o->columns[i].name));
    fprintf(o->f, "%.*s\n", STR_ARG(buf_str(&line)));
}

const struct output_ops output_id_ops = {
    output_id_begin,
    output_id_row,
    output_tsv_end,
    output_id_row,
};
