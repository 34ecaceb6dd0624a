/* SPDX-License-Identifier: ISC */
/* Checks of single values. */
#include "ctl/args_value.h"

#include <inttypes.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/units.h"

bool args_value_bool(const char *text, bool *ret)
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
        AUTO_FREE char *hint = NULL;
        const char *near = commands_nearest_column(c, name);
        if (near)
            hint = str_printf("%s?", near);
        return problem_usage(problem, hint, "%s %s has no column %s", c->noun, c->verb, name);
    }
    AUTO_FREE char *sent = str_printf("%s%s", *text == '-' ? "-" : "", col->name);
    *ret = sent ? json_string(sent) : NULL;
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
        if (str_to_u64(s, INT64_MAX, &n))
            return args_value_bad(arg, text, "a whole number", NULL, problem);
        v = json_integer((json_int_t)n);
        break;
    case COMMANDS_DURATION:
        if (units_parse_duration(s, &n)) {
            if (str_to_u64(s, UINT64_MAX, &n) == 0)
                hint = str_printf("%ss, %sm or %sh?", text, text, text);
            return args_value_bad(arg, text, "a duration such as 30s, 5m or 1h", hint, problem);
        }
        v = json_string(text);
        break;
    case COMMANDS_SIZE:
        if (units_parse_size(s, &n))
            return args_value_bad(arg, text, "a size such as 64k or 10m", NULL, problem);
        v = json_string(text);
        break;
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

/* The column that names the rows: id, name; NULL when the first column is none. */
static const char *args_filter_key(const struct command *c)
{
    size_t n;
    const struct command *list = commands_find(c->noun, "list");
    const struct command_column *col = commands_columns(list ? list : c, &n);
    if (n == 0 || col[0].unit != COMMANDS_TEXT)
        return NULL;
    return col[0].name;
}

char *args_value_filter(const struct command *c, const json_t *words)
{
    AUTO_BUF out = BUF_INIT;
    AUTO_BUF names = BUF_INIT;
    const char *key = args_filter_key(c);
    size_t i;
    json_t *item;
    int err = 0;
    json_array_foreach (words, i, item) {
        const char *word = json_string_value(item);
        const char *value = strpbrk(word, "=<>");
        bool is_name = key && word[0] != '!' && !value && !strpbrk(word, " \t\"");
        struct buf *to = is_name ? &names : &out;
        if (value)
            value += strspn(value, "=<>");
        /* `client=Apple Mail`: the shell took the quotes away. Several terms in one word stay as
         * they are. */
        bool has_lost_quotes = value && strpbrk(value, " \t") && !strpbrk(value, "\"=<>");
        if (!err && to->len)
            err = buf_append_char(to, is_name ? ',' : ' ');
        if (!err)
            err = has_lost_quotes ? buf_printf(to, "%.*s\"%s\"", (int)(value - word), word, value)
                                  : buf_append_c(to, word);
    }
    if (!err && names.len)
        err = buf_printf(&out, "%s%s=%s", out.len ? " " : "", key, buf_cstr(&names));
    return err ? NULL : buf_steal(&out);
}
