/* SPDX-License-Identifier: ISC */
/* mailproxyd: options, then supervisor or engine. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log/log.h"
#include "base/os/process.h"
#include "check_access.h"
#include "config/config.h"
#include "config/config_directory.h"
#include "engine/engine.h"
#include "engine/wire.h"
#include "from_nginx.h"
#include "init_config.h"
#include "io/tls/key_server.h"
#include "io/tls/key_service.h"
#include "io/tls/tls_memory.h"
#include "sandbox/sandbox.h"
#include "supervisor/content.h"
#include "supervisor/supervisor.h"
#include "supervisor/takeover.h"

#define MAIN_CONFIG MAILPROXY_SYSCONFDIR "/mailproxy/mailproxy.conf"

enum main_task {
    TASK_SERVE,
    TASK_ENGINE,
    TASK_CHECK,
    TASK_REFRESH,
    TASK_DUMP,
    TASK_KEYS,
    TASK_FROM_NGINX,
    TASK_PRINT_NGINX,
    TASK_KEY_PROCESS,
    TASK_VERSION,
    TASK_HELP
};

/* The last ones are between the program and itself. */
struct main_options {
    enum main_task task;
    bool is_contrary; /* two tasks were asked for */
    const char *config;
    bool only_set;
    const char *nginx, *output; /* of TASK_FROM_NGINX */
    bool is_forced;
    const char *starts, *restarts;  /* of engines */
    const char *take_over;          /* TAKEOVER_FORMAT of the program that runs */
    const char *bundle, *keys;      /* descriptors that take what was read, and its keys */
    const char *refresh, *old_keys; /* the same of a content: its certificates are read again */
    const char *memory, *channels;  /* descriptors of a key process */
    const char *loaded;             /* keys of a directory that it keeps */
    const char *user, *group;       /* of a key process; "" = ours */
    bool is_successor;
};

static const char main_usage[] =
    "usage: mailproxyd [-c FILE] [-t | --dump[=set] | --print-keys | -V | -h]\n"
    "       mailproxyd --init [-o FILE [--force]] [OPTIONS]\n"
    "       mailproxyd --from-nginx FILE [-o FILE [--force]]\n"
    "  -c, --config FILE  configuration (" MAIN_CONFIG ")\n"
    "  -t, --test         check the configuration and exit\n"
    "      --dump[=set]   print the configuration with all defaults, or only what is set\n"
    "      --print-keys   print the table of configuration keys\n"
    "      --init         write a first configuration from options and a few questions; --init -h\n"
    "                     lists them\n"
    "      --from-nginx FILE  translate the mail{} of an nginx.conf: the configuration goes to\n"
    "                     standard output or the file of -o, a report to standard error;\n"
    "                     status 1: something has no equal. See mailproxy-nginx(7)\n"
    "  -o, --output FILE  what --from-nginx writes, readable by its owner only; not one that is\n"
    "                     there, but with --force\n"
    "  -V, --version      print the version\n"
    "  -h, --help         print this\n"
    "SIGHUP reloads the configuration, SIGTERM stops, SIGQUIT stops once the sessions have ended,\n"
    "SIGUSR1 opens log files again, SIGUSR2 upgrades.\n";

static int main_fd(const char *text)
{
    uint64_t n;
    return text && str_to_u64(str_of(text), INT32_MAX, &n) == 0 ? (int)n : -1;
}

static int main_refresh(const struct main_options *m)
{
    int err = content_refresh(main_fd(m->refresh), main_fd(m->old_keys), main_fd(m->bundle),
                              main_fd(m->keys));
    return err == 0 ? 0 : err == -ERR_CONFIG ? EX_CONFIG : EX_OSERR;
}

static int main_bundle(const struct main_options *m, struct config_problems *problems)
{
    int bundle = main_fd(m->bundle), keys = main_fd(m->keys);
    return bundle < 0 || keys < 0 ? -ERR_INVAL : content_write(m->config, bundle, keys, problems);
}

#define MAIN_DIRECTORY_TRIED 100 /* certificates of tls.directory that a check looks at */

