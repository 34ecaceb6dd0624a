/* SPDX-License-Identifier: ISC */
/* The command table, made of commands.def, and the words that people use for its rows. */
#include "rpc/commands.h"

#include <ctype.h>

#include "base/cleanup.h"
#include "base/units.h"

/* The words of the table's flag columns, as values. */
enum {
    LIST = COMMANDS_LIST,
    ONE = COMMANDS_ONE,
    STREAM = COMMANDS_STREAM,
    DESTRUCTIVE = COMMANDS_DESTRUCTIVE,
    ASKS = COMMANDS_ASKS,
    CHANGES = COMMANDS_CHANGES,
    ASYNC = COMMANDS_ASYNC,
    OLD = COMMANDS_OLD,
    NEWEST = COMMANDS_NEWEST,
    NEEDED = COMMANDS_NEEDED,
    POSITIONAL = COMMANDS_POSITIONAL,
    MANY = COMMANDS_MANY,
    DEFAULT = 0,
    WIDE = 1,
    SOME = 2,
};

enum command_id {
#define COMMAND(noun, verb, ...) COMMAND_##noun##_##verb,
#include "rpc/commands.def"
};

static const struct command commands[] = {
#define COMMAND(noun, verb, role, flags, summary, detail)                                          \
    {#noun, #verb, #noun "." #verb, ROLE_##role, flags, summary, detail},
#include "rpc/commands.def"
};

static const unsigned char reaches[sizeof(commands) / sizeof(commands[0])] = {
#define REACH(noun, verb, where) [COMMAND_##noun##_##verb] = COMMAND_REACH_##where,
#include "rpc/commands.def"
};

static const unsigned char fleets[sizeof(commands) / sizeof(commands[0])] = {
#define FLEET(noun, verb, when) [COMMAND_##noun##_##verb] = COMMAND_FLEET_##when,
#include "rpc/commands.def"
};

static const struct command_arg args[] = {
#define ARG(noun, verb, name, type, flags, help)                                                   \
    {COMMAND_##noun##_##verb, #name, COMMANDS_##type, flags, help},
#include "rpc/commands.def"
};

static const struct command_column columns[] = {
#define COLUMN(noun, verb, name, unit, shown, title, help)                                         \
    {COMMAND_##noun##_##verb, name, COMMANDS_##unit, (shown) == WIDE, (shown) == SOME, title, help},
#include "rpc/commands.def"
};

static const struct {
    enum command_id command;
    const char *words;
} examples[] = {
#define EXAMPLE(noun, verb, words) {COMMAND_##noun##_##verb, words},
#include "rpc/commands.def"
};

static const struct {
    enum command_id command;
    const char *column, *words;
} values[] = {
#define VALUES(noun, verb, column, words) {COMMAND_##noun##_##verb, column, words},
#include "rpc/commands.def"
};

/* Words that people try, for nouns. */
static const struct {
    const char *word, *noun, *plural;
} nouns[] = {
    {"session", "session", "sessions"},
    {"user", "user", "users"},
    {"backend", "backend", "backends"},
    {"pool", "pool", "pools"},
    {"listener", "listener", "listeners"},
    {"event", "event", "events"},
    {"audit", "audit", "audits"},
    {"route", "route", "routes"},
    {"ban", "ban", "bans"},
    {"limit", "limit", "limits"},
    {"op", "op", "ops"},
    {"operation", "op", "operations"},
    {"conf", "config", NULL},
    {"stats", "stats", "stats"},
    {"stat", "stats", NULL},
    {"sys", "system", NULL},
    {"server", "backend", "servers"},
};

static const struct {
    const char *word, *verb;
} verbs[] = {
    {"ls", "list"},       {"get", "show"},     {"info", "show"},       {"rm", "remove"},
    {"delete", "remove"}, {"del", "remove"},   {"new", "add"},         {"change", "set"},
    {"enable", "ready"},  {"test", "explain"}, {"password", "passwd"},
};

static const struct {
    const char *word;
    enum command_id id;
} shortcuts[] = {
    {"status", COMMAND_system_status},   {"whoami", COMMAND_system_whoami},
    {"metrics", COMMAND_system_metrics}, {"who", COMMAND_session_list},
    {"reload", COMMAND_config_reload},   {"explain", COMMAND_route_explain},
};

#define NAMES_MAX 128

const struct command *commands_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(commands);
    return commands;
}

enum command_reach commands_reach(const struct command *c)
{
    return (enum command_reach)reaches[commands_index(c)];
}

enum command_fleet commands_fleet(const struct command *c)
{
    return c->flags & COMMANDS_STREAM ? COMMAND_FLEET_NOT
                                      : (enum command_fleet)fleets[commands_index(c)];
}

size_t commands_index(const struct command *c)
{
    return (size_t)(c - commands);
}

const struct command_arg *commands_args(const struct command *c, size_t *ret_n)
{
    const struct command_arg *first = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < ARRAY_LEN(args); i++)
        if (args[i].command == (int)commands_index(c)) {
            first = first ? first : &args[i];
            (*ret_n)++;
        }
    return first;
}

const char *commands_example(const struct command *c, size_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(examples); k++)
        if (examples[k].command == commands_index(c) && i-- == 0)
            return examples[k].words;
    return NULL;
}

