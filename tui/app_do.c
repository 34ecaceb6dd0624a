/* SPDX-License-Identifier: ISC */
/* What actions do that are none on rows: moving, sorting, pages, prompts, files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "tui/app.h"
#include "tui/mark.h"
#include "tui/query.h"
#include "tui/reload.h"

static void do_page(struct app *a, enum action action)
{
    if (action == ACTION_HELP)
        app_show_help(a);
    else
        app_show_errors(a);
}

static void do_details(struct app *a, enum action action)
{
    (void)action;
    const struct app_object o = app_object(a);
    bool is_overview = a->over == OVER_NONE && app_pane(a) == PANE_OVERVIEW;
    if (a->over == OVER_DETAIL && !detail_picked(&a->detail))
        return;
    if (is_overview && !o.row && o.pane != PANE_OVERVIEW) { /* a line about a whole list */
        int focus, screen = screen_find(pane_rows[o.pane].name, &focus);
        if (screen >= 0) {
            app_leave_place(a);
            app_show(a, (enum screen_id)screen, focus);
        }
        return;
    }
    if (!o.row) {
        if (a->over == OVER_NONE)
            app_say_no_row(a);
        return;
    }
    /* A group leads to its sessions. */
    if (o.pane == PANE_GROUPS) {
        app_only_group(a);
        return;
    }
    app_leave_place(a);
    /* A ban is seen best beside what is counted of its subject. */
    app_open_detail(a, o.node, o.pane == PANE_BANS ? PANE_LIMITS : o.pane, o.row);
}

static void do_go(struct app *a, enum action action)
{
    if (action == ACTION_GO_BACK)
        app_go_back(a);
    else if (action == ACTION_ONLY_THIS)
        app_ask_only(a);
    else if (action == ACTION_GROUP)
        app_ask_groups(a);
    else
        app_go(a, action == ACTION_GO_USER      ? FACET_USER
                  : action == ACTION_GO_BACKEND ? FACET_BACKEND
                                                : FACET_IP);
}

static void do_reload(struct app *a, enum action action)
{
    (void)action;
    reload_ask(a);
}

static void do_interval(struct app *a, enum action action)
{
    bool is_faster = action == ACTION_FASTER;
    uint64_t *ms = &a->settings.interval_ms;
    *ms = is_faster ? *ms / 2 : *ms * 2;
    *ms = *ms < SETTINGS_INTERVAL_MIN_MS ? SETTINGS_INTERVAL_MIN_MS : *ms;
    *ms = *ms > SETTINGS_INTERVAL_MAX_MS ? SETTINGS_INTERVAL_MAX_MS : *ms;
    app_say(a, false, "refreshes every %g s", (double)*ms / 1000);
    app_refresh(a);
}

static void do_pause(struct app *a, enum action action)
{
    (void)action;
    if (a->over != OVER_NONE && a->page.is_stream) {
        text_page_pause(&a->page, !a->page.is_paused);
        return;
    }
    a->is_paused = !a->is_paused;
    for (size_t i = 0; i < a->n_nodes; i++)
        node_pause(&a->nodes[i], a->is_paused);
}

static void do_copy(struct app *a, enum action action)
{
    (void)action;
    const json_t *row = a->over == OVER_NONE ? row_table_selected(app_table(a)) : NULL;
    free(a->clip);
    a->clip = a->over != OVER_NONE ? text_page_text(&a->page)
              : row                ? list_view_row_text(app_list(a), row)
                                   : NULL;
    if (a->clip)
        app_say(a, false, "copied (where the terminal allows it)");
    else
        app_say_no_row(a);
}

static void do_save(struct app *a, enum action action)
{
    (void)action;
    char stamp[32], path[128];
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    if (!localtime_r(&now, &tm) || !strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm))
        return;
    snprintf(path, sizeof(path), "mailproxy-%s-%s.txt", screen_rows[a->screen].name, stamp);
    prompt_open(&a->prompt, PROMPT_SAVE, path);
}

