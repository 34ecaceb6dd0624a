/* SPDX-License-Identifier: ISC */
/* One command from its parameters to its exit code. */
#include "ctl/run.h"

#include "base/buf.h"
#include "ctl/answer.h"
#include "ctl/fleet.h"
#include "ctl/fleet_link.h"
#include "ctl/guard.h"
#include "ctl/output_text.h"
#include "ctl/run_exec.h"
#include "ctl/run_stream.h"
#include "ctl/run_wait.h"
#include "ctl/secrets.h"
#include "ctl/transfer.h"

/* ---- sorting here, where the daemon cannot ---- */

struct run_sort_key {
    const char *name;
    bool is_descending;
};

static int run_compare_rows(const void *a, const void *b, void *arg)
{
    const struct run_sort_key *key = arg;
    int order = output_compare(json_object_get(*(json_t *const *)a, key->name),
                               json_object_get(*(json_t *const *)b, key->name));
    return key->is_descending ? -order : order;
}

/* By what the user said; what each daemon lists from the newest on is together one such list. */
static struct run_sort_key run_sort_key(const struct args *a)
{
    const char *sort = a->options.sort;
    const struct command_column *col = sort ? commands_column(a->command, sort + (*sort == '-'))
                                            : commands_column_of(a->command, COMMANDS_TIME);
    return (struct run_sort_key){col ? col->name : "node", !sort || *sort == '-'};
}

/* Sorts, limits and prints the collected rows. */
static void run_print_collected(struct run_job *job)
{
    size_t n = json_array_size(job->collected), i;
    uint64_t limit = job->args->options.limit;
    AUTO_FREE json_t **rows = calloc(n + 1, sizeof(json_t *));
    json_t *sorted = json_array();
    struct run_sort_key key = run_sort_key(job->args);
    if (!rows || !sorted) {
        json_decref(sorted);
        return;
    }
    for (i = 0; i < n; i++)
        rows[i] = json_array_get(job->collected, i);
    qsort_r(rows, n, sizeof(json_t *), run_compare_rows, &key);
    for (i = 0; i < n && (!limit || i < limit); i++)
        json_array_append(sorted, rows[i]);
    run_print_rows(job, sorted);
    json_decref(sorted);
}

/* ---- kinds of commands ---- */

static json_t *run_params(const struct run_job *job, const char *cursor)
{
    json_t *params = json_copy(job->args->params);
    uint64_t limit = job->args->options.limit;
    if (params && cursor)
        json_object_set_new(params, "cursor", json_string(cursor));
    /* In a continued list the limit is what is left of it. */
    if (params && limit && json_object_get(params, "limit") && !job->collected)
        json_object_set_new(params, "limit", json_integer((json_int_t)(limit - job->n_rows)));
    return params;
}

static int run_list(struct run_job *job, struct run_node *node)
{
    const struct args_options *o = &job->args->options;
    AUTO_FREE char *cursor = NULL;
    bool has_more = true;
    size_t before = job->n_rows;
    while (has_more && !job->is_over) {
        /* Sorted here out of what several daemons sorted: the first rows of each are enough. */
        if (job->collected && o->limit && job->n_rows - before >= o->limit &&
            (!o->sort || json_object_get(job->args->params, "sort")))
            break;
        json_t *result = NULL;
        int code = run_call(node, job->args, run_params(job, cursor), &result, &job->problem);
        if (code)
            return code;
        const json_t *rows = json_object_get(result, "rows");
        if (!rows && run_is_raw_text(job))
            run_print_text(job, result);
        run_rows(job, node, rows);
        const char *next = json_string_value(json_object_get(result, "cursor"));
        has_more = json_is_true(json_object_get(result, "more")) && next;
        free(cursor);
        cursor = has_more ? str_dup_c(next) : NULL;
        if (!has_more && !job->is_multi)
            output_release(&job->output); /* what is said comes behind the rows */
        if (!has_more)
            run_say(job, node, result);
        json_decref(result);
    }
    /* A list that the user cut: says how to go on. */
    if (cursor && job->output.format == OUTPUT_TABLE && job->run->is_terminal && !job->is_multi &&
        !o->quiet)
        fprintf(job->run->err, "more: --cursor %s\n", cursor);
    return 0;
}

static void run_print_object(struct run_job *job, const struct run_node *node, json_t *object)
{
    if (run_is_raw_text(job)) {
        run_print_text(job, object);
    } else if (job->is_multi) {
        json_t *rows = json_array();
        json_array_append(rows, object);
        run_rows(job, node, rows);
        json_decref(rows);
    } else {
        output_object(&job->output, object);
    }
}