const struct command_column *commands_columns(const struct command *c, size_t *ret_n)
{
    const struct command_column *first = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (columns[i].command == (int)commands_index(c)) {
            first = first ? first : &columns[i];
            (*ret_n)++;
        }
    return first;
}

const struct command_column *commands_column_at(size_t i)
{
    return &columns[i];
}

size_t commands_column_index(const struct command_column *col)
{
    return (size_t)(col - columns);
}

bool commands_name_eq(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    return !*a && !*b;
}

void commands_dashed(char *dst, size_t size, const char *name)
{
    str_copy(dst, size, str_of(name));
    for (; *dst; dst++)
        if (*dst == '_')
            *dst = '-';
}

static const struct command *commands_exact(const char *noun, const char *verb)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands_name_eq(noun, commands[i].noun) && commands_name_eq(verb, commands[i].verb))
            return &commands[i];
    return NULL;
}

const struct command *commands_find_method(const char *method)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].method, method) == 0)
            return &commands[i];
    return NULL;
}

const struct command *commands_find(const char *noun, const char *verb)
{
    const struct command *c = commands_exact(noun, verb);
    for (size_t i = 0; !c && i < ARRAY_LEN(verbs); i++)
        if (commands_name_eq(verb, verbs[i].word))
            c = commands_exact(noun, verbs[i].verb);
    return c;
}

const struct command_arg *commands_arg(const struct command *c, const char *name)
{
    size_t n;
    const struct command_arg *a = commands_args(c, &n);
    for (size_t i = 0; i < n; i++)
        if (commands_name_eq(name, a[i].name))
            return &a[i];
    return NULL;
}

const struct command_arg *commands_arg_of(const struct command *c, enum commands_type type)
{
    size_t n;
    const struct command_arg *a = commands_args(c, &n);
    for (size_t i = 0; i < n; i++)
        if (a[i].type == type)
            return &a[i];
    return NULL;
}

const struct command_column *commands_column_of(const struct command *c, enum commands_type unit)
{
    size_t n;
    const struct command_column *col = commands_columns(c, &n);
    for (size_t i = 0; i < n; i++)
        if (col[i].unit == unit)
            return &col[i];
    return NULL;
}

const struct command_column *commands_column(const struct command *c, const char *name)
{
    size_t n;
    const struct command_column *col = commands_columns(c, &n);
    for (size_t i = 0; i < n; i++)
        if (commands_name_eq(name, col[i].name))
            return &col[i];
    return NULL;
}

size_t commands_nouns(const char **ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(commands) && n < max; i++) {
        bool is_known = false;
        for (size_t j = 0; j < n; j++)
            is_known = is_known || strcmp(ret[j], commands[i].noun) == 0;
        if (!is_known)
            ret[n++] = commands[i].noun;
    }
    return n;
}

