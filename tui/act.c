/* SPDX-License-Identifier: ISC */
/* From the dialog's answer to requests and their outcome. */
#include "tui/act.h"

#include "ctl/answer.h"
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
    json_decref(act->params);
    *act = (struct act){0};
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
    a->act.losses = a->act.node->losses;
    dialog_close(&a->dialog);
    table_unmark_all(app_table(a));
    act_tick(a);
}

/* ---- requests ---- */

static size_t act_total(const struct act *act)
{
    return act->is_filter || act->action->flags & ROW_ACTION_ADD ? 1
                                                                 : json_array_size(act->targets);
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
    const struct row_action *d = act->action;
    *ret_rows = 1;
    if (act->is_filter)
        return act_filter_params(act);
    json_t *params = json_deep_copy(act->params);
    if (d->flags & ROW_ACTION_ADD)
        return params;
    const char *target = d->target;
    if (!(d->flags & ROW_ACTION_MANY)) {
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
    else if (act_total(act) > 1 && !(act->action->flags & ROW_ACTION_MANY))
        app_say(a, false, "%s %s: %zu done", act->command->noun, act->command->verb, act->n_done);
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

static void on_act(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    struct act *act = &a->act;
    if (!act->action)
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

bool act_leave(struct app *a)
{
    struct act *act = &a->act;
    if (!commands_arg(act->command, "grace") || act->next < act_total(act))
        return false;
    rpc_client_forget(act->node->rpc, on_act, a);
    act_fini(act);
    return true;
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
        if (!rpc_client_ask(n->rpc, act->command->method, params, on_act, a))
            return;
        act->next += rows;
        act->n_waiting++;
    }
}
