/* SPDX-License-Identifier: ISC */
/* Help on the terminal. */
#include "ctl/help.h"

#include "base/buf.h"
#include "ctl/args.h"

#define HELP_WIDTH 24
#define HELP_LINE 79
#define HELP_NOUNS_MAX 64

/* ---- examples ---- */

static const char *help_sample(const struct command *c, const struct command_arg *arg)
{
    static const char *const samples[] = {
        [COMMANDS_NUMBER] = "50",      [COMMANDS_DURATION] = "10m",
        [COMMANDS_SIZE] = "10m",       [COMMANDS_USER] = "anna@example.org",
        [COMMANDS_SESSION] = "3-1a2b", [COMMANDS_BACKEND] = "b1",
        [COMMANDS_POOL] = "main",      [COMMANDS_LISTENER] = "imaps",
        [COMMANDS_FILE] = "users.csv", [COMMANDS_ADDRESS] = "192.0.2.0/24",
        [COMMANDS_FIELD] = "name",     [COMMANDS_PERCENT] = "50",
    };
    if (arg->type < ARRAY_LEN(samples) && samples[arg->type])
        return samples[arg->type];
    static const struct {
        const char *name, *sample;
    } named[] = {{"host", "192.0.2.11"},
                 {"user", "anna@example.org"},
                 {"subject", "192.0.2.7"},
                 {"id", "12"}};
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if (strcmp(arg->name, named[i].name) == 0)
            return named[i].sample;
    if (strcmp(c->noun, "user") == 0)
        return "anna@example.org";
    return strcmp(c->noun, "backend") == 0 ? "b3" : "VALUE";
}

/* Appends the example that a filter's help holds behind its colon, as a shell takes it: sessions>10
 * would write a file, and zsh and fish refuse a * that matches no file. */
static int help_filter_sample(const struct command_arg *arg, struct buf *out)
{
    const char *colon = strstr(arg->help, ": ");
    struct str rest = str_of(colon ? colon + 2 : "user=*@example.org idle>30m");
    int err = 0;
    while (rest.n && !err) {
        struct str word = str_cut(&rest, ' ');
        AUTO_FREE char *text = str_dup(word);
        const char *quote = text && strpbrk(text, "*?<>!") ? "'" : "";
        err = text ? buf_printf(out, " %s%s%s", quote, text, quote) : -ERR_NOMEM;
    }
    return err;
}

static int help_example_words(const struct command *c, struct buf *out)
{
    size_t n;
    const struct command_arg *arg = commands_args(c, &n);
    int err = buf_printf(out, "%s ", c->noun);
    char verb[64];
    commands_dashed(verb, sizeof(verb), c->verb);
    if (!err)
        err = buf_append_c(out, verb);
    for (size_t i = 0; i < n && !err; i++) {
        const char *rest = arg[i].help;
        if (!(arg[i].flags & COMMANDS_POSITIONAL) || !(arg[i].flags & COMMANDS_NEEDED))
            continue;
        struct str word = commands_has_words(&arg[i]) ? commands_next_word(&rest)
                                                      : str_of(help_sample(c, &arg[i]));
        err = buf_printf(out, " %.*s", STR_ARG(word));
    }
    return err;
}

/* The kinds of examples; each knows whether it fits a command. */
static bool help_example_plain(const struct command *c, struct buf *out)
{
    /* What changes something is refused without a filter. */
    bool fits = !(c->flags & COMMANDS_CHANGES && commands_arg_of(c, COMMANDS_FILTER));
    return fits && help_example_words(c, out) == 0;
}

static bool help_example_filter(const struct command *c, struct buf *out)
{
    const struct command_arg *arg = commands_arg_of(c, COMMANDS_FILTER);
    return arg && help_example_words(c, out) == 0 && help_filter_sample(arg, out) == 0;
}

static bool help_example_dry(const struct command *c, struct buf *out)
{
    const struct command_arg *arg = commands_arg_of(c, COMMANDS_FILTER);
    if (!commands_arg(c, "dry_run") || help_example_words(c, out))
        return false;
    if (arg && help_filter_sample(arg, out))
        return false;
    return buf_append_c(out, " --dry-run") == 0;
}

static bool help_example_secret(const struct command *c, struct buf *out)
{
    const struct command_arg *arg = commands_arg_of(c, COMMANDS_SECRET);
    return arg && help_example_words(c, out) == 0 &&
           buf_printf(out, " --%s-stdin < secret.txt", arg->name) == 0;
}

static bool help_example_reason(const struct command *c, struct buf *out)
{
    return commands_arg(c, "reason") && !commands_arg_of(c, COMMANDS_FILTER) &&
           help_example_words(c, out) == 0 && buf_append_c(out, " --reason 'ticket 4711'") == 0;
}

static bool help_example_json(const struct command *c, struct buf *out)
{
    return c->flags & (COMMANDS_LIST | COMMANDS_ONE | COMMANDS_STREAM) &&
           !(c->flags & COMMANDS_CHANGES) && help_example_words(c, out) == 0 &&
           buf_append_c(out, c->flags & COMMANDS_ONE ? " -o json" : " -o jsonl") == 0;
}

