/* SPDX-License-Identifier: ISC */
/* From any row to what it is about, and back the way one came. */
#include <stdio.h>

#include "tui/app.h"
#include "tui/query.h"

/* ---- places ---- */

void app_leave_place(struct app *a)
{
    if (a->n_places == APP_PLACES_MAX) {
        json_decref(a->places[0].row);
        memmove(a->places, a->places + 1, (APP_PLACES_MAX - 1) * sizeof(a->places[0]));
        a->n_places--;
    }
    struct app_place *p = &a->places[a->n_places++];
    *p = (struct app_place){.screen = a->screen, .focus = a->focus[a->screen]};
    (void)str_copy(p->filter, sizeof(p->filter), str_of(app_table(a)->filter));
    if (a->over == OVER_DETAIL) {
        p->row = json_incref(a->detail.object);
        p->pane = a->detail.pane;
        p->node = a->detail.node;
    }
}

void app_change_screen(struct app *a, enum screen_id screen)
{
    if (screen == a->screen && a->over == OVER_NONE)
        return;
    app_leave_place(a);
    shell_stop(&a->shell);
    app_close_page(a);
    app_show(a, screen, a->focus[screen]);
}

void app_forget_places(struct app *a)
{
    while (a->n_places > 0)
        json_decref(a->places[--a->n_places].row);
}

void app_go_back(struct app *a)
{
    if (a->n_places == 0) {
        if (a->over == OVER_NONE)
            app_say(a, false, "this is where you began");
        shell_stop(&a->shell);
        app_close_page(a);
        return;
    }
    struct app_place p = a->places[--a->n_places];
    shell_stop(&a->shell);
    app_close_page(a);
    app_show(a, p.screen, p.focus);
    app_set_filter(a, p.filter);
    if (p.row)
        app_open_detail(a, p.node, p.pane, p.row);
    json_decref(p.row);
}

/* ---- pages of users, backends, addresses ---- */

void app_open_detail(struct app *a, struct node *n, enum pane p, const json_t *row)
{
    json_t *held = json_incref((json_t *)row); /* it may be one of the page that is closed */
    app_open_page(a, OVER_DETAIL, "");
    detail_open(&a->detail, n, p, held);
    json_decref(held);
}

/* What stands for an object of which only the name is known. */
static json_t *go_row(const struct app_object *o, enum facet f, const char *text)
{
    char pool[FACET_TEXT_MAX] = "";
    if (f == FACET_USER)
        return json_pack("{s:s}", "name", text);
    if (f != FACET_BACKEND)
        return json_pack("{s:s, s:s}", "subject", text, "kind",
                         strchr(text, '/') ? "network" : "address");
    const char *slash = strchr(text, '/');
    if (slash) /* "main/b1" of an event */
        return json_pack("{s:s, s:s#}", "name", slash + 1, "pool", text, (int)(slash - text));
    if (facet_of(o->pane, o->row, FACET_POOL, pool))
        return json_pack("{s:s, s:s}", "name", text, "pool", pool);
    return json_pack("{s:s}", "name", text);
}

void app_go(struct app *a, enum facet f)
{
    static const enum pane panes[FACET_COUNT] = {
        [FACET_USER] = PANE_USERS, [FACET_BACKEND] = PANE_BACKENDS, [FACET_IP] = PANE_LIMITS};
    const struct app_object o = app_object(a);
    char text[FACET_TEXT_MAX];
    if (!o.row) {
        app_say_no_row(a);
        return;
    }
    if (!facet_of(o.pane, o.row, f, text) &&
        (f != FACET_IP || !facet_of(o.pane, o.row, FACET_NET, text))) {
        app_say(a, true, "this row has no %s", facet_rows[f].name);
        return;
    }
    json_t *row = go_row(&o, f, text);
    app_leave_place(a);
    app_open_detail(a, o.node, panes[f], row);
    json_decref(row);
}

/* ---- "only this" ---- */

static bool only_events(const struct app_object *o)
{
    return o->pane == PANE_EVENTS || o->pane == PANE_FAILURES;
}

