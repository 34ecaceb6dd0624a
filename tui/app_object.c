/* SPDX-License-Identifier: ISC */
/* The row that keys are about, the way to it, and the filter of a group. */
#include "tui/app.h"
#include "tui/query.h"

#define APP_PATH_MAX 4 /* pages that are named */

/* ---- the object that keys are about ---- */

/* The row as its daemon knows it: by the name that it has there. */
static void object_set(struct app_object *o, struct node *n, const json_t *row)
{
    o->node = node_of_row(n, row);
    o->row = row;
    if (row)
        (void)row_table_identity(&o->node->lists[o->pane].table, row, o->id);
}

struct app_object app_object(const struct app *a)
{
    const struct detail_line *l = a->over == OVER_DETAIL ? detail_picked(&a->detail) : NULL;
    struct app_object o = {.node = app_node(a), .pane = app_pane(a)};
    if (l) {
        o.pane = l->pane;
        object_set(&o, a->detail.node, l->row);
    } else if (a->over == OVER_DETAIL) {
        o.node = a->detail.node;
        o.pane = a->detail.pane;
        o.row = a->detail.object;
        (void)str_copy(o.id, sizeof(o.id), str_of(a->detail.id));
    } else if (a->over == OVER_NONE && o.pane == PANE_OVERVIEW) {
        const struct overview_line *line = overview_picked(&app_node(a)->overview);
        if (!line)
            return o;
        o.pane = line->pane;
        object_set(&o, app_node(a), line->object);
    } else if (a->over == OVER_NONE) {
        object_set(&o, app_node(a), row_table_selected(app_table(a)));
    }
    return o;
}

enum pane app_object_pane(const struct app *a)
{
    const struct detail_line *l = a->over == OVER_DETAIL ? detail_picked(&a->detail) : NULL;
    return l ? l->pane : a->over == OVER_DETAIL ? a->detail.pane : app_pane(a);
}

char *app_path(const struct app *a)
{
    AUTO_BUF text = BUF_INIT;
    size_t first = a->n_places;
    /* From the list where the way into the pages began. */
    while (first > 0 && first + APP_PATH_MAX > a->n_places && a->places[first - 1].row)
        first--;
    first -= first > 0;
    const char *arrow = a->view.glyphs == GLYPHS_ASCII ? " > " : " › ";
    for (size_t i = first; i < a->n_places; i++) {
        const struct app_place *p = &a->places[i];
        char id[TABLE_ID_MAX];
        const struct command *c = p->row ? pane_command(p->pane) : NULL;
        int err = c ? buf_printf(&text, "%s %s", detail_kind_name(p->pane, p->row),
                                 row_table_identity(&p->node->lists[p->pane].table, p->row, id))
                    : buf_append_c(&text, pane_rows[screen_rows[p->screen].panes[p->focus]].name);
        if (err < 0 || buf_append_c(&text, arrow) < 0)
            return NULL;
    }
    return buf_steal(&text);
}

/* ---- groups ---- */

int app_group_filter(const struct app *a, const json_t *row, struct buf *filter)
{
    static const char *const by[FACET_COUNT] = {
        [FACET_USER] = "user",         [FACET_IP] = "ip",
        [FACET_NET] = "net",           [FACET_BACKEND] = "backend",
        [FACET_LISTENER] = "listener", [FACET_CLIENT] = "client",
        [FACET_PROTO] = "proto"};
    const struct node *n = app_node(a);
    const char *old = n->lists[PANE_GROUPS].table.filter;
    const char *key = json_string_value(json_object_get(row, "key"));
    int err = old[0] ? buf_append_c(filter, old) : 0;
    for (int f = 0; f < FACET_COUNT && err == 0; f++)
        if (by[f] && key && strcmp(by[f], n->groups_by) == 0)
            return query_term(filter, facet_rows[f].field, key);
    return err < 0 ? err : -ERR_NO_MATCH;
}

const struct app_group_row app_groups[] = {
    {PANE_GROUPS, 'u', "user", "user"},
    {PANE_GROUPS, 'i', "ip", "address"},
    {PANE_GROUPS, 'n', "net", "network"},
    {PANE_GROUPS, 'b', "backend", "backend"},
    {PANE_GROUPS, 'l', "listener", "listener"},
    {PANE_GROUPS, 'c', "client", "client program"},
    {PANE_GROUPS, 'p', "proto", "protocol"},
    {PANE_FAILURES, 'a', "ip user text", "address, user and cause"},
    {PANE_FAILURES, 'i', "ip", "address"},
    {PANE_FAILURES, 'u', "user", "user"},
    {PANE_FAILURES, 'c', "text", "cause"},
    {PANE_FAILURES, 'b', "backend text", "backend and cause"},
};
const size_t app_n_groups = ARRAY_LEN(app_groups);

const char *app_grouping(const struct app *a, enum pane p)
{
    const struct node *n = app_node(a);
    const char *by = p == PANE_GROUPS ? n->groups_by : n->failures_by;
    for (size_t i = 0; i < app_n_groups; i++)
        if (app_groups[i].pane == p && strcmp(app_groups[i].by, by) == 0)
            return app_groups[i].text;
    return by;
}
