/* SPDX-License-Identifier: ISC */
/* From a key to the question: what it is about, and what may be said along with it. */
#include "tui/app.h"
#include "tui/mark.h"
#include "tui/page_rows.h"
#include "tui/query.h"
#include "tui/row_action.h"

#define ACT_BODY_ROWS 8 /* rows that the question names */
#define ACT_COUNTED_MAX                                                                            \
    200 /* targets whose sessions are counted; a filter takes no more values                       \
         */

/* The row of a target as it was captured; NULL when there is none. */
static const json_t *act_row(const struct act *act, size_t i)
{
    return json_array_get(act->rows, i);
}

/* The rows of several daemons, one daemon's after another's. */
static void act_order(struct act *act)
{
    json_t *rows = json_array(), *row;
    size_t i;
    for (size_t k = 0; k < act->node->n_members; k++)
        json_array_foreach (act->rows, i, row)
            if (node_of_row(act->node, row) == &act->node->members[k])
                json_array_append(rows, row);
    json_array_foreach (act->rows, i, row)
        if (node_of_row(act->node, row) == act->node)
            json_array_append(rows, row);
    json_decref(act->rows);
    act->rows = rows;
}

/* Targets of rows: identities as the row's daemon knows them, or the values of a column, each once
 * for each daemon. */
static void act_name_targets(struct act *act)
{
    const char *column = act->action->column;
    json_t *of_node = NULL; /* values that were seen there */
    struct node *before = NULL;
    size_t i;
    json_t *row;
    json_decref(act->targets);
    json_decref(act->places);
    act->targets = json_array();
    act->places = json_array();
    if (act->node->cluster)
        act_order(act);
    json_array_foreach (act->rows, i, row) {
        struct node *n = node_of_row(act->node, row);
        char id[TABLE_ID_MAX];
        json_t *place = json_object_get(row, MERGE_PLACE);
        json_t *v =
            column[0]
                ? json_incref(json_object_get(row, column))
                : json_string(row_table_identity(&n->lists[act->action->pane].table, row, id));
        if (n != before) {
            json_decref(of_node);
            of_node = json_array();
        }
        before = n;
        bool is_known = false;
        for (size_t k = 0; column[0] && !is_known && k < json_array_size(of_node); k++)
            is_known = json_equal(json_array_get(of_node, k), v);
        if (v && !is_known) {
            json_array_append(act->targets, v);
            json_array_append(of_node, v);
            json_array_append_new(act->places, n == act->node ? json_null() : json_incref(place));
        }
        json_decref(v);
    }
    json_decref(of_node);
    if (column[0])
        json_array_clear(act->rows);
}

/* Captures what the action acts on; how many, 0 = nothing. */
static uint64_t act_capture(struct app *a)
{
    struct act *act = &a->act;
    const struct row_table *t = app_table(a);
    bool is_detail = a->over == OVER_DETAIL;
    act->is_filter = act->is_filter && !is_detail && app_pane(a) == PANE_SESSIONS &&
                     t->marks.count > 0 && strcmp(act->filter, t->filter) == 0;
    const struct app_object o = app_object(a);
    if (is_detail) {
        act->node = o.node;
        act->rows = json_pack("[O]", o.row);
    } else {
        act->targets = row_table_targets(t, &act->rows);
    }
    /* A group is its filter. */
    if (act->action->pane == PANE_GROUPS && !act->action->column[0]) {
        AUTO_BUF filter = BUF_INIT;
        const json_t *row = act_row(act, 0);
        const json_t *n = json_object_get(row, "sessions");
        act->is_filter = row && app_group_filter(a, row, &filter) == 0 &&
                         str_copy(act->filter, sizeof(act->filter), buf_str(&filter));
        act->n_matched = act->is_filter ? (uint64_t)json_integer_value(n) : 0;
        json_array_clear(act->rows);
    }
    act_name_targets(act);
    if (is_detail && !act->action->column[0]) /* the page keeps the name that it was opened with */
        json_array_set_new(act->targets, 0, json_string(o.id));
    return act->is_filter ? act->n_matched : json_array_size(act->targets);
}