void app_ask_only(struct app *a)
{
    const struct app_object o = app_object(a);
    char text[FACET_TEXT_MAX];
    bool is_events = only_events(&o);
    if (!o.row) {
        app_say_no_row(a);
        return;
    }
    menu_open(&a->menu, MENU_ONLY, is_events ? "Only events of" : "Only sessions of",
              "a letter picks, Esc leaves");
    for (int f = 0; f < FACET_COUNT; f++) {
        const struct facet_row *r = &facet_rows[f];
        if ((is_events ? r->event : r->field) && facet_of(o.pane, o.row, (enum facet)f, text))
            menu_add(&a->menu, r->key, r->name, false, "%-15s %s", r->name, text);
    }
    if (a->menu.n == 0) {
        menu_close(&a->menu);
        app_say(a, true, "this row has nothing to filter by");
    }
}

void app_only(struct app *a, const char *name)
{
    const struct app_object o = app_object(a);
    AUTO_BUF filter = BUF_INIT;
    char text[FACET_TEXT_MAX];
    bool is_events = only_events(&o);
    enum screen_id screen = is_events ? SCREEN_EVENTS : SCREEN_SESSIONS;
    const char *old = app_node(a)->lists[is_events ? PANE_EVENTS : PANE_SESSIONS].table.filter;
    /* On the list itself the choice narrows what was chosen before. */
    if (a->over == OVER_NONE && a->screen == screen && old[0] && buf_append_c(&filter, old) < 0)
        return;
    for (int f = 0; f < FACET_COUNT; f++) {
        const struct facet_row *r = &facet_rows[f];
        const char *field = is_events ? r->event : r->field;
        if (strcmp(r->name, name) != 0 || !field || !facet_of(o.pane, o.row, (enum facet)f, text))
            continue;
        if (query_term(&filter, field, text) < 0)
            return;
        if (f == FACET_BACKEND && !is_events && facet_of(o.pane, o.row, FACET_POOL, text) &&
            query_term(&filter, "pool", text) < 0)
            return;
    }
    const char *words = buf_cstr(&filter);
    app_leave_place(a);
    app_close_page(a);
    app_show(a, screen, 0);
    app_set_filter(a, words ? words : "");
}

/* ---- groups ---- */

void app_only_group(struct app *a)
{
    AUTO_BUF filter = BUF_INIT;
    const json_t *row = row_table_selected(app_table(a));
    if (!row || app_group_filter(a, row, &filter) < 0) {
        app_say_no_row(a);
        return;
    }
    app_leave_place(a);
    app_show(a, SCREEN_SESSIONS, 0);
    app_set_filter(a, buf_cstr(&filter));
}

void app_ask_groups(struct app *a)
{
    const struct node *n = app_node(a);
    bool is_events = app_pane(a) == PANE_EVENTS || app_pane(a) == PANE_FAILURES;
    enum pane p = is_events ? PANE_FAILURES : PANE_GROUPS;
    const char *now = is_events ? n->failures_by : n->groups_by;
    menu_open(&a->menu, is_events ? MENU_FAILURES : MENU_GROUPS,
              is_events ? "Count failed logins by" : "Count sessions by",
              "a letter picks, Esc leaves");
    for (size_t i = 0; i < app_n_groups; i++)
        if (app_groups[i].pane == p)
            menu_add(&a->menu, app_groups[i].key, app_groups[i].by,
                     a->screen >= SCREEN_FAILURES && strcmp(app_groups[i].by, now) == 0, "%s",
                     app_groups[i].text);
}

void app_group(struct app *a, enum pane p, const char *by)
{
    enum screen_id screen = p == PANE_GROUPS ? SCREEN_GROUPS : SCREEN_FAILURES;
    char filter[TABLE_FILTER_MAX] = "";
    if (app_pane(a) == PANE_SESSIONS)
        (void)str_copy(filter, sizeof(filter), str_of(app_table(a)->filter));
    if (a->screen != screen)
        app_change_screen(a, screen);
    for (size_t i = 0; i < app_n_groups; i++)
        if (app_groups[i].pane == p && strcmp(app_groups[i].by, by) == 0)
            node_group(app_node(a), p, app_groups[i].by);
    if (filter[0])
        app_set_filter(a, filter);
}
