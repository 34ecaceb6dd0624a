/* SPDX-License-Identifier: ISC */
/* From the dialog's answer to requests and their outcome. */
#include "tui/act.h"

#include <stdlib.h>

#include "ctl/args_value.h"
#include "tui/app.h"
#include "tui/page_rows.h"
#include "tui/row_action.h"

#define ACT_WAITING_MAX 8 /* requests at the same time */
#define ACT_BATCH 1000    /* rows of one request */

void act_fini(struct act *act)
{
    json_decref(act->targets);
    json_decref(act->rows);
    json_decref(act->places);
    json_decref(act->params);
    free(act->object);
    *act = (struct act){0};
}

/* ---- daemons ---- */

struct node *act_node(const struct act *act, size_t target)
{
    const json_t *place = json_array_get(act->places, target);
    size_t i = (size_t)json_integer_value(place);
    return json_is_integer(place) && i < act->node->n_members ? &act->node->members[i] : act->node;
}

size_t act_slot(const struct act *act, const struct node *n)
{
    return n == act->node ? 0 : 1 + n->place;
}

void act_note_losses(struct act *act)
{
    act->losses[0] = act->node->losses;
    for (size_t i = 0; i < act->node->n_members; i++)
        act->losses[1 + i] = act->node->members[i].losses;
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
        (void)str_copy(a->dialog.wrong, sizeof(a->dialog.wrong),
                       str_of(problem.text ? problem.text : "not understood"));
    problem_fini(&problem);
    if (v && f->arg->flags & COMMANDS_MANY)
        v = json_pack("[o]", v);
    return v && json_object_set_new(params, f->arg->name, v) == 0;
}