/* Would a daemon start with it, and have what it needs? */
static int main_check_all(const struct main_options *m, struct config_problems *problems)
{
    struct config *c = NULL;
    size_t n = 0;
    int err = config_load_to_start(m->config, &c, problems);
    if (err == 0 && c->tls.is_key_process) { /* can it have all keys? */
        AUTO_SECRET_BUF had = BUF_INIT;
        struct files *files = NULL;
        err = content_keys_take(c, 0, &had, &files, problems);
        files_unref(files);
    }
    if (err == 0 && !m->take_over) /* a running daemon has what it needs */
        err = check_access(c, problems);
    if (err == 0) /* loaded when clients ask for them: what is wrong with some is told here */
        n = config_directory_try(c, MAIN_DIRECTORY_TRIED, problems);
    if (n > MAIN_DIRECTORY_TRIED)
        printf("mailproxyd: the first %d of %zu certificates of tls.directory were tried\n",
               MAIN_DIRECTORY_TRIED, n);
    config_unref(c);
    return err;
}

/* Asked by an operator, or by the supervisor: then what was read goes into descriptors. */
static int main_check(const struct main_options *m)
{
    struct config_problems problems = {0};
    uint64_t format;
    if (m->take_over &&
        (str_to_u64(str_of(m->take_over), UINT32_MAX, &format) < 0 || format != TAKEOVER_FORMAT)) {
        fprintf(stderr, "mailproxyd: %s cannot take over from the running program: restart it\n",
                MAILPROXY_VERSION);
        return EX_UNAVAILABLE;
    }
    int err = m->bundle ? main_bundle(m, &problems) : main_check_all(m, &problems);
    config_problems_say(&problems);
    if (err < 0) {
        fprintf(stderr, "mailproxyd: %s is not valid\n", m->config);
        return err == -ERR_CONFIG || !m->bundle ? EX_CONFIG : EX_OSERR;
    }
    printf("mailproxyd: %s is valid\n", m->config);
    return 0;
}

static int main_dump(const char *path, bool only_set)
{
    struct config *c = NULL;
    AUTO_BUF text = BUF_INIT;
    struct config_problems problems = {0};
    int err = config_load(path, &c, &problems);
    config_problems_say(&problems);
    if (err < 0)
        return EX_CONFIG;
    err = config_dump(c, only_set ? CONFIG_DUMP_ONLY_SET : 0, &text);
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

/* The folder of a file, cut off in place; NULL when it names none. */
static const char *main_folder_of(char *file)
{
    char *slash = file ? strrchr(file, '/') : NULL;
    if (!slash)
        return NULL;
    *(slash == file ? slash + 1 : slash) = '\0';
    return file;
}

/* Certificates, keys, sockets and logs come from the supervisor. */
static int main_drop(void *arg, const struct engine_options *o, const void *config)
{
    (void)arg;
    (void)o;
    const struct config *c = config;
    AUTO_FREE char *store = str_dup_c(c->store.path);
    struct sandbox_spec spec = {.user = c->user, .group = c->group};
    sandbox_add(&spec.writable, c->state_dir);
    sandbox_add(&spec.writable, main_folder_of(store));
    sandbox_add(&spec.writable, "/dev/shm"); /* a copy of a store that cannot be written */
    return sandbox_enter(&spec);
}

static unsigned main_number(const char *text)
{
    uint64_t n;
    return str_to_u64(str_of(text), UINT16_MAX, &n) == 0 ? (unsigned)n : 0;
}

/* What ps(1) and top(1) show: the kernel names a process by the link that it was started by. */
static void main_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
}