void app_save(struct app *a, const char *path)
{
    AUTO_FREE char *text = a->over != OVER_NONE ? text_page_text(&a->page) : NULL;
    /* It may be anybody's mail: for nobody else to read. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        app_say(a, true, "%s cannot be written: %m", path);
        return;
    }
    if (text)
        fputs(text, f);
    else
        screen_print(&a->view, f);
    bool is_bad = ferror(f);
    is_bad = fclose(f) != 0 || is_bad;
    app_say(a, is_bad, is_bad ? "%s could not be written whole" : "saved as %s", path);
}

static void do_mark(struct app *a, enum action action)
{
    struct row_table *t = app_table(a);
    a->act.is_filter = false;
    if (action == ACTION_MARK_ALL) {
        mark_all(a);
        return;
    }
    if (!t->selected[0] || row_table_is_gone(t, t->selected))
        return;
    if (row_table_is_marked(t, t->selected))
        row_table_unmark(t, t->selected);
    else if (row_table_selected(t))
        row_table_mark(t, t->selected, row_table_selected(t));
    row_table_move(t, 1);
}

void app_sort_by(struct app *a, const char *column)
{
    row_table_sort_by(app_table(a), column);
    list_view_reset_widths(app_list(a));
    app_refresh(a);
}

static void do_sort(struct app *a, enum action action)
{
    struct row_table *t = app_table(a);
    if (row_table_can_skip(t) && !row_table_can_sort(t)) {
        app_say(a, false, "this list has an order of its own");
        return;
    }
    if (action == ACTION_SORT) {
        app_ask_sort(a);
        return;
    }
    if (action == ACTION_REVERSE)
        row_table_reverse(t);
    else
        list_view_sort_next(app_list(a), action == ACTION_SORT_LEFT ? -1 : 1);
    list_view_reset_widths(app_list(a));
    app_refresh(a);
}

static void do_node(struct app *a, enum action action)
{
    size_t by = action == ACTION_NODE_NEXT ? 1 : a->n_nodes - 1;
    if (a->n_nodes < 2) {
        app_say(a, false, "there is one daemon; -s may be given several times");
        return;
    }
    mark_stop(a);
    a->at = (a->at + by) % a->n_nodes;
    app_refresh(a);
}

static void do_clear(struct app *a, enum action action)
{
    (void)action;
    struct row_table *t = app_table(a);
    mark_stop(a);
    (void)overview_unpick(&app_node(a)->overview);
    if (t->marks.count)
        row_table_unmark_all(t);
    else if (t->filter[0])
        app_set_filter(a, "");
    else
        t->is_following = false;
    a->act.is_filter = false;
}

static void do_move(struct app *a, enum action action)
{
    struct row_table *t = app_table(a);
    long all = (long)t->total;
    if (app_pane(a) == PANE_OVERVIEW) {
        bool is_up = action == ACTION_UP || action == ACTION_PAGE_UP || action == ACTION_TOP;
        overview_move(&app_node(a)->overview, is_up ? -1 : 1);
        return;
    }
    if (action == ACTION_PAGE_UP || action == ACTION_PAGE_DOWN)
        row_table_page(t, action == ACTION_PAGE_DOWN ? 1 : -1);
    else
        row_table_move(t, action == ACTION_UP     ? -1
                          : action == ACTION_DOWN ? 1
                          : action == ACTION_TOP  ? -all
                                                  : all);
    if (!row_table_has_margin(t))
        app_refresh(a);
}

static void do_screen(struct app *a, enum action action)
{
    int by = action == ACTION_NEXT ? 1 : SCREEN_COUNT - 1, to = (int)a->screen;
    do
        to = (to + by) % SCREEN_COUNT;
    while (!node_has_screen(app_node(a), (enum screen_id)to)); /* the overview always is there */
    app_change_screen(a, (enum screen_id)to);
}

static void do_view(struct app *a, enum action action)
{
    struct list_view_view *l = app_list(a);
    if (action == ACTION_COLUMNS) {
        app_ask_columns(a);
    } else if (action == ACTION_FILTERS) {
        app_ask_filters(a);
    } else if (action == ACTION_WIDE) {
        l->is_wide = !l->is_wide;
        app_say(a, false, l->is_wide ? "all columns: Left and Right move" : "the usual columns");
    } else if (action == ACTION_OTHER) {
        a->focus[a->screen] = !a->focus[a->screen];
    } else if (action == ACTION_EARLIER || action == ACTION_LATER) {
        overview_move_cursor(&app_node(a)->overview, action == ACTION_LATER ? 1 : -1);
    } else if (action == ACTION_SPAN || action == ACTION_SPAN_BACK) {
        overview_set_span(&app_node(a)->overview, action == ACTION_SPAN ? 1 : -1);
        app_refresh(a);
    } else {
        list_view_scroll(l, action == ACTION_RIGHT ? 1 : -1);
    }
}

static void do_back(struct app *a, enum action action)
{
    (void)action;
    if (a->screen == SCREEN_OVERVIEW)
        a->is_over = true;
    else
        app_change_screen(a, SCREEN_OVERVIEW);
}

static void do_filter(struct app *a, enum action action)
{
    (void)action;
    struct row_table *t = app_table(a);
    memcpy(a->filter_before, t->filter, sizeof(a->filter_before));
    prompt_open(&a->prompt, PROMPT_FILTER, t->filter);
}

static void do_command(struct app *a, enum action action)
{
    (void)action;
    prompt_open(&a->prompt, PROMPT_COMMAND, "");
}

