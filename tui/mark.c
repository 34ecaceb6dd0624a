/* SPDX-License-Identifier: ISC */
/* Marking more rows than are loaded, a page after another. */
#include "tui/mark.h"

#include "tui/app.h"

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

static void mark_finish(struct app *a, bool is_whole)
{
    struct table *t = a->marking_table;
    size_t i;
    const json_t *id;
    json_array_foreach (a->marking, i, id)
        table_mark(t, json_string_value(id), true);
    if (is_whole)
        app_say(a, false, "%zu marked", t->marks.count);
    else
        app_say(a, true, "%zu marked; there are more than can be marked at once", t->marks.count);
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
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, id));
        mark_end(a);
        return;
    }
    json_array_foreach (json_object_get(result, "rows"), i, row)
        json_array_append_new(a->marking, json_string(table_identity(t, row, id)));
    bool has_more = cursor && json_is_true(json_object_get(result, "more"));
    if (has_more && json_array_size(a->marking) < ACT_TARGETS_MAX)
        mark_ask(a, cursor);
    else
        mark_finish(a, !has_more);
}

void mark_all(struct app *a)
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
