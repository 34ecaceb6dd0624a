/* SPDX-License-Identifier: ISC */
/* Candidates for the word at the cursor. */
#include "ctl/complete.h"

#include <glob.h>

#include "base/buf.h"
#include "base/container/map.h"
#include "ctl/output.h"
#include "ctl/remote.h"

#define COMPLETE_NAMES 200
#define COMPLETE_TIMEOUT_MS 700
#define COMPLETE_REMOTE_MS 3000
#define COMPLETE_NOUNS_MAX 64

struct complete {
    struct run *run;
    FILE *f;
    const char *word; /* what is there of the last word */
    struct args_options options;
    const char *noun;
    const struct command *command;
    const char *option; /* the word before was an option that wants a value, without dashes */
    size_t n_positionals;
};

static void complete_offer(const struct complete *c, const char *prefix, const char *word,
                           const char *help)
{
    size_t n = strlen(prefix);
    if (strncmp(c->word, prefix, n) == 0 && str_is_prefix(str_of(word), str_of(c->word + n)))
        fprintf(c->f, "%s%s\t%s\n", prefix, word, help ? help : "");
}

/* ---- live names ---- */

static const char *complete_noun_of(enum commands_type type)
{
    switch (type) {
    case COMMANDS_USER:
        return "user";
    case COMMANDS_SESSION:
        return "session";
    case COMMANDS_BACKEND:
        return "backend";
    case COMMANDS_POOL:
        return "pool";
    case COMMANDS_LISTENER:
        return "listener";
    default:
        return NULL;
    }
}

/* Nothing that would have to be quoted, or could steer the terminal. */
static bool complete_is_plain(const char *word)
{
    for (; *word; word++)
        if ((unsigned char)*word <= ' ' || *word == 0x7f || strchr("'\"\\$`", *word))
            return false;
    return true;
}

/* Offers each value of a member once; with the row's state where the value names the row. */
static void complete_rows(const struct complete *c, const char *prefix, const char *key,
                          bool is_name, const json_t *rows, struct map *seen)
{
    size_t i;
    json_t *row;
    static char present;
    json_array_foreach ((json_t *)rows, i, row) {
        const char *name = json_string_value(json_object_get(row, key));
        const char *state = is_name ? json_string_value(json_object_get(row, "state")) : NULL;
        if (!name || !*name || !complete_is_plain(name) || map_get(seen, str_of(name)) ||
            map_put(seen, str_of(name), &present, NULL))
            continue;
        complete_offer(c, prefix, name, state && complete_is_plain(state) ? state : "");
    }
}

/* Asks the daemon for rows of a noun whose member `key` (NULL = the first one) begins with what was
 * typed behind the prefix. */
static void complete_live(const struct complete *c, const char *noun, const char *key,
                          const char *prefix)
{
    struct problem problem = {0};
    struct map seen = {0};
    const struct command *list = commands_find(noun, "list");
    size_t n = 0;
    const struct command_column *col = list ? commands_columns(list, &n) : NULL;
    if (n == 0)
        return;
    key = key ? key : col[0].name;
    bool is_name = strcmp(key, col[0].name) == 0;
    struct args a = {.options = c->options, .command = list, .params = json_object()};
    const char *typed = c->word + strlen(prefix);
    a.options.timeout_ms =
        remote_is_named(a.options.sockets[0]) ? COMPLETE_REMOTE_MS : COMPLETE_TIMEOUT_MS;
    if (commands_arg(list, "filter") && *typed && complete_is_plain(typed))
        json_object_set_new(a.params, "filter", json_sprintf("%s=%s*", key, typed));
    if (commands_arg(list, "limit"))
        json_object_set_new(a.params, "limit", json_integer(COMPLETE_NAMES));
    for (size_t i = 0; i < a.options.n_sockets; i++) {
        json_t *result = NULL;
        struct run_node *node = run_node(c->run, &a, i, &problem);
        if (node && run_call(node, &a, json_incref(a.params), &result, &problem) == 0)
            complete_rows(c, prefix, key, is_name, json_object_get(result, "rows"), &seen);
        json_decref(result);
    }
    map_fini(&seen);
    problem_fini(&problem);
    json_decref(a.params);
}

/* ---- values ---- */