static const char *commands_has_noun(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].noun, word) == 0)
            return commands[i].noun;
    return NULL;
}

const char *commands_noun(const char *word, bool *ret_is_plural)
{
    const char *noun = commands_has_noun(word);
    bool is_plural = false;
    for (size_t i = 0; !is_plural && i < ARRAY_LEN(nouns); i++) {
        is_plural = nouns[i].plural && strcmp(word, nouns[i].plural) == 0;
        if (!noun && (is_plural || strcmp(word, nouns[i].word) == 0))
            noun = commands_has_noun(nouns[i].noun);
    }
    if (noun && ret_is_plural)
        *ret_is_plural = is_plural;
    return noun;
}

const char *commands_plural(const char *noun)
{
    for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
        if (strcmp(noun, nouns[i].word) == 0)
            return nouns[i].plural;
    return NULL;
}

const struct command *commands_default(const char *noun)
{
    const struct command *c = commands_exact(noun, "list");
    if (!c)
        c = commands_exact(noun, "watch");
    if (!c)
        c = commands_exact(noun, "show");
    for (size_t i = 0; !c && i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].noun, noun) == 0) {
            bool is_only = i + 1 == ARRAY_LEN(commands) || strcmp(commands[i + 1].noun, noun) != 0;
            return is_only ? &commands[i] : NULL;
        }
    return c;
}

const struct command *commands_shortcut(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(shortcuts); i++)
        if (strcmp(word, shortcuts[i].word) == 0)
            return &commands[shortcuts[i].id];
    return NULL;
}

const char *commands_shortcut_word(size_t i)
{
    return i < ARRAY_LEN(shortcuts) ? shortcuts[i].word : NULL;
}

const char *commands_nearest_noun(const char *word)
{
    const char *names[NAMES_MAX];
    size_t n = commands_nouns(names, NAMES_MAX / 2);
    for (size_t i = 0; i < ARRAY_LEN(nouns) && n < NAMES_MAX - ARRAY_LEN(shortcuts); i++)
        if (nouns[i].plural && commands_has_noun(nouns[i].noun))
            names[n++] = nouns[i].plural;
    for (size_t i = 0; i < ARRAY_LEN(shortcuts); i++)
        names[n++] = shortcuts[i].word;
    return str_nearest(word, names, n);
}

const char *commands_nearest_verb(const char *noun, const char *word)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(commands) && n < NAMES_MAX; i++)
        if (strcmp(commands[i].noun, noun) == 0)
            names[n++] = commands[i].verb;
    return str_nearest(word, names, n);
}

const char *commands_nearest_column(const struct command *c, const char *word)
{
    const char *names[NAMES_MAX];
    size_t n;
    const struct command_column *col = commands_columns(c, &n);
    n = n < NAMES_MAX ? n : NAMES_MAX;
    for (size_t i = 0; i < n; i++)
        names[i] = col[i].name;
    return str_nearest(word, names, n);
}

int commands_parse(enum commands_type type, struct str text, uint64_t *ret)
{
    int err = type == COMMANDS_DURATION ? units_parse_duration(text, ret)
              : type == COMMANDS_SIZE   ? units_parse_size(text, ret)
                                        : str_to_u64(text, INT64_MAX, ret);
    return err < 0 || *ret > INT64_MAX ? -ERR_SYNTAX : 0;
}

const char *commands_want(enum commands_type type)
{
    return type == COMMANDS_DURATION ? "a duration such as 30s, 5m or 1h"
           : type == COMMANDS_SIZE   ? "a size such as 64k or 10m"
                                     : "a whole number from 0 on";
}

/* ---- filters in words ---- */

void commands_filter_fini(struct commands_filter *f)
{
    buf_fini(&f->terms);
    buf_fini(&f->names);
}

