/* SPDX-License-Identifier: ISC */
/* mailproxyctl: the operator's command line. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>

#include "base/os/process.h"
#include "ctl/args.h"
#include "ctl/batch.h"
#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/pipe.h"
#include "ctl/remote.h"
#include "ctl/run.h"
#include "ctl/schema.h"
#include "ctl/watch.h"

static int main_args(struct run *r, struct args *a)
{
    if (a->options.version) {
        fprintf(r->out, "mailproxyctl %s\n", MAILPROXY_VERSION);
        return 0;
    }
    if (a->options.schema) {
        int err = schema_print(r->out, a->command);
        if (err)
            fprintf(r->err, "mailproxyctl: %s\n", err_text(-err));
        return err ? PROBLEM_FAILED : 0;
    }
    if (a->options.help) {
        help_print(r->out, a->noun, a->command);
        return 0;
    }
    if (!a->command)
        return batch_run(r, &a->options);
    if (a->options.is_watch && !(a->command->flags & COMMANDS_STREAM))
        return watch_run(r, a);
    return run_command(r, a);
}

static int main_run_words(struct run *r, size_t n, const char *const *words)
{
    struct args a;
    struct args_options defaults;
    struct problem problem = {0};
    args_options_init(&defaults);
    int code = args_parse(&a, &defaults, n, words, &problem);
    if (!code && a.command && a.options.file)
        code = problem_usage(&problem, NULL, "-f FILE runs the file's commands, no other one");
    if (code)
        problem_print(&problem, a.options.format == ARGS_JSON || a.options.format == ARGS_JSONL,
                      r->out, r->err);
    else
        code = main_args(r, &a);
    problem_fini(&problem);
    args_fini(&a);
    return code;
}

/* Words that are no command of the daemon. */
static int main_word(struct run *r, size_t n, const char *const *words)
{
    const char *first = n ? words[0] : "";
    const char *second = n > 1 ? words[1] : "";
    /* [-s SOCKET] pipe: what ssh runs for who comes from another machine. */
    bool has_socket = n == 3 && (strcmp(first, "-s") == 0 || strcmp(first, "--socket") == 0);
    if ((n == 1 || has_socket) && strcmp(words[n - 1], "pipe") == 0) {
        const char *socket = getenv("MAILPROXY_SOCKET");
        struct problem problem = {0};
        int code = pipe_run(has_socket          ? second
                            : socket && *socket ? socket
                                                : CLIENT_SOCKET_DEFAULT,
                            &problem);
        problem_print(&problem, false, r->out, r->err);
        problem_fini(&problem);
        return code;
    }
    if (strcmp(first, "__complete") == 0) {
        remote_never_ask(); /* the line that is being typed is on the terminal */
        complete_print(r, r->out, n - 1, words + 1);
        return 0;
    }
    if (strcmp(first, "help") == 0 && strcmp(second, "filter") == 0) {
        help_filter(r->out);
        return 0;
    }
    if (strcmp(first, "__manual") == 0) {
        if (strcmp(second, "control") == 0)
            help_manual_control(r->out);
        else
            help_manual(r->out);
        return 0;
    }
    if (strcmp(first, "completion") == 0) {
        if (complete_script(r->out, second))
            return 0;
        fputs("mailproxyctl: there is completion for bash, zsh and fish\n", r->err);
        return PROBLEM_USAGE;
    }
    return main_run_words(r, n, words);
}

int main(int argc, char **argv)
{
    struct run r;
    process_open_standard(true);
    setlocale(LC_CTYPE, "");
    run_init(&r, stdout, stderr);
    int code = main_word(&r, argc > 1 ? (size_t)(argc - 1) : 0, (const char *const *)argv + 1);
    run_fini(&r);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "mailproxyctl: cannot write: %s\n",
                strerror(r.write_error ? r.write_error : errno));
        return code ? code : PROBLEM_FAILED;
    }
    return code;
}