char *help_example(const struct command *c, size_t i)
{
    if (commands_example(c, 0)) {
        char verb[64];
        const char *words = commands_example(c, i);
        commands_dashed(verb, sizeof(verb), c->verb);
        return words ? str_printf("%s %s %s", c->noun, verb, words) : NULL;
    }
    static bool (*const kinds[])(const struct command *, struct buf *) = {
        help_example_plain,  help_example_filter, help_example_dry,
        help_example_secret, help_example_reason, help_example_json,
    };
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        AUTO_BUF out = BUF_INIT;
        if (kinds[k](c, &out) && i-- == 0)
            return buf_steal(&out);
    }
    return NULL;
}

/* ---- usage ---- */

char *help_usage(const struct command *c)
{
    AUTO_BUF out = BUF_INIT;
    char word[64];
    size_t n;
    const struct command_arg *arg = commands_args(c, &n);
    commands_dashed(word, sizeof(word), c->verb);
    if (buf_printf(&out, "%s %s", c->noun, word))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        bool is_needed = arg[i].flags & COMMANDS_NEEDED;
        const char *value = arg[i].type == COMMANDS_TEXT ? NULL : commands_type_word(arg[i].type);
        if (!(arg[i].flags & COMMANDS_POSITIONAL))
            continue;
        commands_dashed(word, sizeof(word), arg[i].name);
        for (char *s = word; !value && *s; s++)
            *s = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
        if (buf_printf(&out, " %s%s%s%s", is_needed ? "" : "[", value ? value : word,
                       arg[i].flags & COMMANDS_MANY ? "..." : "", is_needed ? "" : "]"))
            return NULL;
    }
    if (buf_append_c(&out, " [OPTIONS]"))
        return NULL;
    return buf_steal(&out);
}

/* Writes words from a column on; lines that follow begin there. A word is never cut. */
static void help_wrap(FILE *f, size_t column, const char *text)
{
    size_t at = column;
    struct str rest = str_of(text);
    for (struct str word; (word = str_word(&rest)).n > 0;) {
        bool is_first = at == column;
        if (!is_first && at + 1 + word.n > HELP_LINE) {
            fprintf(f, "\n%*s", (int)column, "");
            at = column;
            is_first = true;
        }
        fprintf(f, "%s%.*s", is_first ? "" : " ", STR_ARG(word));
        at += !is_first + word.n;
    }
    fputc('\n', f);
}

static void help_line(FILE *f, const char *term, const char *text)
{
    if (strlen(term) >= HELP_WIDTH)
        fprintf(f, "  %s\n  %*s ", term, HELP_WIDTH, "");
    else
        fprintf(f, "  %-*s ", HELP_WIDTH, term);
    help_wrap(f, HELP_WIDTH + 3, text);
}

static void help_globals(FILE *f)
{
    size_t n;
    const struct args_global *g = args_globals(&n);
    for (size_t i = 0; i < n; i++) {
        char letter[8] = "    ";
        if (g[i].letter)
            snprintf(letter, sizeof(letter), "-%c, ", g[i].letter);
        AUTO_FREE char *term =
            str_printf("%s--%s%s%s", letter, g[i].name,
                       g[i].value && g[i].value[1] != '=' ? " " : "", g[i].value ? g[i].value : "");
        help_line(f, term ? term : g[i].name, g[i].help);
    }
}

static void help_arg(FILE *f, const struct command_arg *arg)
{
    char name[64];
    commands_dashed(name, sizeof(name), arg->name);
    bool is_secret = arg->type == COMMANDS_SECRET;
    AUTO_FREE char *text = str_printf("%s%s", arg->help, is_secret ? HELP_SECRET : "");
    AUTO_FREE char *term = NULL;
    if (is_secret)
        term = str_printf("--%s[-stdin|-file FILE]", name);
    else if (arg->type == COMMANDS_BOOL)
        term = str_printf("--%s", name);
    else
        term = str_printf("--%s %s", name, commands_type_word(arg->type));
    help_line(f, term ? term : name, text ? text : arg->help);
}

static void help_columns(FILE *f, const struct command *c)
{
    size_t n;
    const struct command_column *col = commands_columns(c, &n);
    if (n == 0)
        return;
    fputs("\ncolumns (* only with --columns):\n", f);
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *term = str_printf("%s%s", col[i].name, col[i].is_wide ? " *" : "");
        help_line(f, term ? term : col[i].name, col[i].help);
    }
}

static void help_command(FILE *f, const struct command *c)
{
    size_t n;
    const struct command_arg *arg = commands_args(c, &n);
    AUTO_FREE char *usage = help_usage(c);
    fprintf(f, "usage: mailproxyctl %s\n\n", usage ? usage : c->method);
    help_wrap(f, 0, c->detail);
    fprintf(f, "Needs the role %s.\n", role_name(c->role));
    fputs("\noptions:\n", f);
    for (size_t i = 0; i < n; i++)
        help_arg(f, &arg[i]);
    fputs("\nand those of every command: mailproxyctl --help\n", f);
    help_columns(f, c);
    fputs("\nexamples:\n", f);
    for (size_t i = 0;; i++) {
        AUTO_FREE char *example = help_example(c, i);
        if (!example)
            return;
        fprintf(f, "  mailproxyctl %s\n", example);
    }
}