static void do_ask(struct app *a, enum action action)
{
    if (action == ACTION_CHECK)
        app_look_up(a, "backend", "check", "name", "checking...");
    else
        app_look_up(a, "route", "explain", "user", "asking...");
}

/* A view ends when it is closed; these are only the net below it. */
#define TRACE_OPTIONS "--for 1h --max-bytes 16m"

static void do_trace(struct app *a, enum action action)
{
    (void)action;
    const struct app_object o = app_object(a);
    bool is_session = o.pane == PANE_SESSIONS;
    char name[FACET_TEXT_MAX];
    AUTO_BUF term = BUF_INIT;
    if (!o.row) {
        app_say_no_row(a);
        return;
    }
    if (!facet_of(o.pane, o.row, is_session ? FACET_SESSION : FACET_USER, name)) {
        app_say(a, true, "this row has no user");
        return;
    }
    if (query_term(&term, is_session ? "id" : "user", name) < 0)
        return;
    const char *text = buf_cstr(&term);
    AUTO_FREE char *word = text ? shell_quote(text) : NULL;
    AUTO_FREE char *line = word ? str_printf("session trace %s " TRACE_OPTIONS, word) : NULL;
    if (line)
        shell_run(a, o.node, line);
}

static void do_flag(struct app *a, enum action action)
{
    a->wants_redraw = a->wants_redraw || action == ACTION_REDRAW;
    a->wants_suspend = a->wants_suspend || action == ACTION_SUSPEND;
    a->is_over = a->is_over || action == ACTION_QUIT;
}

static void do_close(struct app *a, enum action action)
{
    (void)action;
    shell_stop(&a->shell);
    app_close_page(a);
}

static void do_mouse(struct app *a, enum action action)
{
    (void)action;
    a->settings.has_mouse = !a->settings.has_mouse;
    app_say(a, false, a->settings.has_mouse ? "mouse on" : "mouse off");
}

/* ---- the table: what is none on rows ---- */

static void (*const doers[ACTION_COUNT])(struct app *a, enum action action) = {
    [ACTION_HELP] = do_page,       [ACTION_DETAILS] = do_details,    [ACTION_FILTER] = do_filter,
    [ACTION_COMMAND] = do_command, [ACTION_CHECK] = do_ask,          [ACTION_EXPLAIN] = do_ask,
    [ACTION_TRACE] = do_trace,     [ACTION_RELOAD] = do_reload,      [ACTION_MARK] = do_mark,
    [ACTION_MARK_ALL] = do_mark,   [ACTION_SORT] = do_sort,          [ACTION_SORT_RIGHT] = do_sort,
    [ACTION_SORT_LEFT] = do_sort,  [ACTION_REVERSE] = do_sort,       [ACTION_WIDE] = do_view,
    [ACTION_COLUMNS] = do_view,    [ACTION_FILTERS] = do_view,       [ACTION_OTHER] = do_view,
    [ACTION_SPAN] = do_view,       [ACTION_SPAN_BACK] = do_view,     [ACTION_EARLIER] = do_view,
    [ACTION_LATER] = do_view,      [ACTION_LEFT] = do_view,          [ACTION_RIGHT] = do_view,
    [ACTION_PAUSE] = do_pause,     [ACTION_FASTER] = do_interval,    [ACTION_SLOWER] = do_interval,
    [ACTION_LAST_ERROR] = do_page, [ACTION_COPY] = do_copy,          [ACTION_SAVE] = do_save,
    [ACTION_MOUSE] = do_mouse,     [ACTION_REDRAW] = do_flag,        [ACTION_SUSPEND] = do_flag,
    [ACTION_QUIT] = do_flag,       [ACTION_NEXT] = do_screen,        [ACTION_PREVIOUS] = do_screen,
    [ACTION_NODE_NEXT] = do_node,  [ACTION_NODE_PREVIOUS] = do_node, [ACTION_CLEAR] = do_clear,
    [ACTION_BACK] = do_back,       [ACTION_CLOSE] = do_close,        [ACTION_UP] = do_move,
    [ACTION_DOWN] = do_move,       [ACTION_PAGE_UP] = do_move,       [ACTION_PAGE_DOWN] = do_move,
    [ACTION_TOP] = do_move,        [ACTION_BOTTOM] = do_move,        [ACTION_GO_BACK] = do_go,
    [ACTION_ONLY_THIS] = do_go,    [ACTION_GO_USER] = do_go,         [ACTION_GO_BACKEND] = do_go,
    [ACTION_GO_ADDRESS] = do_go,   [ACTION_GROUP] = do_go,
};

void app_do(struct app *a, enum action action)
{
    if (doers[action])
        doers[action](a, action);
    else
        (void)act_key(a, action);
}
