/* SPDX-License-Identifier: ISC */
/* Words and options of the command line. */
#include "ctl/args.h"

#include "base/buf.h"
#include "base/units.h"
#include "ctl/args_value.h"

#define ARGS_TIMEOUT_MS 30000
#define ARGS_WATCH_MS 2000

static const char *const formats[] = {
    [ARGS_TABLE] = "table", [ARGS_TSV] = "tsv", [ARGS_JSON] = "json",
    [ARGS_JSONL] = "jsonl", [ARGS_ID] = "id",
};

static const struct args_global globals[] = {
    {'s', "socket", "PATH",
     "control socket, or ssh://[user@]host[:port][/socket]; several times: several daemons, with a "
     "node column and totals"},
    {0, "fleet", NULL,
     "on all nodes of the daemon's fleet, with a node column; those that could not be reached are "
     "named, and the exit code is 7"},
    {0, "node", "NAME", "on that node of the fleet (fleet list)"},
    {'o', "output", "FORMAT", "table, tsv, json, jsonl or id; table on a terminal, tsv otherwise"},
    {0, "json", NULL, "the same as -o json"},
    {'c', "columns", "LIST",
     "columns a,b; all; or +a for one more. On a terminal that has no room for them a row is a "
     "block of lines"},
    {0, "sort", "COLUMN", "sort by a column, -COLUMN for descending"},
    {0, "limit", "N", "at most N rows"},
    {'H', "no-header", NULL, "no line of titles"},
    {'w', "watch", "[SECS]", "repeat every SECS seconds (2) until Ctrl-C"},
    {'y', "yes", NULL, "do not ask before destructive commands"},
    {0, "wait", "[=TIME]",
     "wait until the operation is over, no longer than TIME, and show its progress"},
    {0, "allow-empty", NULL, "a filter that matches nothing is no failure"},
    {0, "timeout", "TIME", "wait this long for each answer (30s), beyond a --grace"},
    {'f', "file", "FILE", "run the commands of a file, one a line; - = stdin"},
    {0, "save", "FILE", "what a stream brings goes into a new file that only you can read"},
    {0, "keep-going", NULL, "with -f: go on after a failure"},
    {'q', "quiet", NULL, "say nothing when it worked"},
    {'h', "help", NULL, "help for what was given so far"},
    {0, "schema", NULL, "print the JSON Schema of what a command prints with -o json"},
    {'V', "version", NULL, "print the version"},
};

/* Position in the words, and what is being filled. */
struct args_parser {
    struct args *a;
    const char *const *words;
    size_t n, i;
    bool is_wait_verb;        /* op wait: op show --wait, and --timeout is about the whole */
    const char **positionals; /* room for all words */
    size_t n_positionals;
    struct problem *problem;
};

const struct args_global *args_globals(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(globals);
    return globals;
}

const char *args_format_name(size_t i)
{
    return i + ARGS_TABLE < ARRAY_LEN(formats) ? formats[i + ARGS_TABLE] : NULL;
}

void args_options_init(struct args_options *o)
{
    const char *socket = getenv("MAILPROXY_SOCKET");
    *o = (struct args_options){.timeout_ms = ARGS_TIMEOUT_MS};
    o->sockets[0] = socket && *socket ? socket : CLIENT_SOCKET_DEFAULT;
}

void args_fini(struct args *a)
{
    json_decref(a->params);
    *a = (struct args){0};
}

/* ---- global options ---- */

static int args_take_format(struct args_options *o, const char *text, struct problem *problem)
{
    for (size_t i = ARGS_TABLE; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i], text) == 0) {
            o->format = (enum args_format)i;
            return 0;
        }
    AUTO_FREE char *hint = NULL;
    const char *near = str_nearest(text, formats + ARGS_TABLE, ARRAY_LEN(formats) - ARGS_TABLE);
    if (near)
        hint = str_printf("%s?", near);
    return problem_usage(problem, hint,
                         "no output format %s; there are table, tsv, json, jsonl, id", text);
}

