/* SPDX-License-Identifier: ISC */
/* mailproxyctl: the operator's command line. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>

#include "ctl/args.h"
#include "ctl/run.h"

static int main_args(struct run *r, struct args *a)
{
    if (a->options.version) {
        fprintf(r->out, "mailproxyctl %s\n", MAILPROXY_VERSION);
        return 0;
    }
    return run_command(r, a);
}

static int main_finish(struct run *r, int code)
{
    run_fini(r);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "mailproxyctl: cannot write: %s\n", strerror(errno));
        return code ? code : PROBLEM_FAILED;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct run r;
    struct args a;
    struct args_options defaults;
    struct problem problem = {0};
    setlocale(LC_CTYPE, "");
    run_init(&r, stdout, stderr);
    args_options_init(&defaults);
    int code =
        args_parse(&a, &defaults, (size_t)(argc - 1), (const char *const *)argv + 1, &problem);
    if (code)
        problem_print(&problem, a.options.format == ARGS_JSON || a.options.format == ARGS_JSONL,
                      stdout, stderr);
    else
        code = main_args(&r, &a);
    problem_fini(&problem);
    args_fini(&a);
    return main_finish(&r, code);
}