static const char *act_target(const struct act *act, size_t i)
{
    return json_string_value(json_array_get(act->targets, i));
}

/* What the question is about, in one line: "session 1-2 (anna@example.org)". */
static char *act_object_words(const struct act *act, uint64_t n)
{
    const struct command *c = act->command;
    const char *plural = commands_plural(c->noun), *id = act_target(act, 0);
    if (act->is_filter)
        return str_printf("all %llu %s%s%s", (unsigned long long)n, plural ? plural : c->noun,
                          act->filter[0] ? " that match " : "", act->filter);
    if (act->action->column[0])
        return n == 1 ? str_dup_c(id) : str_printf("these %llu", (unsigned long long)n);
    if (n != 1)
        return str_printf("%llu %s", (unsigned long long)n, plural ? plural : c->noun);
    const char *more = json_string_value(
        json_object_get(act_row(act, 0), act->action->pane == PANE_SESSIONS ? "user" : "target"));
    return str_printf("%s %s%s%s%s", c->noun, id, more ? " (" : "", more ? more : "",
                      more ? ")" : "");
}

/* The same with the daemon where it is, when there are several: "session 1-2 (anna) at mx1". */
static char *act_object(const struct act *act, uint64_t n)
{
    AUTO_FREE char *words = act_object_words(act, n);
    size_t n_nodes = 0, n_targets = json_array_size(act->targets);
    const struct node *one = NULL;
    for (size_t i = 0; i < n_targets; i++) {
        n_nodes += act_node(act, i) != one;
        one = act_node(act, i);
    }
    if (words && (act->is_filter || n_nodes == 0 || one == act->node) && act->node->cluster)
        return str_printf("%s at all %zu daemons", words, act->node->n_members);
    if (words && n_nodes > 1)
        return str_printf("%s at %zu daemons", words, n_nodes);
    if (words && one && one->whole)
        return str_printf("%s at %s", words, one->label);
    return STEAL(words);
}

/* ---- how many sessions it is about ---- */

/* Of rows that tell it themselves; false when they do not. */
static bool act_sum_sessions(struct act *act)
{
    uint64_t sum = 0;
    size_t i;
    const json_t *row;
    json_array_foreach (act->rows, i, row) {
        const json_t *n = json_object_get(row, "sessions");
        if (!json_is_integer(n))
            return false;
        sum += (uint64_t)json_integer_value(n);
    }
    act->n_sessions = sum;
    act->knows_sessions = json_array_size(act->rows) > 0;
    return act->knows_sessions;
}

static void act_write_body(struct app *a);

/* A daemon's share of the count; result NULL: it has none. */
static void act_counted(struct app *a, const struct node *n, const json_t *result)
{
    struct act *act = &a->act;
    const json_t *matched = json_object_get(result, "matched");
    act->is_counting[act_slot(act, n)] = false;
    act->n_counting--;
    if (json_is_integer(matched))
        act->n_sessions += (uint64_t)json_integer_value(matched);
    act->is_count_partial = act->is_count_partial || !json_is_integer(matched) ||
                            json_array_size(json_object_get(result, "unreached"));
    act->knows_sessions = act->n_counting == 0 && (!act->is_count_partial || act->n_sessions);
    if (a->dialog.is_open)
        act_write_body(a);
}

/* arg: the daemon that answers. */
static void on_act_count(void *arg, const json_t *result, const struct control_client_error *error)
{
    const struct node *n = arg;
    struct app *a = n->arg;
    (void)error;
    if (a->act.action && a->act.is_counting[act_slot(&a->act, n)])
        act_counted(a, n, result);
}