static int main_engine(const struct main_options *m)
{
    uint64_t supervisor;
    const char *wire = getenv(WIRE_FD_ENV);
    struct engine_options o = {.config_path = m->config,
                               .starts = main_number(m->starts),
                               .restarts = main_number(m->restarts),
                               .is_successor = m->is_successor,
                               .supervisor = -1,
                               .drop = main_drop};
    if (wire && str_to_u64(str_of(wire), 1 << 20, &supervisor) == 0)
        o.supervisor = (int)supervisor;
    unsetenv(WIRE_FD_ENV);
    main_name("mp-engine");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error as any other */
    /* Sessions need two descriptors each: take all that we may have. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (tls_memory_init() < 0)
        return EX_OSERR;
    return engine_run(&o);
}

/* ---- a key process ---- */

/* The supervisor does not need this process any longer: handshakes under way are still signed for.
 */
#define MAIN_KEYS_LAST_S 60
static void on_last_orders(int number)
{
    (void)number;
    alarm(MAIN_KEYS_LAST_S);
}

static int main_read_keys(int memory, struct key_server **ret)
{
    struct stat st;
    if (fstat(memory, &st) < 0)
        return err_from_errno(errno);
    if (st.st_size == 0) /* a configuration without keys */
        return key_server_new(STR(""), ret);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, memory, 0);
    if (p == MAP_FAILED)
        return err_from_errno(errno);
    int err = key_server_new(str_n(p, (size_t)st.st_size), ret);
    munmap(p, (size_t)st.st_size);
    close(memory);
    return err;
}

static int main_key_process(const struct main_options *m)
{
    int fds[KEY_CHANNELS_MAX];
    size_t n = 0;
    uint64_t memory, fd;
    struct key_server *keys = NULL;
    struct str list = str_of(m->channels ? m->channels : "");
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    const struct sigaction last = {.sa_handler = on_last_orders, .sa_flags = SA_RESTART};
    main_name("mp-keys");
    while (list.n > 0 && n < KEY_CHANNELS_MAX) {
        if (str_to_u64(str_cut(&list, ','), INT32_MAX, &fd) < 0)
            return EX_USAGE;
        fds[n++] = (int)fd;
    }
    if (n == 0 || str_to_u64(str_of(m->memory), INT32_MAX, &memory) < 0)
        return EX_USAGE;
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++) /* of a terminal: they are the supervisor's */
        signal(ignored[i], SIG_IGN);
    int err = main_read_keys((int)memory, &keys);
    if (err == 0)
        err = sandbox_enter_keys(m->user && m->user[0] ? m->user : NULL,
                                 m->group && m->group[0] ? m->group : NULL);
    (void)sigaction(SIGTERM, &last, NULL);
    if (err == 0)
        key_server_take_keys(keys, main_number(m->loaded ? m->loaded : "0"));
    if (err == 0)
        err = key_server_run(keys, fds, n, sandbox_enter_key_thread);
    key_server_free(keys);
    return err < 0 ? EX_SOFTWARE : 0;
}

/* Wherever they stand, help and the version are told, and no other two tasks go together: it never
 * matters which option is the last. */
static void main_take_task(struct main_options *o, enum main_task task)
{
    bool is_told = o->task == TASK_HELP || o->task == TASK_VERSION;
    if (task == TASK_HELP || task == TASK_VERSION)
        o->task = o->task == TASK_HELP ? TASK_HELP : task;
    else if (o->task == TASK_SERVE || o->task == task)
        o->task = task;
    else if (!is_told)
        o->is_contrary = true;
}

/* --init, wherever it stands, has options of its own: it is taken out of argv. */
static bool main_take_init(int *argc, char **argv)
{
    int n = 1;
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], "--init") != 0)
            argv[n++] = argv[i];
    bool is_there = n < *argc;
    argv[n] = NULL;
    *argc = n;
    return is_there;
}

/* Do the options go together? rest: the first word that is none, or NULL. False: what is wrong was
 * said. */
static bool main_agree(const struct main_options *o, const char *rest)
{
    const char *wrong = NULL;
    if (o->task == TASK_HELP || o->task == TASK_VERSION)
        return true;
    if (o->is_contrary)
        wrong = "only one of -t, --dump, --print-keys and --from-nginx";
    else if (!o->nginx && (o->output || o->is_forced))
        wrong = "-o and --force need --from-nginx or --init";
    else if (o->is_forced && !o->output)
        wrong = "--force needs -o";
    if (rest)
        fprintf(stderr, "mailproxyd: unexpected argument %s\n", rest);
    else if (wrong)
        fprintf(stderr, "mailproxyd: %s\n", wrong);
    return !rest && !wrong;
}

