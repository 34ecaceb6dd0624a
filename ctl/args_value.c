/* SPDX-License-Identifier: ISC */
/* Checks of single values. */
#include "ctl/args_value.h"

#include <inttypes.h>

#include "base/addr.h"
#include "ctl/times.h"

/* "yes", "no", "true", "on", "0"...; false for other words. */
static bool args_value_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool yes;
    } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_ieq(str_of(text), str_of(words[i].word))) {
            *ret = words[i].yes;
            return true;
        }
    return false;
}

static int args_value_bad(const struct command_arg *arg, const char *text, const char *want,
                          const char *hint, struct problem *problem)
{
    char name[64];
    commands_dashed(name, sizeof(name), arg->name);
    return problem_usage(problem, hint, "%s: %s is not %s", name, *text ? text : "an empty text",
                         want);
}

static int args_value_field(const struct command *c, const char *text, json_t **ret,
                            struct problem *problem)
{
    const char *name = text + (*text == '-');
    const struct command_column *col = commands_column(c, name);
    if (!col) {
        const char *near = commands_nearest_column(c, name);
        AUTO_FREE char *hint = near ? str_printf("%s?", near) : NULL;
        return problem_usage(problem, hint, "%s %s has no column %s", c->noun, c->verb, name);
    }
    *ret = json_sprintf("%s%s", *text == '-' ? "-" : "", col->name);
    return 0;
}

/* A text of which the table lists the words. */
static int args_value_word(const struct command_arg *arg, const char *text, json_t **ret,
                           struct problem *problem)
{
    char words[16][32];
    const char *names[16];
    size_t n = 0;
    for (const char *rest = arg->help; *rest && n < ARRAY_LEN(words); n++) {
        (void)str_copy(words[n], sizeof(words[n]), commands_next_word(&rest));
        names[n] = words[n];
        if (strcmp(words[n], text) == 0) {
            *ret = json_string(text);
            return 0;
        }
    }
    AUTO_FREE char *hint = NULL;
    const char *near = str_nearest(text, names, n);
    if (near)
        hint = str_printf("%s?", near);
    AUTO_FREE char *want = str_printf("one of: %s", arg->help);
    return args_value_bad(arg, text, want ? want : "known", hint, problem);
}

/* --since, --until and --for take a time as well as a length; the daemon is told a length. */
static int args_value_time(const struct command *c, const struct command_arg *arg, const char *text,
                           json_t **ret, struct problem *problem)
{
    uint64_t ms;
    bool is_past = c->flags & COMMANDS_LIST;
    int err = times_parse(str_of(text), is_past, time(NULL), &ms);
    AUTO_FREE char *number = str_printf("%ss, %sm or %sh?", text, text, text);
    uint64_t n;
    if (err == -ERR_RANGE)
        return args_value_bad(arg, text, is_past ? "in the past" : "in the future", NULL, problem);
    if (err < 0)
        return args_value_bad(arg, text,
                              is_past ? "a length such as 30m or 2h, or a time such as 09:00, "
                                        "2026-11-28 14:00 or yesterday"
                                      : "a length such as 30m or 2h, or a time such as 18:00, "
                                        "2030-12-24 14:00 or tomorrow",
                              str_to_u64(str_of(text), UINT64_MAX, &n) == 0 ? number : NULL,
                              problem);
    *ret = json_sprintf("%" PRIu64 "ms", ms);
    return *ret ? 0 : problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
}

int args_value(const struct command *c, const struct command_arg *arg, const char *text,
               json_t **ret, struct problem *problem)
{
    struct str s = str_of(text);
    AUTO_FREE char *hint = NULL;
    struct addr_net net;
    struct addr addr;
    uint64_t n;
    bool yes;
    json_t *v = NULL;
    int code = 0;
    switch (arg->type) {
    case COMMANDS_NUMBER:
    case COMMANDS_PERCENT:
        if (commands_parse(arg->type, s, &n) < 0)
            return args_value_bad(arg, text, commands_want(arg->type), NULL, problem);
        v = json_integer((json_int_t)n);
        break;
    case COMMANDS_DURATION:
    case COMMANDS_SIZE:
        if (commands_parse(arg->type, s, &n) == 0) {
            v = json_string(text);
            break;
        }
        if (arg->type == COMMANDS_DURATION &&
            (strcmp(arg->name, "since") == 0 || strcmp(arg->name, "until") == 0 ||
             strcmp(arg->name, "for") == 0))
            return args_value_time(c, arg, text, ret, problem);
        if (arg->type == COMMANDS_DURATION && str_to_u64(s, UINT64_MAX, &n) == 0)
            hint = str_printf("%ss, %sm or %sh?", text, text, text);
        return args_value_bad(arg, text, commands_want(arg->type), hint, problem);
    case COMMANDS_BOOL:
        if (!args_value_bool(text, &yes))
            return args_value_bad(arg, text, "yes or no", NULL, problem);
        v = json_boolean(yes);
        break;
    case COMMANDS_FIELD:
        code = args_value_field(c, text, &v, problem);
        break;
    case COMMANDS_ADDRESS:
        if (addr_net_parse(s, &net) && addr_parse(s, &addr))
            return args_value_bad(arg, text, "an address or network", "10.0.0.0/8, ::1?", problem);
        v = json_string(text);
        break;
    default:
        if (!str_is_utf8(s))
            return args_value_bad(arg, "the value", "UTF-8 text", NULL, problem);
        if (commands_has_words(arg))
            code = args_value_word(arg, text, &v, problem);
        else
            v = json_string(text);
        break;
    }
    if (!code && !v)
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    if (!code)
        *ret = v;
    return code;
}

/* ---- filters ---- */

char *args_value_filter(const struct command *c, const json_t *words)
{
    CLEANUP(commands_filter_fini) struct commands_filter filter = {BUF_INIT, BUF_INIT};
    size_t i;
    json_t *item;
    json_array_foreach (words, i, item) {
        const char *word = json_string_value(item);
        const char *value = strpbrk(word, "=<>");
        if (value)
            value += strspn(value, "=<>");
        /* `client=Apple Mail`: the shell took the quotes away. Several terms in one word stay as
         * they are. */
        bool has_lost_quotes = value && strpbrk(value, " \t") && !strpbrk(value, "\"=<>");
        AUTO_FREE char *quoted =
            has_lost_quotes ? str_printf("%.*s\"%s\"", (int)(value - word), word, value) : NULL;
        if ((has_lost_quotes && !quoted) ||
            commands_filter_add(c, &filter, quoted ? quoted : word) < 0)
            return NULL;
    }
    return commands_filter_join(c, &filter) < 0 ? NULL : buf_steal(&filter.terms);
}
