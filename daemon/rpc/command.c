/* SPDX-License-Identifier: ISC */
/* Parameters and rows by the table of commands. */
#include "rpc/command.h"

#include "proto/reply.h"
#include "session/session.h"
#include "store/store.h"

/* How a filter compares a column of a unit. */
enum {
    FILTER_OF_TEXT = FILTER_TEXT,
    FILTER_OF_NUMBER = FILTER_NUMBER,
    FILTER_OF_SIZE = FILTER_SIZE,
    FILTER_OF_DURATION = FILTER_DURATION,
    FILTER_OF_IP = FILTER_IP,
    FILTER_OF_BOOL = FILTER_BOOL,
    FILTER_OF_TIME = FILTER_NUMBER,
    FILTER_OF_PERCENT = FILTER_NUMBER,
    FILTER_OF_CLOCK = FILTER_NUMBER,
    FILTER_OF_LATENCY = FILTER_DURATION,
};

static const char *field_word(int id, size_t i);
static int field_within(int id);

enum { FIELD_FIRST = __COUNTER__ + 1 };

/* In the order of the columns: the id of a field is its position in both. */
static const struct filter_field fields[] = {
#define COLUMN(noun, verb, name, unit, shown, title, help)                                         \
    {name,       NULL,        (enum filter_type)FILTER_OF_##unit, __COUNTER__ - FIELD_FIRST,       \
     field_word, field_within},
#include "rpc/commands.def"
};

static const struct command_column *field_column(int id)
{
    return commands_column_at((size_t)id);
}

/* ---- what fields can have ---- */

static const char *word_result(size_t i)
{
    return i == 0 ? "ok" : i < ERR_COUNT ? err_name((int)i) : NULL;
}

static const char *word_method(size_t i)
{
    size_t n;
    const struct command *all = commands_all(&n);
    return i < n ? all[i].method : NULL;
}

static const char *word_cause(size_t i)
{
    return i < REPLY_KIND_COUNT ? reply_name((enum reply_kind)i) : NULL;
}

/* Columns whose values are rows of other tables. */
static const struct {
    const char *noun, *column;
    const char *(*word)(size_t i);
} word_tables[] = {
    {"audit", "result", word_result},
    {"audit", "command", word_method},
    {"event", "cause", word_cause},
};

/* Valid until the next call in this thread. */
static const char *field_word(int id, size_t i)
{
    static _Thread_local char word[64];
    const struct command_column *col = field_column(id);
    const struct command *c = commands_all(&(size_t){0}) + col->command;
    for (size_t k = 0; k < ARRAY_LEN(word_tables); k++)
        if (strcmp(word_tables[k].noun, c->noun) == 0 &&
            strcmp(word_tables[k].column, col->name) == 0)
            return word_tables[k].word(i);
    struct str value = commands_value(col, i);
    (void)str_copy(word, sizeof(word), value);
    return value.n > 0 ? word : NULL;
}

/* A backend is one of a pool: of that in the column "pool", where there is one. */
static int field_within(int id)
{
    const struct command_column *col = field_column(id);
    const struct command *c = commands_all(&(size_t){0}) + col->command;
    bool is_own = strcmp(c->noun, "backend") == 0 && strcmp(col->name, "name") == 0;
    const struct command_column *pool =
        is_own || strcmp(col->name, "backend") == 0 ? commands_column(c, "pool") : NULL;
    return pool ? (int)commands_column_index(pool) : -1;
}

void command_failure_fini(struct command_failure *f)
{
    free(f->text);
    free(f->hint);
    *f = (struct command_failure){0};
}

const char *command_nearest(const char *method)
{
    size_t n;
    const struct command *all = commands_all(&n);
    AUTO_FREE const char **names = calloc(n, sizeof(*names));
    for (size_t i = 0; i < n && names; i++)
        names[i] = all[i].method;
    return names ? str_nearest(method, names, n) : NULL;
}

const struct filter_field *command_filter_fields(const struct command *c, size_t *ret_n)
{
    const struct command_column *first = commands_columns(c, ret_n);
    return first ? &fields[commands_column_index(first)] : NULL;
}