/* False: what is wrong was said. */
static bool main_parse(int argc, char **argv, struct main_options *o)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"test", no_argument, NULL, 't'},
        {"dump", optional_argument, NULL, 'd'},
        {"print-keys", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {"engine", required_argument, NULL, 'e'},
        {"restarts", required_argument, NULL, 'r'},
        {"successor", no_argument, NULL, 's'},
        {"take-over", required_argument, NULL, 'T'},
        {"from-nginx", required_argument, NULL, 'n'},
        {"output", required_argument, NULL, 'o'},
        {"force", no_argument, NULL, 'f'},
        {"print-nginx", no_argument, NULL, 'N'},
        {"bundle", required_argument, NULL, 'b'},
        {"keys", required_argument, NULL, 'K'},
        {"refresh", required_argument, NULL, 'R'},
        {"old-keys", required_argument, NULL, 'O'},
        {"key-process", required_argument, NULL, 'p'},
        {"channels", required_argument, NULL, 'C'},
        {"user", required_argument, NULL, 'u'},
        {"group", required_argument, NULL, 'g'},
        {"loaded", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "c:o:tVh", longs, NULL)) != -1) {
        static const struct {
            char option;
            enum main_task task;
        } tasks[] = {{'t', TASK_CHECK},       {'d', TASK_DUMP},    {'k', TASK_KEYS},
                     {'V', TASK_VERSION},     {'h', TASK_HELP},    {'e', TASK_ENGINE},
                     {'p', TASK_KEY_PROCESS}, {'R', TASK_REFRESH}, {'n', TASK_FROM_NGINX},
                     {'N', TASK_PRINT_NGINX}};
        if (opt == '?')
            return false;
        const struct {
            char option;
            const char **place;
        } texts[] = {{'c', &o->config},    {'e', &o->starts},   {'r', &o->restarts},
                     {'T', &o->take_over}, {'b', &o->bundle},   {'K', &o->keys},
                     {'R', &o->refresh},   {'O', &o->old_keys}, {'p', &o->memory},
                     {'C', &o->channels},  {'u', &o->user},     {'g', &o->group},
                     {'n', &o->nginx},     {'o', &o->output},   {'l', &o->loaded}};
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
            if (opt == texts[i].option)
                *texts[i].place = optarg;
        o->is_successor = o->is_successor || opt == 's';
        o->only_set = o->only_set || (opt == 'd' && optarg);
        if (opt == 'd' && optarg && strcmp(optarg, "set") != 0) {
            fprintf(stderr, "mailproxyd: --dump=%s: only --dump and --dump=set are there\n",
                    optarg);
            return false;
        }
        o->is_forced = o->is_forced || opt == 'f';
        for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
            if (tasks[i].option == opt)
                main_take_task(o, tasks[i].task);
    }
    return main_agree(o, optind < argc ? argv[optind] : NULL);
}

int main(int argc, char **argv)
{
    struct main_options o = {
        .task = TASK_SERVE, .config = MAIN_CONFIG, .starts = "0", .restarts = "0"};
    process_open_standard(false);
    if (main_take_init(&argc, argv))
        return init_config(argc, argv, MAIN_CONFIG);
    if (!main_parse(argc, argv, &o)) {
        fputs(main_usage, stderr);
        return EX_USAGE;
    }
    if (o.task == TASK_SERVE || o.task == TASK_ENGINE)
        log_unblock_stderr();
    switch (o.task) {
    case TASK_ENGINE:
        return main_engine(&o);
    case TASK_KEY_PROCESS:
        return main_key_process(&o);
    case TASK_CHECK:
        return main_check(&o);
    case TASK_REFRESH:
        return main_refresh(&o);
    case TASK_DUMP:
        return main_dump(o.config, o.only_set);
    case TASK_KEYS:
        config_each_key(main_print_key, NULL);
        return 0;
    case TASK_FROM_NGINX:
        return from_nginx(o.nginx, o.output, o.is_forced);
    case TASK_PRINT_NGINX:
        return from_nginx_print_table();
    case TASK_VERSION:
        puts("mailproxyd " MAILPROXY_VERSION);
        return 0;
    case TASK_HELP:
        fputs(main_usage, stdout);
        return 0;
    case TASK_SERVE:
        break;
    }
    sandbox_enter_supervisor();
    return o.take_over ? supervisor_take_over(o.config, argv[0])
                       : supervisor_run(o.config, argv[0]);
}