/* The column that names the rows of a noun, id or name; NULL when the first column is none. */
static const char *filter_key(const struct command *c)
{
    size_t n;
    const struct command *list = commands_find(c->noun, "list");
    const struct command_column *col = commands_columns(list ? list : c, &n);
    return n > 0 && col[0].unit == COMMANDS_TEXT ? col[0].name : NULL;
}

int commands_filter_add(const struct command *c, struct commands_filter *f, const char *word)
{
    bool is_name = filter_key(c) && word[0] && word[0] != '!' && !strpbrk(word, "=<> \t\"");
    struct buf *to = is_name ? &f->names : &f->terms;
    if (to->len > 0 && buf_append_char(to, is_name ? ',' : ' ') < 0)
        return -ERR_NOMEM;
    return buf_append_c(to, word);
}

int commands_filter_join(const struct command *c, struct commands_filter *f)
{
    if (f->names.len == 0)
        return 0;
    const char *names = buf_cstr(&f->names);
    return names ? buf_printf(&f->terms, "%s%s=%s", f->terms.len ? " " : "", filter_key(c), names)
                 : -ERR_NOMEM;
}

const char *role_name(enum role role)
{
    static const char *const names[] = {"viewer", "operator", "admin"};
    return role < ROLE_VIEWER ? "none" : names[role];
}

const char *commands_type_word(enum commands_type type)
{
    static const char *const words[] = {
        [COMMANDS_TEXT] = "TEXT",         [COMMANDS_NUMBER] = "N",
        [COMMANDS_DURATION] = "TIME",     [COMMANDS_SIZE] = "SIZE",
        [COMMANDS_BOOL] = "yes|no",       [COMMANDS_SECRET] = "SECRET",
        [COMMANDS_USER] = "USER",         [COMMANDS_SESSION] = "SESSION",
        [COMMANDS_BACKEND] = "BACKEND",   [COMMANDS_POOL] = "POOL",
        [COMMANDS_LISTENER] = "LISTENER", [COMMANDS_FILTER] = "FILTER",
        [COMMANDS_FIELD] = "COLUMN",      [COMMANDS_FILE] = "FILE",
        [COMMANDS_ADDRESS] = "ADDRESS",   [COMMANDS_IP] = "IP",
        [COMMANDS_TIME] = "TIME",         [COMMANDS_PERCENT] = "PERCENT",
        [COMMANDS_CLOCK] = "TIME",        [COMMANDS_LATENCY] = "TIME",
    };
    return words[type];
}

struct str commands_next_word(const char **rest)
{
    const char *p = *rest;
    struct str word = {p, 0};
    while (islower((unsigned char)p[word.n]) || isdigit((unsigned char)p[word.n]) ||
           p[word.n] == '-')
        word.n++;
    p += word.n;
    if (word.n && p[0] == ' ' && p[1] == '(') {
        p += strcspn(p, ")");
        p += *p == ')';
    }
    if (strncmp(p, ", ", 2) == 0)
        p += 2;
    else if (strncmp(p, " or ", 4) == 0)
        p += 4;
    else if (*p)
        return STR_NULL;
    *rest = p;
    return word;
}

bool commands_has_words(const struct command_arg *arg)
{
    const char *rest = arg->help;
    size_t n = 0;
    if (arg->type != COMMANDS_TEXT)
        return false;
    while (*rest) {
        if (commands_next_word(&rest).n == 0)
            return false;
        n++;
    }
    return n > 1;
}

struct str commands_value(const struct command_column *col, size_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(values); k++) {
        if ((int)values[k].command != col->command || strcmp(values[k].column, col->name) != 0)
            continue;
        struct str value = STR_NULL;
        const char *rest = values[k].words;
        for (size_t n = 0; n <= i; n++) {
            /* "running, partly done or failed": cuts the first. */
            const char *p = rest, *comma = strstr(p, ", "), * or = strstr(p, " or ");
            const char *end = comma ? comma : or ? or : p + strlen(p);
            rest = end + (comma ? 2 : or ? 4 : 0);
            value = str_n(p, (size_t)(end - p));
        }
        return value;
    }
    return STR_NULL;
}