void act_count_tick(struct app *a)
{
    struct act *act = &a->act;
    if (!act->n_counting)
        return;
    if (act->is_counting[0] && act->losses[0] != act->node->losses)
        act_counted(a, act->node, NULL);
    for (size_t i = 0; i < act->node->n_members; i++)
        if (act->is_counting[1 + i] && act->losses[1 + i] != act->node->members[i].losses)
            act_counted(a, &act->node->members[i], NULL);
}

/* Of the targets from one on that are of the same daemon; returns the next one. */
static size_t act_count_at(struct app *a, size_t first)
{
    struct act *act = &a->act;
    struct node *n = act_node(act, first);
    json_t *values = json_array();
    AUTO_BUF filter = BUF_INIT;
    size_t i = first;
    for (; i < json_array_size(act->targets) && act_node(act, i) == n; i++)
        json_array_append(values, json_array_get(act->targets, i));
    int err = query_terms(&filter, act->action->counted, values);
    json_decref(values);
    bool is_asked = err == 0 && filter.len &&
                    node_ask(n, "session.list",
                             json_pack("{s:s, s:i, s:s}", "filter", buf_cstr(&filter), "limit", 1,
                                       "sort", "id"),
                             on_act_count, n);
    act->n_counting += is_asked;
    act->is_counting[act_slot(act, n)] = is_asked;
    act->is_count_partial = act->is_count_partial || !is_asked;
    return i;
}

static void act_write_effect(struct app *a)
{
    const struct act *act = &a->act;
    struct text_page *body = &a->dialog.body;
    unsigned long long n = act->n_sessions;
    if (act->action->counted[0]) {
        text_page_line(body);
        if (act->knows_sessions)
            text_page_printf(body, n ? STYLE_WARN : STYLE_DIM, "%s%llu session%s now",
                             act->is_count_partial ? "at least " : "", n, n == 1 ? "" : "s");
        else if (act->is_count_partial && act->n_counting == 0)
            text_page_put(body, STYLE_DIM, STR("sessions: they could not be counted"));
        else
            text_page_put(body, STYLE_DIM, STR("sessions: being counted"));
    }
    if (act->action->effect[0]) {
        text_page_line(body);
        text_page_wrap(body, STYLE_NORMAL, act->action->effect, dialog_body_width(&a->view));
    }
}

/* What would happen, and to which rows, as far as they are few or the first of them. */
static void act_write_body(struct app *a)
{
    const struct act *act = &a->act;
    size_t n = json_array_size(act->targets), shown = n < ACT_BODY_ROWS ? n : ACT_BODY_ROWS;
    struct text_page *body = &a->dialog.body;
    json_t *rows = json_array();
    text_page_clear(body);
    act_write_effect(a);
    for (size_t i = 0; n > 1 && i < shown && act_row(act, i); i++)
        json_array_append(rows, (json_t *)act_row(act, i));
    if (json_array_size(rows))
        page_add_rows(body, pane_command(act->action->pane), rows, NULL,
                      dialog_body_width(&a->view));
    json_decref(rows);
    for (size_t i = 0; n > 1 && act->action->column[0] && i < shown; i++)
        text_page_say(body, STYLE_NORMAL, str_of(act_target(act, i)));
    uint64_t all = act->is_filter ? act->n_matched : n;
    if (all > shown && n > 1) {
        text_page_line(body);
        text_page_printf(body, STYLE_DIM, "and %llu more", (unsigned long long)(all - shown));
    }
}

static void act_add_field(struct app *a, const struct command_arg *arg)
{
    const struct act *act = &a->act;
    const json_t *row = act->action->flags & ROW_ACTION_FORM ? act_row(act, 0) : NULL;
    const json_t *v = json_object_get(row, arg->name);
    char initial[256];
    AUTO_BUF text = BUF_INIT;
    /* What the row has for the argument stands in the field already; why it is done, nobody has
     * said yet: a column of that name is about something else. */
    if (v && strcmp(arg->name, "reason") != 0 && arg->type != COMMANDS_SECRET &&
        arg->type != COMMANDS_BOOL)
        output_raw(&text, v);
    (void)str_copy(initial, sizeof(initial), buf_str(&text));
    dialog_add_arg(&a->dialog, arg, initial);
}

