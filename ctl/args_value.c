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

static int args_value_number(const struct command_arg *arg, const char *text, json_t **ret,
                             struct problem *problem)
{
    uint64_t v;
    if (str_to_u64(str_of(text), INT64_MAX, &v))
        return args_value_bad(arg, text, "a whole number", NULL, problem);
    *ret = json_integer((json_int_t)v);
    return 0;
}

static int args_value_duration(const struct command_arg *arg, const char *text, json_t **ret,
                               struct problem *problem)
{
    uint64_t v;
    if (units_parse_duration(str_of(text), &v)) {
        AUTO_FREE char *hint = NULL;
        if (str_to_u64(str_of(text), UINT64_MAX, &v) == 0)
            hint = str_printf("%ss, %sm or %sh?", text, text, text);
        return args_value_bad(arg, text, "a duration such as 30s, 5m or 1h", hint, problem);
    }
    *ret = json_string(text);
    return 0;
}

static int args_value_size(const struct command_arg *arg, const char *text, json_t **ret,
                           struct problem *problem)
{
    uint64_t v;
    if (units_parse_size(str_of(text), &v))
        return args_value_bad(arg, text, "a size such as 64k or 10m", NULL, problem);
    *ret = json_string(text);
    return 0;
}

static int args_value_flag(const struct command_arg *arg, const char *text, json_t **ret,
                           struct problem *problem)
{
    bool yes;
    if (!args_value_bool(text, &yes))
        return args_value_bad(arg, text, "yes or no", NULL, problem);
    *ret = json_boolean(yes);
    return 0;
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

static int args_value_address(const struct command_arg *arg, const char *text, json_t **ret,
                              struct problem *problem)
{
    struct addr_net net;
    struct addr addr;
    if (addr_net_parse(str_of(text), &net) && addr_parse(str_of(text), &addr))
        return args_value_bad(arg, text, "an address or network", "10.0.0.0/8, ::1?", problem);
    *ret = json_string(text);
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

static int args_value_text(const struct command_arg *arg, const char *text, json_t **ret,
                           struct problem *problem)
{
    if (!str_is_utf8(str_of(text)))
        return args_value_bad(arg, "the value", "UTF-8 text", NULL, problem);
    *ret = json_string(text);
    return 0;
}

int args_value(const struct command *c, const struct command_arg *arg, const char *text,
               json_t **ret, struct problem *problem)
{
    json_t *v = NULL;
    int code;
    switch (arg->type) {
    case COMMANDS_NUMBER:
    case COMMANDS_PERCENT:
        code = args_value_number(arg, text, &v, problem);
        break;
    case COMMANDS_DURATION:
        code = args_value_duration(arg, text, &v, problem);
        break;
    case COMMANDS_SIZE:
        code = args_value_size(arg, text, &v, problem);
        break;
    case COMMANDS_BOOL:
        code = args_value_flag(arg, text, &v, problem);
        break;
    case COMMANDS_FIELD:
        code = args_value_field(c, text, &v, problem);
        break;
    case COMMANDS_ADDRESS:
        code = args_value_address(arg, text, &v, problem);
        break;
    default:
        code = commands_has_words(arg) ? args_value_word(arg, text, &v, problem)
                                       : args_value_text(arg, text, &v, problem);
        break;
    }
    if (!code && !v)
        return problem_set(problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
    if (!code)
        *ret = v;
    return code;
}

/* ---- filters ---- */

static bool args_filter_has_operator(const char *word)
{
    return strpbrk(word, "=<>") != NULL;
}

/* `client=Apple Mail`: the shell took the quotes away. Several terms in one word stay as they are.
 */
static int args_filter_append(struct buf *out, const char *word)
{
    const char *value = strpbrk(word, "=<>");
    if (value)
        value += strspn(value, "=<>");
    if (!value || !strpbrk(value, " \t") || strpbrk(value, "\"=<>"))
        return buf_append_c(out, word);
    return buf_printf(out, "%.*s\"%s\"", (int)(value - word), word, value);
}

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
        bool is_name =
            key && word[0] != '!' && !args_filter_has_operator(word) && !strpbrk(word, " \t\"");
        struct buf *to = is_name ? &names : &out;
        if (!err && to->len)
            err = buf_append_char(to, is_name ? ',' : ' ');
        if (!err)
            err = is_name ? buf_append_c(to, word) : args_filter_append(to, word);
    }
    if (!err && names.len)
        err = buf_printf(&out, "%s%s=%s", out.len ? " " : "", key, buf_cstr(&names));
    return err ? NULL : buf_steal(&out);
}
