/* SPDX-License-Identifier: ISC */
/* The tables of the manual pages. */
#include "base/cleanup.h"
#include "ctl/args.h"
#include "ctl/help.h"
#include "ctl/schema.h"

#define HELP_NOUNS_MAX 64

/* Text that man(7) prints as it is: no requests, no escapes, real minus signs. */
static void help_put(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", f);
        else if (*s == '-')
            fputs("\\-", f);
        else if (*s == '\'')
            fputs("\\(aq", f);
        else
            fputc(*s, f);
    }
}

static void help_item(FILE *f, const char *term, const char *value, const char *text)
{
    fputs(".TP\n\\fB", f);
    help_put(f, term);
    fputs("\\fR", f);
    if (value) {
        fputs(value[1] == '=' ? "\\fI" : " \\fI", f);
        help_put(f, value);
        fputs("\\fR", f);
    }
    fputc('\n', f);
    help_put(f, text);
    fputc('\n', f);
}

static void help_manual_args(FILE *f, const struct command *c)
{
    size_t n;
    const struct command_arg *arg = commands_args(c, &n);
    if (n == 0)
        return;
    fputs(".RS\n", f);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        commands_dashed(name, sizeof(name), arg[i].name);
        bool is_secret = arg[i].type == COMMANDS_SECRET;
        AUTO_FREE char *text = str_printf("%s%s", arg[i].help, is_secret ? HELP_SECRET : "");
        AUTO_FREE char *term = NULL;
        if (is_secret)
            term = str_printf("--%s, --%s-stdin, --%s-file FILE", name, name, name);
        else
            term = str_printf("--%s", name);
        bool has_value = !is_secret && arg[i].type != COMMANDS_BOOL;
        help_item(f, term ? term : name, has_value ? commands_type_word(arg[i].type) : NULL,
                  text ? text : arg[i].help);
    }
    fputs(".RE\n", f);
}

static void help_manual_command(FILE *f, const struct command *c)
{
    AUTO_FREE char *usage = help_usage(c);
    fputs(".TP\n\\fB", f);
    help_put(f, usage ? usage : c->method);
    fputs("\\fR\n", f);
    help_put(f, c->detail);
    fprintf(f, " Role: %s.\n", role_name(c->role));
    help_manual_args(f, c);
    fputs(".IP\n.nf\n", f);
    for (size_t i = 0;; i++) {
        AUTO_FREE char *example = help_example(c, i);
        if (!example)
            break;
        fputs("\\f(CWmailproxyctl ", f);
        help_put(f, example);
        fputs("\\fR\n", f);
    }
    fputs(".fi\n", f);
}

void help_manual(FILE *f)
{
    const char *nouns[HELP_NOUNS_MAX];
    size_t n_nouns = commands_nouns(nouns, HELP_NOUNS_MAX), n, n_globals;
    const struct command *c = commands_all(&n);
    const struct args_global *g = args_globals(&n_globals);
    fputs(".SH OPTIONS\nThey may stand anywhere on the command line.\n", f);
    for (size_t i = 0; i < n_globals; i++) {
        AUTO_FREE char *term = g[i].letter ? str_printf("-%c, --%s", g[i].letter, g[i].name)
                                           : str_printf("--%s", g[i].name);
        help_item(f, term ? term : g[i].name, g[i].value, g[i].help);
    }
    fputs(".SH COMMANDS\n", f);
    for (size_t k = 0; k < n_nouns; k++) {
        fprintf(f, ".SS %s\n", nouns[k]);
        for (size_t i = 0; i < n; i++)
            if (strcmp(c[i].noun, nouns[k]) == 0)
                help_manual_command(f, &c[i]);
    }
}

/* ---- the wire ---- */

static const char *help_json_type(const struct command_arg *arg)
{
    if (arg->type == COMMANDS_NUMBER || arg->type == COMMANDS_PERCENT)
        return "integer";
    if (arg->type == COMMANDS_BOOL)
        return "boolean";
    if (arg->type == COMMANDS_DURATION)
        return "string (30s) or integer (ms)";
    if (arg->type == COMMANDS_SIZE)
        return "string (10m) or integer (bytes)";
    return arg->flags & COMMANDS_MANY && arg->type != COMMANDS_FILTER ? "array of strings"
                                                                      : "string";
}

/* What a number counts, behind its JSON type. */
static const char *help_measure(enum commands_type unit)
{
    static const char *const measures[] = {
        [COMMANDS_SIZE] = ", bytes",
        [COMMANDS_DURATION] = ", ms",
        [COMMANDS_LATENCY] = ", ms",
        [COMMANDS_TIME] = ", Unix time in ms",
        [COMMANDS_CLOCK] = ", Unix time in ms",
    };
    return unit < ARRAY_LEN(measures) && measures[unit] ? measures[unit] : "";
}

static void help_control_command(FILE *f, const struct command *c)
{
    size_t n_args, n_columns;
    const struct command_arg *arg = commands_args(c, &n_args);
    const struct command_column *col = commands_columns(c, &n_columns);
    const char *answer = c->flags & COMMANDS_LIST  ? "A list: rows, more, cursor."
                         : c->flags & COMMANDS_ONE ? "One object."
                         : c->flags & COMMANDS_STREAM
                             ? "A stream: then notifications until stream.cancel."
                             : "An outcome: count, perhaps changed, message, rows, ids.";
    fprintf(f, ".SS %s\n", c->method);
    help_put(f, c->detail);
    fprintf(f, " Role: %s. %s\n", role_name(c->role), answer);
    if (n_args)
        fputs(".PP\nParameters:\n.RS\n", f);
    for (size_t i = 0; i < n_args; i++) {
        AUTO_FREE char *type = str_printf("%s%s", help_json_type(&arg[i]),
                                          arg[i].flags & COMMANDS_NEEDED ? ", needed" : "");
        help_item(f, arg[i].name, type, arg[i].help);
    }
    if (n_args)
        fputs(".RE\n", f);
    if (n_columns)
        fputs(".PP\nMembers of the answer:\n.RS\n", f);
    for (size_t i = 0; i < n_columns; i++) {
        AUTO_FREE char *type =
            str_printf("%s%s", schema_type(col[i].unit), help_measure(col[i].unit));
        help_item(f, col[i].name, type, col[i].help);
    }
    if (n_columns)
        fputs(".RE\n", f);
}

void help_manual_control(FILE *f)
{
    size_t n;
    const struct command *c = commands_all(&n);
    fputs(".SH METHODS\n", f);
    for (size_t i = 0; i < n; i++)
        help_control_command(f, &c[i]);
    fputs(".SH ERRORS\n", f);
    for (int err = ERR_OK + 1; err < ERR_COUNT; err++)
        help_item(f, err_name(err), NULL, err_text(err));
}