bool command_row_get(const void *row, int id, struct filter_value *ret)
{
    static _Thread_local struct addr addr;
    const json_t *v = json_object_get((const json_t *)row, fields[id].name);
    switch (fields[id].type) {
    case FILTER_TEXT:
        ret->text = str_n(json_string_value(v), json_string_length(v));
        return json_is_string(v);
    case FILTER_IP:
        ret->addr = &addr;
        return json_is_string(v) && addr_parse(str_of(json_string_value(v)), &addr) == 0;
    case FILTER_BOOL:
        ret->yes = json_is_true(v);
        return json_is_boolean(v);
    default:
        ret->number = (uint64_t)json_integer_value(v);
        return json_is_integer(v);
    }
}

/* ---- checking parameters ---- */

static int command_fail(struct command_failure *f, int err, const char *hint, char *text)
{
    *f = (struct command_failure){.err = err, .text = text, .hint = str_dup_c(hint)};
    return err;
}

static int check_bad(const struct command_arg *a, const char *want, struct command_failure *f)
{
    return command_fail(f, -ERR_BAD_PARAM, NULL, str_printf("%s has to be %s", a->name, want));
}

/* Words join to one filter; words that are no terms are ids or names. */
static int check_filter(const struct command *c, const struct command_arg *a, const json_t *v,
                        json_t **ret, struct command_failure *f)
{
    CLEANUP(commands_filter_fini) struct commands_filter filter = {BUF_INIT, BUF_INIT};
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        const char *word = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!word)
            return check_bad(a, "a filter text or a list of texts", f);
        err = commands_filter_add(c, &filter, word);
    }
    if (err == 0)
        err = commands_filter_join(c, &filter);
    if (err < 0)
        return command_fail(f, -ERR_NOMEM, NULL, NULL);
    *ret = json_stringn(filter.terms.len ? filter.terms.data + filter.terms.start : "",
                        filter.terms.len);
    return 0;
}

static int check_field(const struct command *c, const struct command_arg *a, const json_t *v,
                       json_t **ret, struct command_failure *f)
{
    const char *text = json_string_value(v);
    if (!text)
        return check_bad(a, "the name of a column", f);
    const char *name = text + (text[0] == '-');
    const struct command_column *col = commands_column(c, name);
    if (!col)
        return command_fail(f, -ERR_BAD_PARAM, commands_nearest_column(c, name),
                            str_printf("%s has no column of that name to sort by", c->method));
    *ret = json_sprintf("%s%s", text[0] == '-' ? "-" : "", col->name);
    return 0;
}

static int check_one(const struct command *c, const struct command_arg *a, json_t *v, json_t **ret,
                     struct command_failure *f)
{
    uint64_t n;
    char name[256];
    struct str text = str_n(json_string_value(v), json_string_length(v));
    switch (a->type) {
    case COMMANDS_DURATION:
    case COMMANDS_SIZE:
        if (json_is_string(v) && commands_parse(a->type, text, &n) == 0) {
            *ret = json_integer((json_int_t)n);
            return 0;
        } /* else the number itself */
        /* fall through */
    case COMMANDS_NUMBER:
    case COMMANDS_PERCENT:
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return check_bad(a, commands_want(a->type), f);
        break;
    case COMMANDS_BOOL:
        if (!json_is_boolean(v))
            return check_bad(a, "true or false", f);
        break;
    case COMMANDS_FIELD:
        return check_field(c, a, v, ret, f);
    case COMMANDS_USER:
        if (!json_is_string(v) || user_name_normalise(text, name) < 0)
            return check_bad(a, "a login name: 1 to 255 bytes without control characters", f);
        *ret = json_string(name);
        return 0;
    case COMMANDS_SESSION:
        if (!json_is_string(v) || session_id_parse(str_of(json_string_value(v)), &n) < 0)
            return check_bad(a, "a session id such as 1-2a", f);
        break;
    default:
        if (!json_is_string(v))
            return check_bad(a, "a text", f);
        break;
    }
    *ret = json_incref(v);
    return 0;
}

static int check_many(const struct command *c, const struct command_arg *a, json_t *v, json_t **ret,
                      struct command_failure *f)
{
    json_t *all = json_array();
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        json_t *item = NULL;
        int err = check_one(c, a, json_is_array(v) ? json_array_get(v, i) : v, &item, f);
        if (err == 0 && json_array_append_new(all, item) != 0)
            err = command_fail(f, -ERR_NOMEM, NULL, NULL);
        if (err < 0) {
            json_decref(all);
            return err;
        }
    }
    *ret = all;
    return 0;
}