/* The answer of a command that does something. */
static int run_print_outcome(struct run_job *job, const struct run_node *node, json_t *result)
{
    const struct args *a = job->args;
    const json_t *rows = json_object_get(result, "rows");
    const json_t *count = json_object_get(result, "count");
    enum output_format format = job->output.format;
    size_t i;
    json_t *id;
    bool is_quiet = a->options.quiet && format != OUTPUT_ID;
    if (format == OUTPUT_JSON || format == OUTPUT_JSONL)
        run_print_object(job, node, result);
    else if (is_quiet)
        ; /* what is said in words is not said either */
    else if (json_array_size(rows))
        run_rows(job, node, rows);
    else if (format == OUTPUT_ID || format == OUTPUT_TSV)
        json_array_foreach (json_object_get(result, "ids"), i, id) {
            AUTO_BUF text = BUF_INIT;
            output_raw(&text, id);
            fprintf(job->run->out, "%.*s\n", STR_ARG(buf_str(&text)));
        }
    run_say(job, node, result);
    if (json_integer_value(json_object_get(result, "failed")) > 0)
        return PROBLEM_PARTLY;
    bool is_picked = json_object_get(a->params, "filter") || json_object_get(a->params, "all");
    /* What a filter found may be as it should be already; only what ends things says "clean". */
    bool is_so = json_object_get(a->params, "filter") && !json_object_get(result, "clean") &&
                 json_is_false(json_object_get(result, "changed"));
    bool has_no_match = is_picked && !is_so && json_is_integer(count) &&
                        json_integer_value(count) == 0 &&
                        !json_is_true(json_object_get(result, "changed"));
    return has_no_match && !a->options.allow_empty ? PROBLEM_NOT_FOUND : 0;
}

static int run_on_node(struct run_job *job, size_t i, struct str file)
{
    struct args *a = job->args;
    json_t *result = NULL;
    struct run_node *node = run_node(job->run, a, i, &job->problem);
    if (!node)
        return job->problem.exit;
    if (a->command->flags & COMMANDS_LIST)
        return run_list(job, node);
    if (strcmp(a->command->method, "op.resume") == 0)
        return run_exec(job, node, json_string_value(json_object_get(a->params, "id")));
    int code = a->file_arg ? transfer_send(node, a, a->params, file, &result, &job->problem)
                           : run_call(node, a, run_params(job, NULL), &result, &job->problem);
    bool is_empty = code == PROBLEM_NOT_FOUND && job->problem.name &&
                    strcmp(job->problem.name, "E_NO_MATCH") == 0;
    if (is_empty && a->options.allow_empty) {
        problem_fini(&job->problem);
        return 0;
    }
    if (code)
        return code;
    if (run_exec_is_wanted(a) && json_object_get(result, "op"))
        code = run_exec_answer(job, node, result);
    else if (a->options.wait && json_object_get(result, "op"))
        code = run_wait(job, node, result);
    else if (a->options.wait && strcmp(a->command->method, "op.show") == 0)
        code = run_wait_op(job, node, json_string_value(json_object_get(a->params, "id")));
    else if (a->command->flags & COMMANDS_ONE)
        run_print_object(job, node, result);
    else
        code = run_print_outcome(job, node, result);
    json_decref(result);
    return code;
}

/* ---- the whole ---- */

static void run_report(struct run_job *job, bool is_last_chance)
{
    enum output_format format = job->output.format;
    bool is_json = format == OUTPUT_JSON || format == OUTPUT_JSONL;
    /* Half an array is ended, and then the sentence cannot stand on stdout any more. */
    if (format == OUTPUT_JSON && job->output.is_begun) {
        output_end(&job->output);
        is_json = false;
    }
    if (job->is_multi && !is_last_chance)
        is_json = false;
    problem_print(&job->problem, is_json, job->run->out, job->run->err);
    fflush(job->run->out);
}

/* What was not found may be where nobody could look. */
static int run_judge_unreached(const struct run_job *job, const char *path, int code)
{
    const struct run *r = job->run;
    for (size_t i = 0; i < r->n_nodes; i++) {
        const struct run_node *node = &r->nodes[i];
        AUTO_BUF clean = BUF_INIT;
        if (strcmp(node->path, path) != 0 || !node->unreached)
            continue;
        if (output_text_clean(&clean, str_of(node->unreached)) == 0)
            fprintf(r->err, "mailproxyctl: only partly: %.*s\n", STR_ARG(buf_str(&clean)));
        return code == 0 || code == PROBLEM_NOT_FOUND ? PROBLEM_PARTLY : code;
    }
    return code;
}

