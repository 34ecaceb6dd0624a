/* SPDX-License-Identifier: ISC */
/* Options, the file and the words around a first configuration. */
#include "init_config.h"

#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/os/output.h"
#include "check_access.h"
#include "config/config.h"
#include "init/init_ask.h"
#include "init/init_write.h"

#define INIT_OPTION 1000 /* + enum init_id: what getopt_long returns */

struct init_options {
    struct init_answers answers;
    const char *output;
    bool is_forced, is_help, is_silent; /* nobody is asked */
};

static void print_usage(FILE *out, const char *path)
{
    fprintf(out,
            "usage: mailproxyd --init [-o FILE [--force]] [--no-questions] [OPTIONS]\n"
            "Writes a small configuration. What no option says is asked on a terminal.\n"
            "  -o, --output FILE       the file, - = standard output; without the option\n"
            "                          %s\n"
            "  -c, --config FILE       the same\n"
            "      --force             replace the file when it is there\n"
            "      --no-questions      ask nothing, also on a terminal\n",
            path);
    for (int id = 0; id < INIT_COUNT; id++) {
        const struct init_question *q = init_question(id);
        int used = fprintf(out, "      --%s %s", q->option, q->argument);
        fprintf(out, "%*s%s\n", used < 26 ? 26 - used : 1, "", q->help);
    }
}

static bool parse_answer(struct init_options *o, enum init_id id, const char *value)
{
    AUTO_FREE char *wrong = NULL;
    if (init_answer(&o->answers, id, value, &wrong) < 0)
        fprintf(stderr, "mailproxyd: --%s: \"%s\" %s\n", init_question(id)->option, value,
                wrong ? wrong : err_text(-ERR_NOMEM));
    return o->answers.v[id] && !wrong;
}

/* False: what is wrong was said. */
static bool parse_options(int argc, char **argv, struct init_options *o)
{
    /* The file of the daemon's own -c is the one that is to be written. */
    struct option longs[INIT_COUNT + 6] = {{"output", required_argument, NULL, 'o'},
                                           {"config", required_argument, NULL, 'o'},
                                           {"force", no_argument, NULL, 'f'},
                                           {"no-questions", no_argument, NULL, 'n'},
                                           {"help", no_argument, NULL, 'h'}};
    int opt;
    for (int id = 0; id < INIT_COUNT; id++)
        longs[5 + id] =
            (struct option){init_question(id)->option, required_argument, NULL, INIT_OPTION + id};
    while ((opt = getopt_long(argc, argv, "o:c:h", longs, NULL)) != -1) {
        if (opt == '?' || (opt >= INIT_OPTION && !parse_answer(o, opt - INIT_OPTION, optarg)))
            return false;
        if (opt == 'o' || opt == 'c')
            o->output = optarg;
        o->is_forced = o->is_forced || opt == 'f';
        o->is_silent = o->is_silent || opt == 'n';
        o->is_help = o->is_help || opt == 'h';
    }
    if (optind < argc)
        fprintf(stderr, "mailproxyd: unexpected argument %s\n", argv[optind]);
    return optind == argc;
}

/* Folders that only this configuration has; the system's are systemd's to make. */
static int make_folder(const char *path)
{
    AUTO_FREE char *part = str_dup_c(path);
    if (!part)
        return -ERR_NOMEM;
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(part, 0755);
        *p = '/';
    }
    struct stat st;
    (void)mkdir(part, 0750);
    return stat(part, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : -ERR_NOT_FOUND;
}

static void say_next(const struct init_options *o, const char *path, bool is_valid)
{
    const struct init_answers *a = &o->answers;
    bool is_users = str_eq(init_text(a, INIT_AUTH), STR("users"));
    const char *folder = a->v[INIT_FOLDER];
    AUTO_FREE char *socket =
        str_printf(folder ? " -s %s/control.sock" : "%s", folder ? folder : "");
    printf("%s is written%s\n", path, is_valid ? " and valid. Next:" : ", but not valid yet:");
    if (!is_valid)
        printf("  mend what stands above, then: mailproxyd -t -c %s\n", path);
    else if (folder)
        printf("  mailproxyd -c %s\n", path);
    else
        printf("  systemctl enable --now mailproxy\n");
    printf("  mailproxyctl%s backends        # are the mail servers up?\n", socket ? socket : "");
    if (is_users)
        printf("  mailproxyctl%s user add NAME   # it asks for the password\n",
               socket ? socket : "");
    printf("  mailproxy-tui%s                # see it live\n", socket ? socket : "");
}

/* Writes the file, or prints it. */
static int write_file(const struct init_options *o, const char *path)
{
    AUTO_BUF text = BUF_INIT;
    const char *folder = o->answers.v[INIT_FOLDER];
    int err = init_write(&o->answers, &text);
    if (err < 0)
        return EX_OSERR;
    if (strcmp(path, "-") == 0)
        return fwrite(text.data + text.start, 1, text.len, stdout) == text.len &&
                       fflush(stdout) == 0
                   ? 0
                   : EX_OSERR;
    if (folder && make_folder(folder) < 0) {
        fprintf(stderr, "mailproxyd: %s: cannot be made\n", folder);
        return EX_CANTCREAT;
    }
    err = output_write(path, o->is_forced, buf_str(&text));
    if (err < 0) {
        fprintf(stderr, "mailproxyd: %s: %s%s\n", path, err_text(err), output_hint(path, err));
        return EX_CANTCREAT;
    }
    /* As mailproxyd -t looks at it. */
    struct config_problems problems = {0};
    struct config *c = NULL;
    err = config_load_to_start(path, &c, &problems);
    if (err == 0)
        err = check_access(c, &problems);
    config_unref(c);
    config_problems_say(&problems);
    say_next(o, path, err == 0);
    return err < 0 ? EX_CONFIG : 0;
}

static int run(struct init_options *o, const char *path)
{
    struct init_machine machine;
    enum init_id missing = INIT_COUNT;
    bool is_file = strcmp(path, "-") != 0;
    int err = is_file ? output_check(path, o->is_forced) : 0;
    if (err < 0) { /* before anybody is asked anything */
        fprintf(stderr, "mailproxyd: %s: %s%s\n", path, err_text(err), output_hint(path, err));
        return EX_CANTCREAT;
    }
    init_machine_get(&machine);
    bool is_asked = !o->is_silent && isatty(STDIN_FILENO);
    err = init_ask(&o->answers, &machine, is_asked ? stdin : NULL, stderr, &missing);
    if (err == -ERR_MISSING_PARAM)
        fprintf(stderr, "mailproxyd: --%s is missing: %s\n", init_question(missing)->option,
                init_question(missing)->help);
    else if (err < 0)
        fprintf(stderr, "mailproxyd: nothing is written: %s\n", err_text(err));
    if (err < 0)
        return err == -ERR_NOMEM ? EX_OSERR : EX_USAGE;
    return write_file(o, path);
}

int init_config(int argc, char **argv, const char *path)
{
    struct init_options o = {0};
    int status = EX_USAGE;
    if (!parse_options(argc, argv, &o))
        fputs("mailproxyd --init -h lists the options\n", stderr);
    else if (o.is_help) {
        print_usage(stdout, path);
        status = 0;
    } else
        status = run(&o, o.output ? o.output : path);
    init_answers_fini(&o.answers);
    return status;
}