/* Bare numbers are seconds here: --watch 5, --watch 0.5 */
static bool args_take_seconds(const char *text, uint64_t *ret_ms)
{
    uint64_t whole, part = 0;
    struct str rest = str_of(text);
    struct str left = str_cut(&rest, '.');
    if (str_to_u64(left, UINT64_MAX / 1000 - 1, &whole) < 0)
        return false;
    if (strchr(text, '.') && (rest.n > 3 || str_to_u64(rest, 999, &part) < 0))
        return false;
    for (size_t i = rest.n; i > 0 && i < 3; i++)
        part *= 10;
    *ret_ms = whole * 1000 + part;
    return true;
}

static int args_take_time(const char *name, const char *text, uint64_t *ret_ms,
                          struct problem *problem)
{
    uint64_t v;
    if (!args_take_seconds(text, &v) && units_parse_duration(str_of(text), &v))
        return problem_usage(problem, NULL, "%s: %s is not a duration such as 5 or 500ms", name,
                             text);
    *ret_ms = v;
    return 0;
}

static int args_take_flag(struct args_options *o, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"no-header", &o->no_header},   {"yes", &o->yes},
        {"quiet", &o->quiet},           {"help", &o->help},
        {"schema", &o->schema},         {"version", &o->version},
        {"keep-going", &o->keep_going}, {"allow-empty", &o->allow_empty},
        {"fleet", &o->is_fleet},
    };
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (strcmp(flags[i].name, name) == 0)
            *flags[i].flag = true;
    if (strcmp(name, "json") == 0)
        o->format = ARGS_JSON;
    return 0;
}

/* value is NULL for options without one. */
static int args_take_global(struct args_parser *p, const struct args_global *g, const char *value)
{
    struct args_options *o = &p->a->options;
    if (strcmp(g->name, "socket") == 0) {
        if (o->n_sockets == ARGS_SOCKETS_MAX)
            return problem_usage(p->problem, NULL, "more than %d sockets", ARGS_SOCKETS_MAX);
        o->sockets[o->n_sockets++] = value;
        return 0;
    }
    if (strcmp(g->name, "output") == 0)
        return args_take_format(o, value, p->problem);
    if (strcmp(g->name, "limit") == 0) {
        if (str_to_u64(str_of(value), INT64_MAX, &o->limit) || o->limit == 0)
            return problem_usage(p->problem, NULL, "limit: %s is not a number above 0", value);
        return 0;
    }
    if (strcmp(g->name, "timeout") == 0)
        return args_take_time(g->name, value, &o->timeout_ms, p->problem);
    if (strcmp(g->name, "columns") == 0)
        o->columns = value;
    else if (strcmp(g->name, "sort") == 0)
        o->sort = value;
    else if (strcmp(g->name, "node") == 0)
        o->node = value;
    else if (strcmp(g->name, "file") == 0)
        o->file = value;
    else if (strcmp(g->name, "save") == 0)
        o->save = value;
    else if (strcmp(g->name, "wait") == 0) {
        o->wait = true;
        return value ? args_take_time(g->name, value, &o->wait_ms, p->problem) : 0;
    } else if (strcmp(g->name, "watch") == 0) {
        o->is_watch = true;
        o->watch_ms = ARGS_WATCH_MS;
        int code = value ? args_take_time(g->name, value, &o->watch_ms, p->problem) : 0;
        if (!code && o->watch_ms < 100)
            o->watch_ms = 100;
        return code;
    }
    return args_take_flag(o, g->name);
}

static const struct args_global *args_global_find(const char *name, char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(globals); i++)
        if ((name && commands_name_eq(globals[i].name, name)) ||
            (letter && globals[i].letter == letter))
            return &globals[i];
    return NULL;
}

/* The value of an option: behind '=', or the next word. NULL when there is none. */
static const char *args_next_value(struct args_parser *p, const char *attached)
{
    if (attached)
        return attached;
    return p->i < p->n ? p->words[p->i++] : NULL;
}