/* All arguments that say something about the object. */
static void act_add_all_fields(struct app *a)
{
    static const char *const others[] = {"dry_run", "max"};
    const char *target = a->act.action->target;
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
    struct str rest = str_of(act->action->fields);
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
}

static void act_open(struct app *a, uint64_t n)
{
    struct act *act = &a->act;
    const struct row_action *d = act->action;
    bool has_rows = !(d->flags & ROW_ACTION_ADD);
    AUTO_FREE char *object = has_rows ? act_object(act, n)
                             : act->node->cluster
                                 ? str_printf("at all %zu daemons", act->node->n_members)
                                 : NULL;
    dialog_open(&a->dialog, DIALOG_OF_ACT, d->yes, "%s%s%s%s", d->words, object ? " " : "",
                object ? object : "", d->flags & (ROW_ACTION_FORM | ROW_ACTION_ADD) ? "" : "?");
    if (has_rows && n > 1)
        dialog_add_count(&a->dialog, n);
    if (has_rows && d->counted[0] && !act_sum_sessions(act)) {
        act_note_losses(act);
        act->is_count_partial = json_array_size(act->targets) > ACT_COUNTED_MAX;
        for (size_t i = 0; !act->is_count_partial && i < json_array_size(act->targets);)
            i = act_count_at(a, i);
    }
    act_write_body(a);
    act_add_fields(a);
    if (has_rows)
        act->object = STEAL(object);
    if (d->flags & (ROW_ACTION_FORM | ROW_ACTION_ADD) || (has_rows && n > 1))
        a->dialog.focus = 0;
}

static void act_begin(struct app *a, const struct row_action *d, const struct command *c)
{
    struct act *act = &a->act;
    bool was_filter = act->is_filter;
    char filter[sizeof(act->filter)];
    uint64_t matched = act->n_matched;
    memcpy(filter, act->filter, sizeof(filter));
    for (size_t i = 0; i < a->n_nodes; i++)
        node_forget(&a->nodes[i], on_act_count, &a->nodes[i]);
    act_fini(act);
    *act = (struct act){.node = app_node(a),
                        .action = d,
                        .command = c,
                        .is_filter = was_filter && !(d->flags & ROW_ACTION_ADD),
                        .n_matched = matched};
    memcpy(act->filter, filter, sizeof(filter));
    uint64_t n = d->flags & ROW_ACTION_ADD ? 1 : act_capture(a);
    if (n == 0 && d->column[0] && app_object(a).row)
        app_say(a, true, "this row has no %s",
                strcmp(d->column, "ip") == 0 ? "address" : d->column);
    else if (n == 0)
        app_say_no_row(a);
    else if (d->flags & ROW_ACTION_FORM && n > 1)
        app_say(a, true, "this works on one row: Esc takes the marks away");
    else if (act->is_filter && d->column[0])
        app_say(a, true, "this works on %d rows at most; a filter makes them fewer",
                ACT_TARGETS_MAX);
    else
        act_open(a, n);
    if (!a->dialog.is_open)
        act_fini(act);
}

bool act_has(enum pane p, enum action action)
{
    return row_action_find(p, action) != NULL;
}

bool act_key(struct app *a, enum action action)
{
    const struct row_action *d = row_action_find(app_object_pane(a), action);
    const struct command *c = d ? commands_find(d->noun, d->verb) : NULL;
    if (!d)
        return false;
    if (!c)
        app_say(a, true, "this program (version %s) knows no command \"%s %s\"", MAILPROXY_VERSION,
                d->noun, d->verb);
    else if (mark_defer(a, action))
        return true;
    else if (a->act.n_waiting && !act_leave(a))
        app_say(a, true, "wait for what is under way");
    else if (!node_is_connected(app_node(a)))
        app_say(a, true, "there is no connection");
    else
        act_begin(a, d, c);
    return true;
}