static void complete_files(const struct complete *c, const char *prefix)
{
    glob_t found = {0};
    AUTO_FREE char *pattern = str_printf("%s*", c->word + strlen(prefix));
    if (pattern && glob(pattern, GLOB_MARK | GLOB_NOESCAPE, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            complete_offer(c, prefix, found.gl_pathv[i], "");
    globfree(&found);
}

static void complete_filter_value(const struct complete *c, const char *equals)
{
    static const char *const nouns[] = {"user", "backend", "session"};
    AUTO_FREE char *prefix = str_dup(str_n(c->word, (size_t)(equals - c->word) + 1));
    const char *from = c->word + (c->word[0] == '!');
    AUTO_FREE char *field = str_dup(str_n(from, (size_t)(equals - from)));
    if (!prefix || !field)
        return;
    const struct command *list = commands_find(c->noun, "list");
    const struct command_column *col = list ? commands_column(list, field) : NULL;
    if (col && !output_is_number(col->unit))
        complete_live(c, c->noun, col->name, prefix);
    /* Events cannot be listed; these members of theirs are names of other lists. */
    for (size_t i = 0; !list && i < ARRAY_LEN(nouns); i++)
        if (strcmp(field, nouns[i]) == 0)
            complete_live(c, nouns[i], NULL, prefix);
}

static void complete_filter(const struct complete *c)
{
    size_t n;
    const char *equals = strchr(c->word, '=');
    const struct command *list = commands_find(c->noun, "list");
    const struct command_column *col = commands_columns(list ? list : c->command, &n);
    const char *prefix = c->word[0] == '!' ? "!" : "";
    if (equals) {
        complete_filter_value(c, equals);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool is_amount = output_is_number(col[i].unit) && col[i].unit != COMMANDS_NUMBER;
        AUTO_FREE char *term = str_printf("%s%s", col[i].name, is_amount ? ">" : "=");
        if (term)
            complete_offer(c, prefix, term, col[i].help);
    }
}

static void complete_columns(const struct complete *c, const char *prefix)
{
    size_t n = 0;
    const struct command_column *col = c->command ? commands_columns(c->command, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        complete_offer(c, prefix, col[i].name, col[i].help);
}

static void complete_value(const struct complete *c, const struct command_arg *arg,
                           const char *prefix)
{
    const char *noun = complete_noun_of(arg->type);
    if (noun)
        complete_live(c, noun, NULL, prefix);
    else if (arg->type == COMMANDS_FILTER)
        complete_filter(c);
    else if (arg->type == COMMANDS_FILE)
        complete_files(c, prefix);
    else if (arg->type == COMMANDS_FIELD)
        complete_columns(c, c->word[strlen(prefix)] == '-' ? "-" : prefix);
    else if (commands_has_words(arg))
        for (const char *rest = arg->help; *rest;) {
            AUTO_FREE char *word = str_dup(commands_next_word(&rest));
            if (word)
                complete_offer(c, prefix, word, "");
        }
}

static void complete_global_value(const struct complete *c, const char *name, const char *prefix)
{
    if (strcmp(name, "output") == 0)
        for (size_t i = 0; args_format_name(i); i++)
            complete_offer(c, prefix, args_format_name(i), "");
    else if (strcmp(name, "socket") == 0 || strcmp(name, "file") == 0 || strcmp(name, "save") == 0)
        complete_files(c, prefix);
    else if (strcmp(name, "sort") == 0)
        complete_columns(c, c->word[strlen(prefix)] == '-' ? "-" : prefix);
    else if (strcmp(name, "columns") == 0) {
        const char *comma = strrchr(c->word, ',');
        AUTO_FREE char *before =
            str_dup(str_n(c->word, comma ? (size_t)(comma - c->word) + 1 : strlen(prefix)));
        if (before)
            complete_columns(c, before);
    }
}

/* The value of an option of the command, else of those of every command. */
static void complete_option_value(const struct complete *c, const char *name, const char *prefix)
{
    size_t n;
    const struct args_global *g = args_globals(&n);
    const struct command_arg *arg = c->command ? commands_arg(c->command, name) : NULL;
    size_t length = strlen(name);
    if (arg) {
        complete_value(c, arg, prefix);
        return;
    }
    if (length > 5 && strcmp(name + length - 5, "-file") == 0)
        complete_files(c, prefix);
    for (size_t i = 0; i < n; i++)
        if (strcmp(g[i].name, name) == 0)
            complete_global_value(c, g[i].name, prefix);
}

/* ---- names of options, nouns and verbs ---- */

static void complete_options(const struct complete *c)
{
    static const char *const suffixes[] = {"", "-stdin", "-file"}; /* more than one: of secrets */
    size_t n = 0;
    const struct command_arg *arg = c->command ? commands_args(c->command, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        char name[64];
        size_t n_suffixes = arg[i].type == COMMANDS_SECRET ? ARRAY_LEN(suffixes) : 1;
        commands_dashed(name, sizeof(name), arg[i].name);
        for (size_t k = 0; k < n_suffixes; k++) {
            AUTO_FREE char *word = str_printf("%s%s", name, suffixes[k]);
            if (word)
                complete_offer(c, "--", word, arg[i].help);
        }
    }
    const struct args_global *g = args_globals(&n);
    for (size_t i = 0; i < n; i++)
        if (!c->command || !commands_arg(c->command, g[i].name))
            complete_offer(c, "--", g[i].name, g[i].help);
}

static void complete_nouns(const struct complete *c)
{
    const char *nouns[COMPLETE_NOUNS_MAX];
    size_t n = commands_nouns(nouns, COMPLETE_NOUNS_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *plural = commands_plural(nouns[i]);
        const struct command *what = commands_default(nouns[i]);
        complete_offer(c, "", nouns[i], "");
        if (plural && what && strcmp(plural, nouns[i]) != 0)
            complete_offer(c, "", plural, what->summary);
    }
    for (size_t i = 0; commands_shortcut_word(i); i++)
        complete_offer(c, "", commands_shortcut_word(i),
                       commands_shortcut(commands_shortcut_word(i))->summary);
    complete_offer(c, "", "help", "help for a noun or verb");
    complete_offer(c, "", "completion", "print a completion script");
}

static void complete_positional(const struct complete *c)
{
    size_t n, at = 0;
    const struct command_arg *arg = commands_args(c->command, &n);
    for (size_t i = 0; i < n; i++) {
        if (!(arg[i].flags & COMMANDS_POSITIONAL))
            continue;
        if (at == c->n_positionals || arg[i].flags & COMMANDS_MANY) {
            complete_value(c, &arg[i], "");
            return;
        }
        at++;
    }
}

/* ---- what stands before the cursor ---- */

static const struct args_global *complete_global(const char *word)
{
    size_t n;
    const struct args_global *g = args_globals(&n);
    for (size_t i = 0; i < n; i++)
        if ((word[0] == '-' && word[1] == g[i].letter && g[i].letter && !word[2]) ||
            (strncmp(word, "--", 2) == 0 && strcmp(word + 2, g[i].name) == 0))
            return &g[i];
    return NULL;
}

static bool complete_wants_value(const struct complete *c, const char *word)
{
    const struct args_global *g = complete_global(word);
    if (g)
        return g->value && g->value[0] != '[';
    if (strncmp(word, "--", 2) != 0 || strchr(word, '=') || !c->command)
        return false;
    const struct command_arg *arg = commands_arg(c->command, word + 2);
    size_t n = strlen(word);
    if (!arg)
        return n > 5 && strcmp(word + n - 5, "-file") == 0;
    return arg->type != COMMANDS_BOOL && arg->type != COMMANDS_SECRET;
}

static void complete_take_word(struct complete *c, const char *word, const char *next)
{
    bool is_plural = false;
    if (c->command) {
        c->n_positionals++;
    } else if (c->noun) {
        c->command = commands_find(c->noun, word);
    } else if (strcmp(word, "help") != 0) {
        c->command = commands_shortcut(word);
        c->noun = c->command ? c->command->noun : commands_noun(word, &is_plural);
        if (is_plural && !commands_find(c->noun, next))
            c->command = commands_default(c->noun);
    }
}

void complete_print(struct run *r, FILE *f, size_t n, const char *const *words)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    struct complete c = {.run = r, .f = f, .word = n ? words[n - 1] : ""};
    args_options_init(&c.options);
    for (size_t i = 0; i + 1 < n; i++) {
        if (words[i][0] != '-' || !words[i][1]) {
            complete_take_word(&c, words[i], words[i + 1]);
        } else if (complete_wants_value(&c, words[i]) && i + 2 < n) {
            const struct args_global *g = complete_global(words[i++]);
            if (g && g->letter == 's' && c.options.n_sockets < ARGS_SOCKETS_MAX)
                c.options.sockets[c.options.n_sockets++] = words[i];
        } else if (complete_wants_value(&c, words[i])) {
            c.option = words[i];
        }
    }
    c.options.n_sockets = c.options.n_sockets ? c.options.n_sockets : 1;
    const struct args_global *g = c.option ? complete_global(c.option) : NULL;
    const char *equals = strncmp(c.word, "--", 2) == 0 ? strchr(c.word, '=') : NULL;
    if (c.option) {
        complete_option_value(&c, g ? g->name : c.option + 2, "");
    } else if (equals) {
        AUTO_FREE char *prefix = str_dup(str_n(c.word, (size_t)(equals - c.word) + 1));
        AUTO_FREE char *name = str_dup(str_n(c.word + 2, (size_t)(equals - c.word) - 2));
        if (prefix && name)
            complete_option_value(&c, name, prefix);
    } else if (c.word[0] == '-') {
        complete_options(&c);
    } else if (!c.noun && n > 1 && strcmp(words[n - 2], "completion") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(shells); i++)
            complete_offer(&c, "", shells[i], "");
    } else if (!c.noun) {
        complete_nouns(&c);
    } else if (!c.command) {
        size_t n_all;
        const struct command *all = commands_all(&n_all);
        for (size_t i = 0; i < n_all; i++) {
            char verb[64];
            commands_dashed(verb, sizeof(verb), all[i].verb);
            if (strcmp(all[i].noun, c.noun) == 0)
                complete_offer(&c, "", verb, all[i].summary);
        }
    } else {
        complete_positional(&c);
    }
}
