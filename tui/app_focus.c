/* SPDX-License-Identifier: ISC */
/* What the dashboard shows now: daemon, screen, list and page, and what the last line says. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "tui/app.h"

struct node *app_node(const struct app *a)
{
    return &a->nodes[a->at];
}

enum pane app_pane(const struct app *a)
{
    return screen_rows[a->screen].panes[a->focus[a->screen]];
}

struct list_view_view *app_list(const struct app *a)
{
    return &app_node(a)->lists[app_pane(a)];
}

struct row_table *app_table(const struct app *a)
{
    return &app_list(a)->table;
}

void app_say(struct app *a, bool is_bad, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->message, sizeof(a->message), fmt, ap);
    va_end(ap);
    a->is_message_bad = is_bad;
    if (!is_bad)
        return;
    struct app_error *e = &a->errors[a->n_errors++ % APP_ERRORS_MAX];
    e->at_ms = clock_wall_ms();
    memcpy(e->text, a->message, sizeof(e->text));
}

void app_say_no_row(struct app *a)
{
    const struct row_table *t = app_table(a);
    if (app_pane(a) == PANE_OVERVIEW && a->over == OVER_NONE) {
        app_say(a, true, "nothing is picked: Up and Down pick a line");
        return;
    }
    app_say(a, true,
            !t->rows || (t->total && !row_table_selected(t)) ? "the row is still on its way"
            : t->total                                       ? "the row is gone"
                                                             : "there is no row");
}

void app_refresh(struct app *a)
{
    node_refresh(app_node(a));
}

void app_show(struct app *a, enum screen_id screen, int focus)
{
    a->screen = screen;
    a->focus[screen] = focus;
    app_refresh(a);
}

void app_set_filter(struct app *a, const char *filter)
{
    struct row_table *t = app_table(a);
    if (strcmp(t->filter, filter) == 0)
        return;
    row_table_set_filter(t, filter);
    row_table_unmark_all(t);
    if (app_pane(a) == PANE_EVENTS)
        node_restart_events(app_node(a));
    app_refresh(a);
}

/* ---- pages ---- */

void app_open_page(struct app *a, enum app_over over, const char *title)
{
    app_close_page(a);
    text_page_fini(&a->page);
    a->page.glyphs = a->view.glyphs;
    (void)str_copy(a->page.title, sizeof(a->page.title), str_of(title));
    a->over = over;
}

void app_close_page(struct app *a)
{
    if (a->over == OVER_DETAIL)
        detail_close(&a->detail);
    a->over = OVER_NONE;
}