static int run_nodes(struct run_job *job, struct str file)
{
    const struct args_options *o = &job->args->options;
    int code = 0;
    size_t n_judged = 0, n_without = 0;
    bool is_away = false; /* a node of a fleet: what nobody found may be there */
    for (size_t i = 0; i < o->n_sockets && !job->is_over; i++) {
        for (size_t k = 0; i == 0 && k < job->run->n_nodes; k++)
            run_clear_unreached(&job->run->nodes[k]);
        int one = run_judge_unreached(job, o->sockets[i], run_on_node(job, i, file));
        /* One that has nothing of what the command is about, as its answer or an error says, takes
         * nothing from what others did; one speaks for all. */
        bool has_nothing =
            one == PROBLEM_NOT_FOUND && (!job->problem.exit || problem_is_no_match(&job->problem));
        if (job->is_multi && has_nothing) {
            if (++n_without == o->n_sockets && job->problem.exit)
                run_report(job, true);
            problem_fini(&job->problem);
            continue;
        }
        code = problem_combine(code, one, n_judged++);
        is_away = is_away || (job->run->fleet && run_has_not_reached(job->run, &job->problem));
        bool is_refused = fleet_is_refused(job->run->fleet);
        if (job->problem.exit && job->is_multi && !is_refused) {
            free(job->problem.node);
            job->problem.node = str_dup_c(run_path_name(job->run, o->sockets[i]));
        }
        if (job->problem.exit)
            run_report(job, is_refused || (i + 1 == o->n_sockets && job->n_rows == 0));
        problem_fini(&job->problem);
        job->is_over = job->is_over || is_refused;
    }
    if (n_without > 0 && n_judged == 0)
        return PROBLEM_NOT_FOUND;
    bool is_unsure = code == PROBLEM_NOT_FOUND || (n_without > 0 && code != 0);
    return is_away && is_unsure ? PROBLEM_PARTLY : code;
}

static int run_prepare(struct run_job *job, struct buf *file)
{
    struct args *a = job->args;
    struct output *o = &job->output;
    o->f = job->run->out;
    o->no_header = a->options.no_header;
    o->is_utf8 = job->run->is_utf8;
    o->is_terminal = job->run->is_terminal;
    o->width = job->run->width;
    o->is_joined =
        o->format == OUTPUT_TABLE && (job->is_multi || a->command->flags & COMMANDS_LIST);
    o->has_total = job->is_multi && a->command->flags & COMMANDS_LIST &&
                   o->format == OUTPUT_TABLE && !o->no_header && !a->options.quiet;
    int code = output_init(o, a->command, a->options.columns, job->is_multi, &job->problem);
    if (!code && a->options.save && !(a->command->flags & COMMANDS_STREAM))
        code =
            problem_usage(&job->problem, NULL, "--save is for streams: event watch, session trace");
    bool can_wait =
        a->command->flags & COMMANDS_ASYNC || strcmp(a->command->method, "op.show") == 0;
    if (!code && a->options.wait && !can_wait)
        code = problem_usage(&job->problem, NULL, "%s %s begins no operation to wait for",
                             a->command->noun, a->command->verb);
    if (!code && a->options.wait && commands_arg(a->command, "until_up"))
        json_object_set_new(a->params, "until_up", json_true());
    if (!code)
        code = run_exec_check(job);
    if (!code)
        code = secrets_fill(a, &job->problem);
    if (!code && a->file_arg)
        code = transfer_read(a, file, &job->problem);
    if (!code)
        code = guard_check(job->run, a, buf_str(file), &job->problem);
    bool can_daemon_sort = commands_arg(a->command, "sort") && !job->is_multi;
    bool is_newest_first = job->is_multi && a->command->flags & COMMANDS_NEWEST;
    if (!code && (a->options.sort ? !can_daemon_sort : is_newest_first) &&
        a->command->flags & COMMANDS_LIST)
        job->collected = json_array();
    return code;
}

int run_command(struct run *r, struct args *asked)
{
    struct args nodes = *asked, *a = &nodes; /* its sockets are replaced by the nodes of a fleet */
    struct run_job job = {.run = r, .args = a};
    bool is_list = a->command->flags & COMMANDS_LIST;
    AUTO_SECRET_BUF file = BUF_INIT;
    job.output.format = run_format(r, &a->options);
    int code = a->options.is_fleet || a->options.node ? fleet_open(r, a, &job.problem) : 0;
    job.is_multi = a->options.n_sockets > 1 || a->options.is_fleet;
    if (!code)
        code = run_prepare(&job, &file);
    if (code) {
        run_report(&job, true);
    } else if (a->command->flags & COMMANDS_STREAM) {
        code = run_stream(&job);
        run_report(&job, true);
    } else {
        code = run_nodes(&job, buf_str(&file));
        if (job.collected)
            run_print_collected(&job);
        /* Lists always end with their header or brackets; outcomes only when rows were printed. */
        bool has_end = is_list && !run_is_raw_text(&job) && (!code || code == PROBLEM_PARTLY);
        if ((job.output.is_begun || job.output.held || has_end) && !job.output.is_ended)
            output_end(&job.output);
        if (job.output.has_total && job.output.is_ended)
            run_say_rows(&job);
        bool is_empty = job.n_rows == 0 && json_object_get(a->params, "filter");
        if (!code && is_list && job.has_error_rows)
            code = PROBLEM_FAILED;
        else if (!code && is_list && is_empty && !a->options.allow_empty)
            code = PROBLEM_NOT_FOUND;
    }
    if (!r->write_error)
        r->write_error = job.output.write_error;
    problem_fini(&job.problem);
    json_decref(job.collected);
    output_fini(&job.output);
    fleet_close(r);
    return code;
}
