/* SPDX-License-Identifier: ISC */
/* From a key to the question: what it is about, and what may be said along with it. */
#include "tui/app.h"
#include "tui/deed.h"
#include "tui/page_rows.h"

#define ACT_TYPE_COUNT 50 /* from so many on, the number must be typed */
#define ACT_BODY_ROWS 8   /* rows that the question names */

static const json_t *act_row(const struct app *a, const char *id)
{
    const struct table *t = app_table(a);
    char other[TABLE_ID_MAX];
    if (a->over == OVER_DETAIL)
        return a->detail.object;
    for (size_t i = 0; i < json_array_size(t->rows); i++) {
        const json_t *row = json_array_get(t->rows, i);
        if (strcmp(table_identity(t, row, other), id) == 0)
            return row;
    }
    return NULL;
}

static bool act_holds(const json_t *values, const json_t *value)
{
    size_t i;
    const json_t *v;
    json_array_foreach (values, i, v)
        if (json_equal(v, value))
            return true;
    return false;
}

/* The values of a column in place of identities, each once. */
static json_t *act_values(const struct app *a, const json_t *ids, const char *column)
{
    json_t *values = json_array();
    size_t i;
    const json_t *id;
    json_array_foreach (ids, i, id) {
        json_t *v = json_object_get(act_row(a, json_string_value(id)), column);
        if (v && !act_holds(values, v))
            json_array_append(values, v);
    }
    return values;
}

/* Captures what the deed acts on; how many, 0 = nothing. */
static uint64_t act_capture(struct app *a)
{
    struct act *act = &a->act;
    const struct table *t = app_table(a);
    bool is_detail = a->over == OVER_DETAIL, has_column = act->deed->column[0];
    act->is_filter = act->is_filter && !is_detail && !has_column && app_pane(a) == PANE_SESSIONS &&
                     t->marks.count > 0 && strcmp(act->filter, t->filter) == 0;
    json_t *ids = is_detail ? json_pack("[s]", a->detail.id) : table_targets(t);
    act->targets = has_column ? act_values(a, ids, act->deed->column) : json_incref(ids);
    json_decref(ids);
    return json_array_size(act->targets);
}

/* What the question is about, in one line: "session 1-2 (anna@example.org)". */
static char *act_object(const struct app *a, uint64_t n)
{
    const struct act *act = &a->act;
    const struct command *c = act->command;
    const char *plural = commands_plural(c->noun);
    if (act->deed->column[0])
        return n == 1 ? str_dup_c(json_string_value(json_array_get(act->targets, 0)))
                      : str_printf("these %llu", (unsigned long long)n);
    if (n != 1)
        return str_printf("%llu %s", (unsigned long long)n, plural ? plural : c->noun);
    const char *id = json_string_value(json_array_get(act->targets, 0));
    const json_t *row = act_row(a, id);
    const char *more = json_string_value(
        json_object_get(row, act->deed->pane == PANE_SESSIONS ? "user" : "target"));
    return str_printf("%s %s%s%s%s", c->noun, id, more ? " (" : "", more ? more : "",
                      more ? ")" : "");
}

/* How many sessions the one object has. */
static void act_write_sessions(struct app *a)
{
    const json_t *ids = a->act.targets;
    const json_t *row = act_row(a, json_string_value(json_array_get(ids, 0)));
    const json_t *sessions = json_object_get(row, "sessions");
    bool is_heavy = a->act.command->flags & (COMMANDS_DESTRUCTIVE | COMMANDS_ASYNC);
    if (json_array_size(ids) != 1 || !is_heavy || !json_is_integer(sessions))
        return;
    json_int_t n = json_integer_value(sessions);
    page_line(&a->dialog.body);
    page_printf(&a->dialog.body, n ? STYLE_WARN : STYLE_DIM, "%lld session%s now", (long long)n,
                n == 1 ? "" : "s");
}

/* The rows that would be hit, as far as they are few or the first of them. */
static void act_write_body(struct app *a)
{
    const struct act *act = &a->act;
    size_t n = json_array_size(act->targets), shown = n < ACT_BODY_ROWS ? n : ACT_BODY_ROWS;
    struct page *body = &a->dialog.body;
    json_t *rows = json_array();
    act_write_sessions(a);
    for (size_t i = 0; n > 1 && !act->deed->column[0] && i < shown; i++)
        json_array_append(rows,
                          (json_t *)act_row(a, json_string_value(json_array_get(act->targets, i))));
    if (json_array_size(rows))
        page_add_rows(body, app_table(a)->command, rows, NULL, dialog_body_width(&a->view));
    json_decref(rows);
    for (size_t i = 0; n > 1 && act->deed->column[0] && i < shown; i++) {
        page_line(body);
        page_put(body, STYLE_NORMAL, str_of(json_string_value(json_array_get(act->targets, i))));
    }
    if (n > shown) {
        page_line(body);
        page_printf(body, STYLE_DIM, "and %zu more", n - shown);
    }
}

