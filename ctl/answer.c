/* SPDX-License-Identifier: ISC */
/* What a command's answers become: a format, rows, and sentences for people. */
#include "ctl/answer.h"

#include "base/buf.h"
#include "ctl/output_text.h"

enum output_format run_format(const struct run *r, const struct args_options *o)
{
    static const enum output_format formats[] = {
        [ARGS_TABLE] = OUTPUT_TABLE, [ARGS_TSV] = OUTPUT_TSV, [ARGS_JSON] = OUTPUT_JSON,
        [ARGS_JSONL] = OUTPUT_JSONL, [ARGS_ID] = OUTPUT_ID,
    };
    if (o->format == ARGS_AUTO)
        return r->is_terminal ? OUTPUT_TABLE : OUTPUT_TSV;
    return formats[o->format];
}

/* ---- rows ---- */

bool run_is_raw_text(const struct run_job *job)
{
    size_t n;
    const struct command_column *col = commands_columns(job->args->command, &n);
    return n == 1 && strcmp(col->name, "text") == 0 && job->output.format != OUTPUT_JSON &&
           job->output.format != OUTPUT_JSONL;
}

void run_print_text(struct run_job *job, const json_t *object)
{
    const json_t *text = json_object_get(object, "text");
    if (json_is_string(text))
        fwrite(json_string_value(text), 1, json_string_length(text), job->output.f);
    output_flush(&job->output);
}

/* Is it one of those that this command asked, and did it answer? */
static bool run_has_answered(const struct run_job *job, const struct run_node *node)
{
    const struct args_options *o = &job->args->options;
    for (size_t i = 0; i < o->n_sockets; i++)
        if (strcmp(o->sockets[i], node->path) == 0)
            return run_node_is_open(node);
    return false;
}

void run_print_rows(struct run_job *job, const json_t *rows)
{
    const struct run *r = job->run;
    for (size_t i = 0; job->is_multi && i < json_array_size(rows); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(rows, i), "node"));
        size_t k = 0;
        while (name && k < r->n_nodes &&
               !(run_has_answered(job, &r->nodes[k]) &&
                 strcmp(run_node_name(&r->nodes[k]), name) == 0))
            k++;
        if (name && k < r->n_nodes)
            job->n_of_node[k]++;
    }
    output_rows(&job->output, rows);
}

void run_rows(struct run_job *job, const struct run_node *node, const json_t *rows)
{
    size_t i;
    json_t *row;
    uint64_t limit = job->args->options.limit;
    json_t *chunk = job->collected ? json_incref(job->collected) : json_array();
    json_array_foreach ((json_t *)rows, i, row) {
        const char *severity = json_string_value(json_object_get(row, "severity"));
        job->has_error_rows = job->has_error_rows || (severity && strcmp(severity, "error") == 0);
        if (run_is_raw_text(job))
            run_print_text(job, row);
        if (!job->collected && limit && job->n_rows >= limit)
            break;
        json_t *shown = job->is_multi ? json_object() : json_incref(row);
        if (job->is_multi) { /* the name of the daemon comes first */
            const char *of = json_string_value(json_object_get(row, "node"));
            json_object_set_new(shown, "node", json_string(of ? of : run_node_name(node)));
            json_object_update_missing(shown, row);
        }
        json_array_append_new(chunk, shown);
        job->n_rows++;
    }
    job->is_over = !job->collected && limit && job->n_rows >= limit;
    if (!job->collected && !run_is_raw_text(job))
        run_print_rows(job, chunk);
    job->is_over = job->is_over || job->output.write_error;
    json_decref(chunk);
}

/* ---- what is said to people ---- */

void run_say_rows(const struct run_job *job)
{
    const struct run *r = job->run;
    AUTO_BUF text = BUF_INIT;
    AUTO_BUF clean = BUF_INIT;
    for (size_t i = 0; i < r->n_nodes; i++)
        if (run_has_answered(job, &r->nodes[i]) &&
            buf_printf(&text, "%s%zu of %s", text.len ? ", " : "", job->n_of_node[i],
                       run_node_name(&r->nodes[i])))
            return;
    if (output_text_clean(&clean, buf_str(&text)) == 0)
        fprintf(r->out, "%zu row%s: %.*s\n", job->output.n_rows, job->output.n_rows == 1 ? "" : "s",
                STR_ARG(buf_str(&clean)));
    fflush(r->out);
}

/* The outcome of a command in words ("session kill: 3"), the daemon's own where it gave some;
 * owned, NULL when there is nothing to say. */
static char *run_sentence(const struct command *c, const json_t *params, const json_t *result)
{
    const char *message = json_string_value(json_object_get(result, "message"));
    const json_t *count = json_object_get(result, "count");
    bool is_dry = json_is_true(json_object_get(params, "dry_run"));
    if (message)
        return str_dup_c(message);
    if (c->flags & COMMANDS_LIST)
        return NULL;
    if (is_dry && json_is_integer(count))
        return str_printf("%s %s would hit %lld", c->noun, c->verb,
                          (long long)json_integer_value(count));
    const json_t *changed = json_object_get(result, "changed");
    bool is_all = json_is_true(json_object_get(params, "all")); /* and there was nothing */
    if (json_is_false(changed) && !is_all)
        return str_dup_c("already so");
    if (json_is_true(changed) && json_is_integer(count) && json_integer_value(count) == 0)
        return str_printf("%s %s: done", c->noun, c->verb);
    if (json_is_integer(count) && json_object_get(result, "clean")) {
        long long cut = json_integer_value(json_object_get(result, "cut"));
        AUTO_FREE char *cuts =
            cut ? str_printf(", %lld command%s cut", cut, cut == 1 ? "" : "s") : NULL;
        return str_printf(
            "%s %s: %lld (%lld clean%s)", c->noun, c->verb, (long long)json_integer_value(count),
            (long long)json_integer_value(json_object_get(result, "clean")), cuts ? cuts : "");
    }
    if (json_is_integer(count))
        return str_printf("%s %s: %lld", c->noun, c->verb, (long long)json_integer_value(count));
    return str_dup_c("done");
}

void run_say(struct run_job *job, const struct run_node *node, const json_t *result)
{
    FILE *to = job->output.format == OUTPUT_TABLE ? job->run->out : job->run->err;
    AUTO_FREE char *sentence = run_sentence(job->args->command, job->args->params, result);
    AUTO_BUF clean = BUF_INIT;
    if (!sentence || job->args->options.quiet || job->output.format == OUTPUT_JSON ||
        job->output.format == OUTPUT_JSONL || output_text_clean(&clean, str_of(sentence)))
        return;
    if (job->is_multi)
        fprintf(to, "%s: ", run_node_name(node));
    fprintf(to, "%.*s\n", STR_ARG(buf_str(&clean)));
    fflush(to);
}
