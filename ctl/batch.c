/* SPDX-License-Identifier: ISC */
/* Batches of commands. */
#include "ctl/batch.h"

#include <errno.h>

#include "base/cleanup.h"
#include "ctl/answer.h"
#include "ctl/help.h"
#include "ctl/words.h"

/* What a command would read from there belongs to the commands. */
static bool batch_wants_stdin(const struct args *a)
{
    for (size_t i = 0; i < a->n_secrets; i++)
        if (a->secrets[i].source == ARGS_SECRET_STDIN ||
            (a->secrets[i].path && strcmp(a->secrets[i].path, "-") == 0))
            return true;
    return a->file_arg && strcmp(a->file_path, "-") == 0;
}

static int batch_words(struct run *r, const struct args_options *defaults, size_t n,
                       const char *const *words, struct problem *problem)
{
    struct args a;
    int code = args_parse(&a, defaults, n, words, problem);
    if (!code && (a.options.file || a.options.is_watch))
        code = problem_usage(problem, NULL, "--file and --watch have no place in a file");
    else if (!code && r->is_stdin_taken && batch_wants_stdin(&a))
        code = problem_usage(problem, NULL, "the standard input holds the commands, nothing else");
    else if (!code && (a.options.help || !a.command))
        help_print(r->out, a.noun, a.command);
    else if (!code)
        code = run_command(r, &a);
    args_fini(&a);
    return code;
}

/* One line; *ret_is_empty when it holds no command. */
static int batch_line(struct run *r, const struct args_options *defaults, char *line,
                      bool *ret_is_empty)
{
    size_t n = 0;
    struct problem problem = {0};
    AUTO_FREE const char **words = calloc(strlen(line) + 1, sizeof(*words));
    int code;
    if (!words)
        code = problem_set(&problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    else if (words_split(line, words, &n))
        code = problem_usage(&problem, NULL, "a quote is not closed");
    else
        code = n ? batch_words(r, defaults, n, words, &problem) : 0;
    *ret_is_empty = !code && n == 0;
    problem_print(&problem, run_format(r, defaults) == OUTPUT_JSON, r->out, r->err);
    problem_fini(&problem);
    return code;
}

static int batch_file(struct run *r, const struct args_options *defaults, FILE *f, const char *name)
{
    AUTO_FREE char *line = NULL;
    size_t size = 0, number = 0, n_done = 0;
    int code = 0;
    while (getline(&line, &size, f) >= 0) {
        bool is_empty = false;
        number++;
        int one = batch_line(r, defaults, line, &is_empty);
        if (is_empty)
            continue;
        code = problem_combine(code, one, n_done++);
        if (one)
            fprintf(r->err, "mailproxyctl: %s:%zu: failed with code %d%s\n", name, number, one,
                    defaults->keep_going ? "" : "; the rest was not run");
        if (one && !defaults->keep_going)
            return one;
    }
    if (ferror(f)) {
        fprintf(r->err, "mailproxyctl: cannot read %s: %s\n", name, strerror(errno));
        code = problem_combine(code, PROBLEM_FAILED, n_done);
    }
    return code;
}

int batch_run(struct run *r, const struct args_options *defaults)
{
    struct args_options line = *defaults;
    bool is_stdin = strcmp(defaults->file, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(defaults->file, "re");
    if (!f) {
        fprintf(r->err, "mailproxyctl: cannot read %s: %s\n", defaults->file, strerror(errno));
        return PROBLEM_FAILED;
    }
    line.file = NULL;
    line.is_watch = false;
    /* The commands stand where answers would be read. */
    r->can_prompt = r->can_prompt && !is_stdin;
    r->is_stdin_taken = is_stdin;
    int code = batch_file(r, &line, f, is_stdin ? "stdin" : defaults->file);
    if (!is_stdin)
        fclose(f);
    return code;
}