/* What the row has for an argument of a form; dst is emptied when it has nothing. */
static void act_initial(const struct app *a, const struct command_arg *arg, char *dst, size_t size)
{
    const struct act *act = &a->act;
    const json_t *row = act->deed->flags & DEED_FORM
                            ? act_row(a, json_string_value(json_array_get(act->targets, 0)))
                            : NULL;
    const json_t *v = json_object_get(row, arg->name);
    AUTO_BUF text = BUF_INIT;
    if (v && arg->type != COMMANDS_SECRET && arg->type != COMMANDS_BOOL)
        output_raw(&text, v);
    (void)str_copy(dst, size, buf_str(&text));
}

static void act_add_field(struct app *a, const struct command_arg *arg)
{
    char initial[256];
    act_initial(a, arg, initial, sizeof(initial));
    dialog_add_arg(&a->dialog, arg, initial);
}

/* All arguments that say something about the object. */
static void act_add_all_fields(struct app *a)
{
    static const char *const others[] = {"dry_run", "max"};
    const char *target = a->act.deed->target;
    size_t n;
    const struct command_arg *args = commands_args(a->act.command, &n);
    for (size_t i = 0; i < n; i++) {
        bool is_other = target && strcmp(args[i].name, target) == 0;
        for (size_t k = 0; k < ARRAY_LEN(others); k++)
            is_other = is_other || strcmp(args[i].name, others[k]) == 0;
        if (!is_other)
            act_add_field(a, &args[i]);
    }
}

/* The fields in the order of the table. */
static void act_add_fields(struct app *a)
{
    const struct act *act = &a->act;
    struct str rest = str_of(act->deed->fields);
    if (str_eq(rest, STR("*")))
        act_add_all_fields(a);
    else
        for (struct str word; (word = str_word(&rest)).n;) {
            char name[64];
            (void)str_copy(name, sizeof(name), word);
            const struct command_arg *arg = commands_arg(act->command, name);
            if (arg)
                act_add_field(a, arg);
        }
    if (act->deed->flags & (DEED_FORM | DEED_ADD))
        a->dialog.focus = 0;
}

static void act_open(struct app *a, uint64_t n)
{
    const struct act *act = &a->act;
    const struct deed *d = act->deed;
    char label[32];
    AUTO_FREE char *object = d->flags & DEED_ADD ? NULL : act_object(a, n);
    if (act->is_filter)
        dialog_open(&a->dialog, d->yes, "%s all %llu %s%s%s?", d->words,
                    (unsigned long long)act->n_matched, commands_plural(act->command->noun),
                    act->filter[0] ? " that match " : "", act->filter);
    else
        dialog_open(&a->dialog, d->yes, "%s%s%s%s", d->words, object ? " " : "",
                    object ? object : "", d->flags & (DEED_FORM | DEED_ADD) ? "" : "?");
    act_write_body(a);
    act_add_fields(a);
    if ((act->is_filter ? act->n_matched : n) >= ACT_TYPE_COUNT) {
        snprintf(label, sizeof(label), "type %llu",
                 (unsigned long long)(act->is_filter ? act->n_matched : n));
        (void)dialog_add(&a->dialog, label,
                         "how many it is, typed once more, so that this is meant");
    }
}

static void act_begin(struct app *a, const struct deed *d, const struct command *c)
{
    struct act *act = &a->act;
    bool was_filter = act->is_filter;
    char filter[sizeof(act->filter)];
    uint64_t matched = act->n_matched;
    memcpy(filter, act->filter, sizeof(filter));
    act_fini(act);
    *act = (struct act){.node = app_node(a),
                        .deed = d,
                        .command = c,
                        .is_filter = was_filter && !(d->flags & DEED_ADD),
                        .n_matched = matched};
    memcpy(act->filter, filter, sizeof(filter));
    uint64_t n = d->flags & DEED_ADD ? 1 : act_capture(a);
    if (n == 0)
        app_say_no_row(a);
    else if (d->flags & DEED_FORM && n > 1)
        app_say(a, true, "this works on one row: Esc takes the marks away");
    else
        act_open(a, n);
    if (!a->dialog.is_open)
        act_fini(act);
}

bool act_has(enum pane p, enum action action)
{
    return deed_find(p, action) != NULL;
}

bool act_key(struct app *a, enum action action)
{
    const struct deed *d = deed_find(app_object_pane(a), action);
    const struct command *c = d ? commands_find(d->noun, d->verb) : NULL;
    if (!d)
        return false;
    if (!c)
        app_say(a, true, "this program (version %s) knows no command \"%s %s\"", MAILPROXY_VERSION,
                d->noun, d->verb);
    else if (a->act.n_waiting)
        app_say(a, true, "wait for what is under way");
    else if (!feed_hello(app_node(a)->feed))
        app_say(a, true, "there is no connection");
    else
        act_begin(a, d, c);
    return true;
}
