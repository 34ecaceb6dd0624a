/* SPDX-License-Identifier: ISC */
/* From a key over a dialog to requests and their outcome. */
#include "tui/act.h"

#include "ctl/args_value.h"
#include "ctl/run.h"
#include "tui/app.h"
#include "tui/page_rows.h"

#define ACT_WAITING_MAX 8 /* requests at the same time */
#define ACT_BATCH 1000    /* rows of one request */
#define ACT_TYPE_COUNT 50 /* from so many on, the number must be typed */
#define ACT_BODY_ROWS 8   /* rows that the question names */

enum deed_flag { MANY = 1, FORM = 2, ADD = 4, ROWS = 8 };

struct deed {
    enum pane pane;
    enum action action;
    const char *noun, *verb, *target, *column;
    unsigned flags;
    const char *words, *fields, *yes;
};

static const struct deed deeds[] = {
#define D(pane, action, noun, verb, target, column, flags, words, fields, yes)                     \
    {PANE_##pane, ACTION_##action, noun, verb, target, column, flags, words, fields, yes},
#include "tui/deeds.def"
#undef D
};

static const struct deed *deed_find(enum pane p, enum action action)
{
    for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
        if (deeds[i].pane == p && deeds[i].action == action)
            return &deeds[i];
    return NULL;
}

bool act_has(enum pane p, enum action action)
{
    return deed_find(p, action) != NULL;
}

void act_fini(struct act *act)
{
    json_decref(act->targets);
    json_decref(act->params);
    *act = (struct act){0};
}

/* ---- what the keys mean ---- */

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

/* The rows that would be hit, as far as they are few or the first of them. */
static void act_write_body(struct app *a)
{
    const struct act *act = &a->act;
    size_t n = json_array_size(act->targets), shown = n < ACT_BODY_ROWS ? n : ACT_BODY_ROWS;
    struct page *body = &a->dialog.body;
    json_t *rows = json_array();
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
    const json_t *row = act->deed->flags & FORM
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
    if (act->deed->flags & (FORM | ADD))
        a->dialog.focus = 0;
}

static void act_open(struct app *a, uint64_t n)
{
    const struct act *act = &a->act;
    const struct deed *d = act->deed;
    char label[32];
    AUTO_FREE char *object = d->flags & ADD ? NULL : act_object(a, n);
    if (act->is_filter)
        dialog_open(&a->dialog, d->yes, "%s all %llu %s%s%s?", d->words,
                    (unsigned long long)act->n_matched, commands_plural(act->command->noun),
                    act->filter[0] ? " that match " : "", act->filter);
    else
        dialog_open(&a->dialog, d->yes, "%s%s%s%s", d->words, object ? " " : "",
                    object ? object : "", d->flags & (FORM | ADD) ? "" : "?");
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
                        .is_filter = was_filter && !(d->flags & ADD),
                        .n_matched = matched};
    memcpy(act->filter, filter, sizeof(filter));
    uint64_t n = d->flags & ADD ? 1 : act_capture(a);
    if (n == 0)
        app_say_no_row(a);
    else if (d->flags & FORM && n > 1)
        app_say(a, true, "this works on one row: Esc takes the marks away");
    else
        act_open(a, n);
    if (!a->dialog.is_open)
        act_fini(act);
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

/* ---- the dialog's answer ---- */

static bool act_field_value(struct app *a, struct dialog_field *f, json_t *params)
{
    const char *text = f->edit.text;
    struct problem problem = {0};
    json_t *v = NULL;
    if (!f->arg || strcmp(text, f->initial) == 0)
        return true;
    if (f->edit.is_secret || !text[0])
        v = json_string(text); /* cleared */
    else if (args_value(a->act.command, f->arg, text, &v, &problem) != 0)
        snprintf(a->dialog.wrong, sizeof(a->dialog.wrong), "%s: %s", f->label,
                 problem.text ? problem.text : "not understood");
    problem_fini(&problem);
    if (v && f->arg->flags & COMMANDS_MANY)
        v = json_pack("[o]", v);
    return v && json_object_set_new(params, f->arg->name, v) == 0;
}

/* The field that repeats the number. */
static bool act_check_count(struct app *a, const struct dialog_field *f)
{
    if (f->arg || f->edit.is_secret || !str_is_prefix(str_of(f->label), STR("type ")) ||
        strcmp(f->edit.text, f->label + 5) == 0)
        return true;
    snprintf(a->dialog.wrong, sizeof(a->dialog.wrong), "type %s to say that this is meant",
             f->label + 5);
    return false;
}

static json_t *act_params(struct app *a)
{
    struct dialog *d = &a->dialog;
    json_t *params = json_object();
    for (size_t i = 0; i < d->n_fields; i++)
        if (!act_field_value(a, &d->fields[i], params) || !act_check_count(a, &d->fields[i])) {
            d->focus = i;
            json_decref(params);
            return NULL;
        }
    if (a->act.deed->flags & FORM && json_object_size(params) == 0) {
        (void)str_copy(d->wrong, sizeof(d->wrong), STR("nothing is changed"));
        json_decref(params);
        return NULL;
    }
    return params;
}

void act_confirmed(struct app *a)
{
    json_t *params = act_params(a);
    if (!params)
        return;
    a->act.params = params;
    a->act.losses = a->act.node->losses;
    dialog_close(&a->dialog);
    table_unmark_all(app_table(a));
    act_tick(a);
}

/* ---- requests ---- */

static size_t act_total(const struct act *act)
{
    return act->is_filter || act->deed->flags & ADD ? 1 : json_array_size(act->targets);
}

/* The whole filter at once, guarded against hitting far more than was said. */
static json_t *act_filter_params(const struct act *act)
{
    json_t *params = json_deep_copy(act->params);
    if (act->filter[0])
        json_object_set_new(params, "filter", json_string(act->filter));
    else if (commands_arg(act->command, "all"))
        json_object_set_new(params, "all", json_true());
    if (commands_arg(act->command, "max"))
        json_object_set_new(params, "max", json_integer((json_int_t)(act->n_matched * 2)));
    return params;
}

/* The next request's parameters; *ret_rows is how many rows it takes. */
static json_t *act_next_params(const struct act *act, size_t *ret_rows)
{
    const struct deed *d = act->deed;
    *ret_rows = 1;
    if (act->is_filter)
        return act_filter_params(act);
    json_t *params = json_deep_copy(act->params);
    if (d->flags & ADD)
        return params;
    const char *target = d->target;
    if (!(d->flags & MANY)) {
        json_object_set(params, target, json_array_get(act->targets, act->next));
        return params;
    }
    json_t *rows = json_array();
    for (size_t i = act->next; i < json_array_size(act->targets) && i < act->next + ACT_BATCH; i++)
        json_array_append(rows, json_array_get(act->targets, i));
    *ret_rows = json_array_size(rows);
    json_object_set_new(params, target, rows);
    return params;
}

/* Rows that an answer brings along, such as the addresses of a locked user. */
static void act_show_rows(struct app *a, const char *sentence, const json_t *rows)
{
    app_open_page(a, OVER_TEXT, sentence);
    page_add_rows(&a->page, a->act.command, rows, NULL, a->view.cols - 2);
}

static void act_report(struct app *a, const json_t *result)
{
    struct act *act = &a->act;
    AUTO_FREE char *sentence = result ? run_sentence(act->command, act->params, result) : NULL;
    const json_t *rows = json_object_get(result, "rows");
    if (act->n_failed && act_total(act) > 1)
        app_say(a, true, "%s %s: %zu done, %zu failed: %s", act->command->noun, act->command->verb,
                act->n_done, act->n_failed, act->failure);
    else if (act->n_failed)
        app_say(a, true, "%s", act->failure);
    else if (act_total(act) > 1 && !(act->deed->flags & MANY))
        app_say(a, false, "%s %s: %zu done", act->command->noun, act->command->verb, act->n_done);
    else
        app_say(a, false, "%s", sentence ? sentence : "done");
    if (!act->n_failed && act->deed->flags & ROWS && json_array_size(rows))
        act_show_rows(a, a->message, rows);
    act_fini(act);
    detail_refresh(&a->detail);
    app_refresh(a);
}

static void on_act(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    struct act *act = &a->act;
    if (!act->deed)
        return;
    act->n_waiting--;
    act->n_done += result != NULL;
    act->n_failed += result == NULL;
    if (!result && !act->failure[0])
        (void)node_error_text(error, act->failure);
    if (act->n_waiting == 0 && act->next >= act_total(act))
        act_report(a, result);
    else
        act_tick(a);
}

void act_tick(struct app *a)
{
    struct act *act = &a->act;
    struct node *n = act->node;
    if (!act->params)
        return;
    if (act->losses != n->losses) {
        app_say(a, true, "the connection was lost: whether \"%s %s\" was done is not known; look",
                act->command->noun, act->command->verb);
        act_fini(act);
        return;
    }
    while (act->next < act_total(act) && act->n_waiting < ACT_WAITING_MAX) {
        size_t rows;
        json_t *params = act_next_params(act, &rows);
        if (!feed_ask(n->feed, act->command->method, params, on_act, a))
            return;
        act->next += rows;
        act->n_waiting++;
    }
}

/* ---- marking all that match ---- */

static void on_mark_page(void *arg, const json_t *result, const struct client_error *error);

static void mark_end(struct app *a)
{
    json_decref(a->marking);
    a->marking = NULL;
}

static void mark_ask(struct app *a, const char *cursor)
{
    const struct table *t = a->marking_table;
    json_t *params = json_pack("{s:i}", "limit", TABLE_LIMIT_MAX);
    if (t->filter[0])
        json_object_set_new(params, "filter", json_string(t->filter));
    if (cursor)
        json_object_set_new(params, "cursor", json_string(cursor));
    if (!feed_ask(app_node(a)->feed, t->command->method, params, on_mark_page, a))
        mark_end(a);
}

static void mark_finish(struct app *a)
{
    struct table *t = a->marking_table;
    size_t i;
    const json_t *id;
    json_array_foreach (a->marking, i, id)
        table_mark(t, json_string_value(id), true);
    app_say(a, false, "%zu marked", t->marks.count);
    mark_end(a);
}

static void on_mark_page(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    const struct table *t = a->marking_table;
    const char *cursor = json_string_value(json_object_get(result, "cursor"));
    char id[TABLE_ID_MAX];
    size_t i;
    const json_t *row;
    if (!a->marking)
        return;
    if (!result)
        app_say(a, true, "%s", node_error_text(error, id));
    json_array_foreach (json_object_get(result, "rows"), i, row)
        json_array_append_new(a->marking, json_string(table_identity(t, row, id)));
    if (cursor && json_is_true(json_object_get(result, "more")) &&
        json_array_size(a->marking) < ACT_TARGETS_MAX)
        mark_ask(a, cursor);
    else
        mark_finish(a);
}

void act_mark_all(struct app *a)
{
    struct table *t = app_table(a);
    struct act *act = &a->act;
    char id[TABLE_ID_MAX];
    act->is_filter = app_pane(a) == PANE_SESSIONS && t->total > ACT_TARGETS_MAX;
    for (size_t i = 0; i < json_array_size(t->rows); i++)
        table_mark(t, table_identity(t, json_array_get(t->rows, i), id), true);
    if (act->is_filter) {
        (void)str_copy(act->filter, sizeof(act->filter), str_of(t->filter));
        act->n_matched = t->total;
        app_say(a, false, "all %zu that match are marked", t->total);
    } else if (table_can_skip(t) && (t->total > json_array_size(t->rows) || t->has_more)) {
        mark_end(a);
        a->marking = json_array();
        a->marking_table = t;
        mark_ask(a, NULL);
    } else {
        app_say(a, false, "%zu marked", t->marks.count);
    }
}