static int args_global_option(struct args_parser *p, const struct args_global *g,
                              const char *attached)
{
    const char *value = NULL;
    if (g->value && g->value[0] == '[') {
        /* The next word is the value only when it looks like a time. */
        const char *next = g->value[1] != '=' && p->i < p->n ? p->words[p->i] : NULL;
        uint64_t ms;
        bool is_next =
            next && (args_take_seconds(next, &ms) || units_parse_duration(str_of(next), &ms) == 0);
        if (attached || is_next)
            value = args_next_value(p, attached);
    } else if (g->value) {
        value = args_next_value(p, attached);
        if (!value || !*value)
            return problem_usage(p->problem, NULL, "--%s needs a value: %s", g->name, g->value);
    } else if (attached) {
        return problem_usage(p->problem, NULL, "--%s takes no value", g->name);
    }
    return args_take_global(p, g, value);
}

/* ---- options of the command ---- */

static int args_refuse_secret(struct args_parser *p, const struct command_arg *arg)
{
    char name[64];
    commands_dashed(name, sizeof(name), arg->name);
    AUTO_FREE char *hint =
        str_printf("use --%s (asks), --%s-stdin or --%s-file FILE", name, name, name);
    return problem_usage(p->problem, hint,
                         "a secret on the command line can be seen by every user of this machine");
}

static int args_add_secret(struct args_parser *p, const struct command_arg *arg,
                           enum args_secret_source source, const char *path)
{
    struct args *a = p->a;
    for (size_t i = 0; i < a->n_secrets; i++)
        if (a->secrets[i].arg == arg)
            return problem_usage(p->problem, NULL, "%s is given twice", arg->name);
    if (a->n_secrets == ARGS_SECRETS_MAX)
        return problem_usage(p->problem, NULL, "too many secrets");
    a->secrets[a->n_secrets++] = (struct args_secret){arg, source, path};
    return 0;
}

static int args_set(struct args_parser *p, const struct command_arg *arg, const char *text)
{
    json_t *v = NULL;
    const struct command *c = p->a->command;
    json_t *before = json_object_get(p->a->params, arg->name);
    bool is_many = arg->flags & COMMANDS_MANY;
    if (arg->type == COMMANDS_FILE) {
        p->a->file_arg = arg;
        p->a->file_path = text;
        return 0;
    }
    if (before && !is_many)
        return problem_usage(p->problem, NULL, "%s is given twice", arg->name);
    int code = 0;
    if (arg->type == COMMANDS_FILTER)
        v = json_string(text);
    else
        code = args_value(c, arg, text, &v, p->problem);
    if (code)
        return code;
    if (is_many) {
        if (!before)
            json_object_set_new(p->a->params, arg->name, json_array());
        return json_array_append_new(json_object_get(p->a->params, arg->name), v)
                   ? problem_usage(p->problem, NULL, "%s is not UTF-8 text", arg->name)
                   : 0;
    }
    return json_object_set_new(p->a->params, arg->name, v)
               ? problem_usage(p->problem, NULL, "%s is not UTF-8 text", arg->name)
               : 0;
}

/* --NAME-stdin and --NAME-file of a secret. *ret_found tells whether it was one. */
static int args_secret_option(struct args_parser *p, const char *name, const char *attached,
                              bool *ret_found)
{
    static const struct {
        const char *suffix;
        enum args_secret_source source;
    } kinds[] = {{"-stdin", ARGS_SECRET_STDIN}, {"-file", ARGS_SECRET_FILE}};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t n = strlen(name), s = strlen(kinds[k].suffix);
        if (n <= s || !commands_name_eq(name + n - s, kinds[k].suffix))
            continue;
        AUTO_FREE char *base = str_dup((struct str){name, n - s});
        const struct command_arg *arg = base ? commands_arg(p->a->command, base) : NULL;
        if (!arg || arg->type != COMMANDS_SECRET)
            continue;
        *ret_found = true;
        const char *path = NULL;
        if (kinds[k].source == ARGS_SECRET_FILE && !(path = args_next_value(p, attached)))
            return problem_usage(p->problem, NULL, "--%s needs the name of a file", name);
        return args_add_secret(p, arg, kinds[k].source, path);
    }
    return 0;
}