static int check_arg(const struct command *c, const struct command_arg *a, json_t *v,
                     json_t *checked, struct command_failure *f)
{
    json_t *good = NULL;
    int err;
    if (a->type == COMMANDS_FILTER)
        err = check_filter(c, a, v, &good, f);
    else if (a->flags & COMMANDS_MANY)
        err = check_many(c, a, v, &good, f);
    else
        err = check_one(c, a, v, &good, f);
    if (err < 0)
        return err;
    if (json_object_set_new(checked, a->name, good) != 0)
        return command_fail(f, -ERR_BAD_PARAM, NULL, str_printf("%s is not UTF-8", a->name));
    return 0;
}

static const struct command_arg *check_find(const struct command_arg *a, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i].name, name) == 0)
            return &a[i];
    return NULL;
}

static int check_unknown(const struct command *c, const struct command_arg *a, size_t n,
                         const char *name, struct command_failure *f)
{
    AUTO_FREE const char **names = calloc(n + 1, sizeof(*names));
    for (size_t i = 0; i < n && names; i++)
        names[i] = a[i].name;
    return command_fail(f, -ERR_NO_PARAM, names ? str_nearest(name, names, n) : NULL,
                        str_printf("%s has no parameter %.64s", c->method, name));
}

static int check_all(const struct command *c, const json_t *params, json_t *checked,
                     struct command_failure *f)
{
    size_t n;
    const char *name;
    json_t *v;
    const struct command_arg *a = commands_args(c, &n);
    json_object_foreach ((json_t *)params, name, v) {
        const struct command_arg *found = check_find(a, n, name);
        int err = found ? check_arg(c, found, v, checked, f) : check_unknown(c, a, n, name, f);
        if (err < 0)
            return err;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *given = json_object_get(checked, a[i].name);
        bool is_there = given && !(json_is_array(given) && json_array_size(given) == 0);
        if ((a[i].flags & COMMANDS_NEEDED) && !is_there)
            return command_fail(f, -ERR_MISSING_PARAM, a[i].name,
                                str_printf("%s needs %s", c->method, a[i].name));
    }
    return 0;
}

int command_check(const struct command *c, const json_t *params, json_t **ret_params,
                  struct command_failure *ret_failure)
{
    json_t *checked = json_object();
    if (!checked)
        return command_fail(ret_failure, -ERR_NOMEM, NULL, NULL);
    int err = params ? check_all(c, params, checked, ret_failure)
                     : check_all(c, checked, checked, ret_failure);
    if (err < 0)
        json_decref(checked);
    else
        *ret_params = checked;
    return err;
}

/* ---- masking ---- */

static int mask_one(struct buf *out, const json_t *v)
{
    AUTO_FREE char *text = NULL;
    if (json_is_string(v))
        return buf_append_c(out, json_string_value(v));
    text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? buf_append_c(out, text) : -ERR_NOMEM;
}

int command_mask(const struct command *c, const json_t *params, struct buf *out)
{
    size_t n;
    const char *name;
    json_t *v;
    const struct command_arg *a = commands_args(c, &n);
    if (!json_is_object(params))
        return 0;
    json_object_foreach ((json_t *)params, name, v) {
        const struct command_arg *found = check_find(a, n, name);
        bool is_open = found && found->type != COMMANDS_SECRET && found->type != COMMANDS_FILE;
        if (strcmp(name, "reason") == 0)
            continue;
        int err = buf_printf(out, "%s%s=", out->len ? " " : "", name);
        if (err == 0 && !is_open)
            err = buf_append_c(out, "***");
        else if (err == 0 && !json_is_array(v))
            err = mask_one(out, v);
        /* Several as an operator would type them: "a,b". */
        for (size_t i = 0; err == 0 && is_open && i < json_array_size(v); i++) {
            err = i ? buf_append_char(out, ',') : 0;
            err = err == 0 ? mask_one(out, json_array_get(v, i)) : err;
        }
        if (err < 0)
            return err;
    }
    return 0;
}