static json_t *act_params(struct app *a)
{
    struct dialog *d = &a->dialog;
    json_t *params = json_object();
    for (size_t i = 0; i < d->n_fields; i++)
        if (!act_field_value(a, &d->fields[i], params)) {
            d->focus = i;
            json_decref(params);
            return NULL;
        }
    if (a->act.action->flags & ROW_ACTION_FORM && json_object_size(params) == 0) {
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
    act_note_losses(&a->act);
    dialog_close(&a->dialog);
    row_table_unmark_all(app_table(a));
    act_tick(a);
}

/* ---- requests ---- */

static size_t act_total(const struct act *act)
{
    return act->is_filter || act->action->flags & ROW_ACTION_ADD ? 1
                                                                 : json_array_size(act->targets);
}

/* The next request's parameters; *ret_rows is how many rows it takes, which are of one daemon. */
static json_t *act_next_params(const struct act *act, size_t *ret_rows)
{
    const struct row_action *d = act->action;
    *ret_rows = 1;
    if (act->is_filter) {
        /* The whole filter at once, guarded against hitting far more than was said. */
        json_t *params = json_deep_copy(act->params);
        if (act->filter[0])
            json_object_set_new(params, "filter", json_string(act->filter));
        else if (commands_arg(act->command, "all"))
            json_object_set_new(params, "all", json_true());
        if (commands_arg(act->command, "max"))
            json_object_set_new(params, "max", json_integer((json_int_t)(act->n_matched * 2)));
        return params;
    }
    json_t *params = json_deep_copy(act->params);
    if (d->flags & ROW_ACTION_ADD)
        return params;
    const char *target = d->target;
    if (!(d->flags & ROW_ACTION_MANY)) {
        json_object_set(params, target, json_array_get(act->targets, act->next));
        return params;
    }
    json_t *rows = json_array();
    for (size_t i = act->next; i < json_array_size(act->targets) && i < act->next + ACT_BATCH &&
                               act_node(act, i) == act_node(act, act->next);
         i++)
        json_array_append(rows, json_array_get(act->targets, i));
    *ret_rows = json_array_size(rows);
    json_object_set_new(params, target, rows);
    return params;
}

static void act_report(struct app *a, const json_t *result)
{
    struct act *act = &a->act;
    AUTO_FREE char *sentence = result ? act_said(act, result) : NULL;
    const json_t *rows = json_object_get(result, "rows");
    if (act->n_failed && act_total(act) > 1)
        app_say(a, true, "%s: %zu done, %zu failed: %s", act->object ? act->object : "",
                act->n_done, act->n_failed, act->failure);
    else if (act->n_failed)
        app_say(a, true, "%s", act->failure);
    else
        app_say(a, false, "%s", sentence ? sentence : "done");
    if (!act->n_failed && act->action->flags & ROW_ACTION_ROWS && json_array_size(rows)) {
        /* Rows that an answer brings along, such as the addresses of a locked user. */
        app_open_page(a, OVER_TEXT, a->message);
        page_add_rows(&a->page, a->act.command, rows, NULL, a->view.cols - 2);
    }
    act_fini(act);
    detail_refresh(&a->detail);
    app_refresh(a);
}

/* The outcome of one request: text of a failure, NULL = it was done. */
static void act_answered(struct app *a, struct node *n, const json_t *result, const char *text)
{
    struct act *act = &a->act;
    act->n_waiting--;
    act->n_owed[act_slot(act, n)]--;
    act->n_done += result != NULL;
    act->n_failed += result == NULL;
    if (json_is_string(json_object_get(result, "op")))
        node_expect_op(act->node, n, json_object_get(result, "op"));
    /* Of several daemons the one that failed is named. */
    if (!result && !act->failure[0])
        snprintf(act->failure, sizeof(act->failure), "%s%s%s", n == act->node ? "" : n->label,
                 n == act->node ? "" : ": ", text);
    if (act->n_waiting == 0 && act->next >= act_total(act))
        act_report(a, result);
    else
        act_tick(a);
}

/* arg: the daemon that answers. */
static void on_act(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct node *n = arg;
    struct app *a = n->arg;
    char text[256] = "";
    if (!a->act.action)
        return;
    if (!result)
        (void)node_error_text(error, text);
    act_answered(a, n, result, text);
}

bool act_leave(struct app *a)
{
    struct act *act = &a->act;
    if (!commands_arg(act->command, "grace") || act->next < act_total(act))
        return false;
    node_forget(act->node, on_act, act->node);
    for (size_t i = 0; i < act->node->n_members; i++)
        node_forget(&act->node->members[i], on_act, &act->node->members[i]);
    act_fini(act);
    return true;
}

/* Whose connection was lost does not answer any more. True when that was the end. */
static bool act_take_losses(struct app *a)
{
    struct act *act = &a->act;
    if (act->losses[0] != act->node->losses) {
        app_say(a, true, "the connection was lost: whether \"%s %s\" was done is not known; look",
                act->command->noun, act->command->verb);
        act_fini(act);
        return true;
    }
    for (size_t i = 0; act->action && i < act->node->n_members; i++) {
        struct node *n = &act->node->members[i];
        bool is_lost = act->losses[1 + i] != n->losses;
        act->losses[1 + i] = n->losses;
        for (size_t owed = is_lost ? act->n_owed[1 + i] : 0; owed > 0 && act->action; owed--)
            act_answered(a, n, NULL, "the connection was lost: whether it was done is not known");
    }
    return !act->action;
}

void act_tick(struct app *a)
{
    struct act *act = &a->act;
    if (!act->params || act_take_losses(a))
        return;
    while (act->next < act_total(act) && act->n_waiting < ACT_WAITING_MAX) {
        size_t rows;
        struct node *n = act_node(act, act->next);
        json_t *params = act_next_params(act, &rows);
        act->n_waiting++;
        act->n_owed[act_slot(act, n)]++;
        act->next += rows;
        if (node_ask(n, act->command->method, params, on_act, n))
            continue;
        if (n == act->node || node_is_connected(n)) { /* it takes no more now */
            act->n_waiting--;
            act->n_owed[act_slot(act, n)]--;
            act->next -= rows;
            return;
        }
        act_answered(a, n, NULL, "not connected");
        return;
    }
}