static int args_command_option(struct args_parser *p, const struct command_arg *arg,
                               const char *name, const char *attached)
{
    if (arg->type == COMMANDS_SECRET)
        return attached ? args_refuse_secret(p, arg)
                        : args_add_secret(p, arg, ARGS_SECRET_PROMPT, NULL);
    if (arg->type == COMMANDS_BOOL)
        return args_set(p, arg, attached ? attached : "yes");
    const char *value = args_next_value(p, attached);
    if (!value)
        return problem_usage(p->problem, NULL, "--%s needs a value: %s", name,
                             commands_type_word(arg->type));
    return args_set(p, arg, value);
}

static int args_unknown_option(struct args_parser *p, const char *name)
{
    const char *names[128];
    char dashed[64][64];
    size_t n = 0, n_args = 0;
    const struct command_arg *arg = p->a->command ? commands_args(p->a->command, &n_args) : NULL;
    for (size_t i = 0; i < n_args && n < ARRAY_LEN(dashed); i++, n++) {
        commands_dashed(dashed[n], sizeof(dashed[n]), arg[i].name);
        names[n] = dashed[n];
    }
    for (size_t i = 0; i < ARRAY_LEN(globals); i++)
        names[n++] = globals[i].name;
    AUTO_FREE char *hint = NULL;
    const char *near = str_nearest(name, names, n);
    if (near)
        hint = str_printf("--%s?", near);
    if (p->a->command)
        return problem_usage(p->problem, hint, "%s %s has no option --%s", p->a->command->noun,
                             p->a->command->verb, name);
    return problem_usage(p->problem, hint, "there is no option --%s before a command", name);
}

