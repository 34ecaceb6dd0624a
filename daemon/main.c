/* SPDX-License-Identifier: ISC */
/* mailproxyd: options, then supervisor or engine. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "engine/engine.h"
#include "engine/wire.h"
#include "sandbox.h"
#include "supervisor.h"

#define MAIN_CONFIG MAILPROXY_SYSCONFDIR "/mailproxy/mailproxy.conf"

enum main_task {
    TASK_SERVE,
    TASK_ENGINE,
    TASK_CHECK,
    TASK_DUMP,
    TASK_KEYS,
    TASK_VERSION,
    TASK_HELP
};

static const char main_usage[] =
    "usage: mailproxyd [-c FILE] [-t | --dump[=set] | --print-keys | -V | -h]\n"
    "  -c, --config FILE  configuration (" MAIN_CONFIG ")\n"
    "  -t, --test         check the configuration and exit\n"
    "      --dump[=set]   print the configuration with all defaults, or only what is set\n"
    "      --print-keys   print the table of configuration keys\n"
    "  -V, --version      print the version\n"
    "  -h, --help         print this\n"
    "SIGHUP reloads the configuration, SIGTERM stops, SIGUSR1 opens log files again.\n";

static int main_load(const char *path, struct config **ret)
{
    struct config_problems problems = {0};
    AUTO_BUF text = BUF_INIT;
    int err = config_load(path, ret, &problems);
    if (problems.n > 0 && config_problems_format(&problems, &text) == 0)
        (void)!write(STDERR_FILENO, text.data + text.start, text.len);
    config_problems_fini(&problems);
    return err;
}

static int main_check(const char *path)
{
    struct config *c = NULL;
    if (main_load(path, &c) < 0) {
        fprintf(stderr, "mailproxyd: %s is not valid\n", path);
        return EX_CONFIG;
    }
    printf("mailproxyd: %s is valid\n", path);
    config_unref(c);
    return 0;
}

static int main_dump(const char *path, bool only_set)
{
    struct config *c = NULL;
    AUTO_BUF text = BUF_INIT;
    if (main_load(path, &c) < 0)
        return EX_CONFIG;
    int err = config_dump(c, only_set ? CONFIG_DUMP_ONLY_SET : 0, &text);
    if (err == 0)
        fwrite(text.data + text.start, 1, text.len, stdout);
    config_unref(c);
    return err < 0 ? EX_SOFTWARE : 0;
}

static void main_print_key(void *arg, const struct config_key_doc *k)
{
    (void)arg;
    printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k->path, k->type, k->unit ? k->unit : "",
           k->default_text ? k->default_text : "", k->range ? k->range : "", k->effect, k->text);
}

static int main_drop(void *arg, const struct engine_options *o, const void *config)
{
    (void)arg;
    (void)o;
    return sandbox_enter(config);
}

static int main_env_number(const char *name)
{
    uint64_t n;
    const char *text = getenv(name);
    return text && str_to_u64(str_of(text), 1 << 20, &n) == 0 ? (int)n : -1;
}

/* Sessions need two descriptors each: take all that we may have. */
static void main_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int main_engine(const char *path, const char *restarts)
{
    uint64_t n = 0;
    struct engine_options o = {.config_path = path,
                               .supervisor = main_env_number(WIRE_FD_ENV),
                               .first_fd = 3,
                               .drop = main_drop};
    int fds = main_env_number("LISTEN_FDS");
    o.n_fds = fds > 0 ? fds : 0;
    if (str_to_u64(str_of(restarts), UINT16_MAX, &n) == 0)
        o.restarts = (unsigned)n;
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv(WIRE_FD_ENV);
    signal(SIGPIPE, SIG_IGN);
    main_raise_limits();
    return engine_run(&o);
}

struct main_options {
    enum main_task task;
    const char *config;
    const char *restarts;
    bool only_set;
};

/* False: usage was printed. */
static bool main_parse(int argc, char **argv, struct main_options *o)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
        {"dump", optional_argument, NULL, 'd'},   {"print-keys", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
        {"engine", required_argument, NULL, 'e'}, {NULL, 0, NULL, 0},
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "c:tVh", longs, NULL)) != -1) {
        static const struct {
            char option;
            enum main_task task;
        } tasks[] = {{'t', TASK_CHECK},   {'d', TASK_DUMP}, {'k', TASK_KEYS},
                     {'V', TASK_VERSION}, {'h', TASK_HELP}, {'e', TASK_ENGINE}};
        if (opt == '?')
            return false;
        if (opt == 'c')
            o->config = optarg;
        if (opt == 'e')
            o->restarts = optarg;
        if (opt == 'd' && optarg)
            o->only_set = true;
        for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
            if (tasks[i].option == opt)
                o->task = tasks[i].task;
    }
    if (optind < argc)
        fprintf(stderr, "mailproxyd: unexpected argument %s\n", argv[optind]);
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct main_options o = {.task = TASK_SERVE, .config = MAIN_CONFIG, .restarts = "0"};
    if (!main_parse(argc, argv, &o)) {
        fputs(main_usage, stderr);
        return EX_USAGE;
    }
    switch (o.task) {
    case TASK_ENGINE:
        return main_engine(o.config, o.restarts);
    case TASK_CHECK:
        return main_check(o.config);
    case TASK_DUMP:
        return main_dump(o.config, o.only_set);
    case TASK_KEYS:
        config_each_key(main_print_key, NULL);
        return 0;
    case TASK_VERSION:
        puts("mailproxyd " MAILPROXY_VERSION);
        return 0;
    case TASK_HELP:
        fputs(main_usage, stdout);
        return 0;
    case TASK_SERVE:
        break;
    }
    return supervisor_run(o.config);
}
