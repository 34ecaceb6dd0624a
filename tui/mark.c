/* SPDX-License-Identifier: ISC */
/* Marking more rows than are loaded, a page after another. */
#include "tui/mark.h"

#include <stdio.h>
#include <string.h>

#include "tui/app.h"

static void on_mark_page(void *arg, const json_t *result, const struct control_client_error *error);

void mark_stop(struct app *a)
{
    for (size_t i = 0; i < a->n_nodes; i++)
        node_forget(&a->nodes[i], on_mark_page, a);
    json_decref(a->marking);
    a->marking = NULL;
    a->marking_left[0] = '\0';
    a->after_marking = ACTION_NONE;
}

/* Several daemons as one whose rows are being marked; NULL = those of a single one are. */
static const struct node *mark_whole(const struct app *a)
{
    return app_node(a)->cluster ? app_node(a) : NULL;
}

/* The daemon whose rows are being marked: of several as one, one after another. */
static struct node *mark_node(const struct app *a)
{
    struct node *n = app_node(a);
    return n->cluster ? &n->members[a->marking_place] : n;
}

static void mark_fail(struct app *a, const char *why);

static void mark_ask(struct app *a, const char *cursor, size_t offset)
{
    const struct row_table *t = a->marking_table;
    json_t *params = json_pack("{s:i}", "limit", TABLE_LIMIT_MAX);
    if (t->filter[0])
        json_object_set_new(params, "filter", json_string(t->filter));
    if (cursor)
        json_object_set_new(params, "cursor", json_string(cursor));
    else if (commands_arg(t->command, "offset"))
        json_object_set_new(params, "offset", json_integer((json_int_t)offset));
    a->marking_losses = mark_node(a)->losses;
    if (!node_ask(mark_node(a), t->command->method, params, on_mark_page, a))
        mark_fail(a, node_is_connected(mark_node(a)) ? "takes no more questions now"
                                                     : "there is no connection");
}

static void mark_finish(struct app *a, bool is_whole)
{
    struct row_table *t = a->marking_table;
    enum action then = a->after_marking;
    char id[TABLE_ID_MAX];
    size_t i;
    const json_t *row;
    json_array_foreach (a->marking, i, row)
        row_table_mark(t, row_table_identity(t, row, id), row);
    if (a->marking_left[0])
        app_say(a, true, "%zu marked; not all of %s", t->marks.count, a->marking_left);
    else if (is_whole)
        app_say(a, false, "%zu marked", t->marks.count);
    else
        app_say(a, true, "%zu marked; there are more than can be marked at once", t->marks.count);
    mark_stop(a);
    if (t == app_table(a))
        a->after_marking = then;
}

/* The next daemon, or the end. Those that are away have no rows to mark. */
static void mark_go_on(struct app *a)
{
    const struct node *whole = mark_whole(a);
    while (whole && a->marking_place + 1 < whole->n_members) {
        a->marking_place++;
        if (!node_is_connected(mark_node(a)))
            continue;
        a->marking_offset = 0;
        mark_ask(a, NULL, 0);
        return;
    }
    mark_finish(a, true);
}

/* No more rows come from the daemon that is asked: of several the others are gone on with. */
static void mark_fail(struct app *a, const char *why)
{
    struct node *n = mark_node(a);
    size_t len = strlen(a->marking_left);
    if (!mark_whole(a)) {
        app_say(a, true, "not all rows could be marked: %s", why);
        mark_stop(a);
        return;
    }
    node_forget(n, on_mark_page, a);
    snprintf(a->marking_left + len, sizeof(a->marking_left) - len, "%s%s: %s", len ? "; " : "",
             n->label, why);
    mark_go_on(a);
}

void mark_tick(struct app *a)
{
    const struct node *whole = a->marking ? mark_whole(a) : NULL;
    if (a->marking && mark_node(a)->losses != a->marking_losses)
        mark_fail(a, "the connection was lost");
    else if (whole && cluster_is_silent(whole->cluster, a->marking_place))
        mark_fail(a, "does not answer");
}

static void on_mark_page(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct app *a = arg;
    const char *cursor = json_string_value(json_object_get(result, "cursor"));
    const json_t *rows = json_object_get(result, "rows");
    char why[256];
    size_t i;
    json_t *row;
    if (!a->marking)
        return;
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, why));
        mark_stop(a);
        return;
    }
    const struct node *n = mark_node(a);
    json_array_foreach ((json_t *)rows, i, row) {
        if (mark_whole(a))
            merge_tag(row, n->place, n->label);
        json_array_append(a->marking, row);
    }
    a->marking_offset += json_array_size(rows);
    size_t matched = (size_t)json_integer_value(json_object_get(result, "matched"));
    bool has_more = json_array_size(rows) && (json_is_true(json_object_get(result, "more")) ||
                                              (!cursor && matched > a->marking_offset));
    if (has_more && json_array_size(a->marking) < ACT_TARGETS_MAX) {
        mark_ask(a, cursor, a->marking_offset);
        return;
    }
    if (has_more)
        mark_finish(a, false);
    else
        mark_go_on(a);
}

void mark_all(struct app *a)
{
    struct row_table *t = app_table(a);
    struct act *act = &a->act;
    char id[TABLE_ID_MAX];
    mark_stop(a);
    act->is_filter = app_pane(a) == PANE_SESSIONS && t->matched > ACT_TARGETS_MAX;
    for (size_t i = 0; i < json_array_size(t->rows); i++) {
        const json_t *row = json_array_get(t->rows, i);
        if (!row_table_is_gone(t, row_table_identity(t, row, id)))
            row_table_mark(t, id, row);
    }
    if (act->is_filter) {
        (void)str_copy(act->filter, sizeof(act->filter), str_of(t->filter));
        act->n_matched = t->matched;
        app_say(a, false, "all %zu that match are marked", t->matched);
    } else if (row_table_can_skip(t) && (t->matched > json_array_size(t->rows) || t->has_more)) {
        a->marking = json_array();
        a->marking_table = t;
        a->marking_offset = a->marking_place = 0;
        app_say(a, false, "marking...");
        const struct node *n = app_node(a);
        while (n->cluster && a->marking_place + 1 < n->n_members &&
               !node_is_connected(mark_node(a)))
            a->marking_place++;
        mark_ask(a, NULL, 0);
    } else {
        app_say(a, false, "%zu marked", t->marks.count);
    }
}

bool mark_defer(struct app *a, enum action action)
{
    if (!a->marking)
        return false;
    a->after_marking = action;
    app_say(a, false, "marking all rows first: %zu so far", json_array_size(a->marking));
    return true;
}