static int args_long_option(struct args_parser *p, const char *word)
{
    const char *attached = strchr(word, '=');
    AUTO_FREE char *name =
        str_dup((struct str){word, attached ? (size_t)(attached - word) : strlen(word)});
    if (!name)
        return problem_set(p->problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    attached = attached ? attached + 1 : NULL;
    const struct command *c = p->a->command;
    const struct args_global *g = args_global_find(name, 0);
    const struct command_arg *arg = c ? commands_arg(c, name) : NULL;
    /* How long something holds has two names that people try. */
    const char *other = strcmp(name, "for") == 0     ? "until"
                        : strcmp(name, "until") == 0 ? "for"
                                                     : NULL;
    if (c && !arg && other)
        arg = commands_arg(c, other);
    /* Both: the daemon sorts and limits where it can; args_finish passes them on. */
    bool is_shared = strcmp(name, "sort") == 0 || strcmp(name, "limit") == 0;
    if (arg && !(g && is_shared))
        return args_command_option(p, arg, name, attached);
    if (g)
        return args_global_option(p, g, attached);
    if (c && strncmp(name, "no-", 3) == 0) {
        arg = commands_arg(c, name + 3);
        if (arg && arg->type == COMMANDS_BOOL && !attached)
            return args_set(p, arg, "no");
    }
    bool is_found = false;
    int code = c ? args_secret_option(p, name, attached, &is_found) : 0;
    return is_found ? code : args_unknown_option(p, name);
}

static int args_short_options(struct args_parser *p, const char *word)
{
    for (const char *s = word; *s; s++) {
        const struct args_global *g = args_global_find(NULL, *s);
        if (!g)
            return problem_usage(p->problem, "mailproxyctl --help", "there is no option -%c", *s);
        if (g->value)
            return args_global_option(p, g, s[1] ? s + 1 : NULL);
        int code = args_global_option(p, g, NULL);
        if (code)
            return code;
    }
    return 0;
}

/* ---- words ---- */

static int args_first_word(struct args_parser *p, const char *word)
{
    struct args *a = p->a;
    bool is_plural = false;
    if (strcmp(word, "help") == 0) {
        a->options.help = true;
        return 0;
    }
    a->command = commands_shortcut(word);
    a->noun = a->command ? a->command->noun : commands_noun(word, &is_plural);
    if (!a->noun) {
        AUTO_FREE char *hint = NULL;
        const char *near = commands_nearest_noun(word);
        hint = near ? str_printf("%s?", near) : str_dup_c("mailproxyctl --help");
        return problem_usage(p->problem, hint, "there is no command %s", word);
    }
    if (!is_plural)
        return 0;
    /* "users list" means what "users" does; anything else belongs to the list. */
    if (p->i < p->n && commands_find(a->noun, p->words[p->i]))
        return 0;
    a->command = commands_default(a->noun);
    return 0;
}

/* Gives the words to the positional arguments, in order. */
static int args_place(struct args_parser *p)
{
    size_t n, used = 0;
    const struct command *c = p->a->command;
    const struct command_arg *arg = commands_args(c, &n);
    for (size_t i = 0; i < n; i++) {
        if (!(arg[i].flags & COMMANDS_POSITIONAL))
            continue;
        size_t take = arg[i].flags & COMMANDS_MANY ? p->n_positionals - used : 1;
        for (; take && used < p->n_positionals; take--) {
            int code = args_set(p, &arg[i], p->positionals[used++]);
            if (code)
                return code;
        }
    }
    if (used == p->n_positionals)
        return 0;
    const struct command_arg *secret = commands_arg_of(c, COMMANDS_SECRET);
    if (secret)
        return args_refuse_secret(p, secret);
    AUTO_FREE char *hint = str_printf("mailproxyctl %s %s --help", c->noun, c->verb);
    return problem_usage(p->problem, hint, "%s %s: there is no place for %s", c->noun, c->verb,
                         p->positionals[used]);
}

static int args_check_needed(struct args_parser *p)
{
    size_t n;
    const struct command *c = p->a->command;
    const struct command_arg *arg = commands_args(c, &n);
    for (size_t i = 0; i < n; i++) {
        bool is_there = json_object_get(p->a->params, arg[i].name) || p->a->file_arg == &arg[i];
        for (size_t k = 0; k < p->a->n_secrets; k++)
            is_there = is_there || p->a->secrets[k].arg == &arg[i];
        if (is_there || !(arg[i].flags & COMMANDS_NEEDED))
            continue;
        if (arg[i].type == COMMANDS_SECRET) {
            int code = args_add_secret(p, &arg[i], ARGS_SECRET_PROMPT, NULL);
            if (code)
                return code;
            continue;
        }
        AUTO_FREE char *hint = str_printf("mailproxyctl %s %s --help", c->noun, c->verb);
        return problem_usage(p->problem, hint, "%s %s needs %s: %s", c->noun, c->verb, arg[i].name,
                             arg[i].help);
    }
    return 0;
}

/* Filters become one text; --sort and --limit go to the daemon where it takes them. */
static int args_finish(struct args_parser *p)
{
    struct args *a = p->a;
    const struct command *c = a->command;
    size_t n;
    const struct command_arg *arg = commands_args(c, &n);
    for (size_t i = 0; i < n; i++) {
        json_t *words = json_object_get(a->params, arg[i].name);
        if (arg[i].type != COMMANDS_FILTER || !json_is_array(words))
            continue;
        AUTO_FREE char *text = args_value_filter(c, words);
        if (!text || json_object_set_new(a->params, arg[i].name, json_string(text)))
            return problem_usage(p->problem, NULL, "%s is not UTF-8 text", arg[i].name);
    }
    /* By the node: here, after all have answered. */
    const char *sort = a->options.sort;
    bool is_by_node = sort && strcmp(sort + (*sort == '-'), "node") == 0;
    if (sort && (!is_by_node || commands_column(c, "node"))) {
        static const struct command_arg any = {.name = "sort", .type = COMMANDS_FIELD};
        json_t *v = NULL;
        int code = args_value(c, &any, a->options.sort, &v, p->problem);
        if (code)
            return code;
        if (commands_arg(c, "sort"))
            json_object_set(a->params, "sort", v);
        json_decref(v);
    }
    if (a->options.limit && commands_arg(c, "limit"))
        json_object_set_new(a->params, "limit", json_integer((json_int_t)a->options.limit));
    return args_check_needed(p);
}

/* A word where names stand. `user kick state=locked` would end the sessions of nobody: such a
 * command takes a filter by --filter, and a name that looks like one behind "--". */
static int args_name(struct args_parser *p, const char *word, bool is_literal)
{
    const struct command *c = p->a->command, *list = commands_find(c->noun, "list");
    const struct command_arg *filter = commands_arg(c, "filter");
    const char *field = word + (*word == '!');
    size_t n = strcspn(field, "=<>");
    if (!is_literal && field[n] && list && filter && !(filter->flags & COMMANDS_POSITIONAL)) {
        AUTO_FREE char *name = str_dup(str_n(field, n));
        AUTO_FREE char *hint = str_printf("--filter '%s', or -- before a name", word);
        if (name && commands_column(list, name))
            return problem_usage(p->problem, hint, "%s looks like a filter", word);
    }
    p->positionals[p->n_positionals++] = word;
    return 0;
}

static int args_words(struct args_parser *p)
{
    struct args *a = p->a;
    bool is_over = false;
    int code = 0;
    while (p->i < p->n && !code) {
        const char *word = p->words[p->i++];
        if (!is_over && strcmp(word, "--") == 0) {
            is_over = true;
        } else if (!is_over && strncmp(word, "--", 2) == 0) {
            code = args_long_option(p, word + 2);
        } else if (!is_over && word[0] == '-' && word[1]) {
            code = args_short_options(p, word + 1);
        } else if (!a->noun) {
            code = args_first_word(p, word);
        } else if (a->command) {
            code = args_name(p, word, is_over);
        } else if (strcmp(a->noun, "op") == 0 && strcmp(word, "wait") == 0) {
            a->command = commands_find("op", "show");
            a->options.wait = p->is_wait_verb = true;
        } else if (!(a->command = commands_find(a->noun, word))) {
            const char *near = commands_nearest_verb(a->noun, word);
            AUTO_FREE char *hint =
                near ? str_printf("%s?", near) : str_printf("mailproxyctl %s --help", a->noun);
            code = problem_usage(p->problem, hint, "%s has no verb %s", a->noun, word);
        }
    }
    return code;
}

int args_parse(struct args *ret, const struct args_options *defaults, size_t n,
               const char *const *words, struct problem *problem)
{
    struct args_parser p = {.a = ret, .words = words, .n = n, .problem = problem};
    *ret = (struct args){.options = *defaults, .params = json_object()};
    /* Sockets given here replace those of the defaults. */
    ret->options.n_sockets = 0;
    AUTO_FREE const char **positionals = calloc(n + 1, sizeof(*positionals));
    p.positionals = positionals;
    if (!ret->params || !positionals)
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    uint64_t timeout_ms = ret->options.timeout_ms;
    int code = args_words(&p);
    if (p.is_wait_verb && ret->options.timeout_ms != timeout_ms) {
        ret->options.wait_ms = ret->options.timeout_ms;
        ret->options.timeout_ms = timeout_ms;
    }
    if (ret->options.n_sockets == 0) {
        memcpy(ret->options.sockets, defaults->sockets, sizeof(defaults->sockets));
        ret->options.n_sockets = defaults->n_sockets ? defaults->n_sockets : 1;
    }
    if (code || ret->options.help || ret->options.schema || ret->options.version)
        return code;
    if (!ret->command && ret->options.file && !ret->noun)
        return 0;
    if (!ret->command && ret->noun)
        ret->command = commands_default(ret->noun);
    if (!ret->command && ret->noun)
        return problem_usage(problem, NULL, "%s needs a verb; mailproxyctl %s --help lists them",
                             ret->noun, ret->noun);
    if (!ret->command)
        return problem_usage(problem, "mailproxyctl --help", "no command given");
    code = args_place(&p);
    return code ? code : args_finish(&p);
}