static void help_noun(FILE *f, const char *noun)
{
    size_t n;
    const struct command *c = commands_all(&n);
    const char *plural = commands_plural(noun);
    const struct command *first = commands_default(noun);
    fprintf(f, "usage: mailproxyctl %s VERB ...\n\n", noun);
    for (size_t i = 0; i < n; i++) {
        char verb[64];
        if (strcmp(c[i].noun, noun) != 0)
            continue;
        commands_dashed(verb, sizeof(verb), c[i].verb);
        help_line(f, verb, c[i].summary);
    }
    if (plural && first)
        fprintf(f, "\nmailproxyctl %s is short for mailproxyctl %s %s.\n", plural, noun,
                first->verb);
    fprintf(f, "mailproxyctl %s VERB --help tells more.\n", noun);
}

static void help_verbs(FILE *f, const char *noun)
{
    size_t n;
    const struct command *c = commands_all(&n);
    AUTO_BUF verbs = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char verb[64];
        commands_dashed(verb, sizeof(verb), c[i].verb);
        if (strcmp(c[i].noun, noun) == 0 && buf_printf(&verbs, "%s%s", verbs.len ? ", " : "", verb))
            return;
    }
    const char *text = buf_cstr(&verbs);
    if (text)
        help_line(f, noun, text);
}

static void help_program(FILE *f)
{
    const char *nouns[HELP_NOUNS_MAX];
    size_t n = commands_nouns(nouns, HELP_NOUNS_MAX);
    fputs("usage: mailproxyctl [OPTIONS] NOUN VERB [ARGUMENTS]\n"
          "       mailproxyctl help [NOUN [VERB]] | help filter\n\n"
          "Steers a running mailproxyd through its control socket.\n\nnouns and their verbs:\n",
          f);
    for (size_t i = 0; i < n; i++)
        help_verbs(f, nouns[i]);
    AUTO_BUF shortcuts = BUF_INIT;
    for (size_t i = 0; commands_shortcut_word(i); i++)
        (void)!buf_printf(&shortcuts, "%s%s", i ? ", " : "", commands_shortcut_word(i));
    AUTO_FREE char *words =
        str_printf("A noun alone lists: mailproxyctl sessions 'user=*@example.org' "
                   "'idle>30m'. Words for short: %s.",
                   buf_cstr(&shortcuts));
    fputc('\n', f);
    help_wrap(f, 0, words ? words : "");
    fputs("\noptions:\n", f);
    help_globals(f);
    fputc('\n', f);
    help_wrap(f, 0,
              "exit codes: 0 done or already so; 1 refused or failed; 2 wrong usage; 3 nothing "
              "matched or not found; 4 not permitted; 5 daemon not reachable; 6 timeout; 7 partly "
              "done; 8 version mismatch");
    fputc('\n', f);
    help_wrap(f, 0,
              "-s ssh://[user@]host[:port][/socket] steers the daemon of another machine: ssh runs "
              "mailproxyctl pipe there. MAILPROXY_SSH names another program than ssh.");
    fputs("mailproxyctl completion bash|zsh|fish prints a completion script.\n", f);
}

void help_filter(FILE *f)
{
    fputs("A filter picks rows: of lists, of what is killed, watched or traced. It is made\n"
          "of terms FIELD OP VALUE without blanks, which all have to match. The fields are\n"
          "the columns of the list: mailproxyctl session list --help shows those of\n"
          "sessions.\n\n"
          "  user=anna@example.org      this text, in upper or lower case\n"
          "  user=*@example.org         * stands for any text, ? for one character\n"
          "  user==x*y                  exactly this text: * and ? mean themselves\n"
          "  proto=imap,pop3            one of several values\n"
          "  user!=anna   !user=anna    not; also of rows that have no such value\n"
          "  backend=                   rows without a value\n"
          "  idle>30m   idle<=1h        more or less: numbers, sizes, durations\n"
          "  in>10m                     sizes: k, m, g; durations: ms, s, m, h, d\n"
          "  ip=10.0.0.0/8              an address or a network\n"
          "  tls=no                     yes or no, where that is all\n"
          "  client=\"Some Mail 1.0\"     quotes keep blanks and commas; \\\" is a quote\n"
          "  node=mx1,mx2               rows of these proxies, when several are asked\n\n"
          "A value that the field can never have (proto=imapp) is an error.\n\nexamples:\n"
          "  mailproxyctl sessions 'user=*@example.org' proto=imap 'idle>30m'\n"
          "  mailproxyctl session kill backend=b2 '!ip=10.0.0.0/8' --dry-run\n"
          "  mailproxyctl event watch type=failure cause=auth-failed\n",
          f);
}

void help_print(FILE *f, const char *noun, const struct command *c)
{
    if (c)
        help_command(f, c);
    else if (noun)
        help_noun(f, noun);
    else
        help_program(f);
}
