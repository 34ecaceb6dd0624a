/* SPDX-License-Identifier: ISC */
/* What keys and the mouse do. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/output.h"
#include "tui/app.h"
#include "tui/mark.h"
#include "tui/page_rows.h"

/* ---- pages ---- */

static void do_help(struct app *a, enum action action)
{
    (void)action;
    size_t n;
    const struct key_row *k = keys_all(&n);
    AUTO_FREE char *title = str_printf("Keys: %s", pane_rows[app_object_pane(a)].name);
    AUTO_FREE bool *valid = calloc(n, sizeof(*valid));
    for (size_t i = 0; valid && i < n; i++)
        valid[i] = app_has_key(a, &k[i]);
    app_open_page(a, OVER_HELP, title ? title : "Keys");
    for (size_t i = 0; valid && i < n; i++) {
        char key[16], other[16] = "", why[128];
        bool may = node_may(app_node(a), k[i].role);
        if (!valid[i])
            continue;
        keys_name(key, k[i].key);
        if (k[i].other)
            keys_name(other, k[i].other);
        page_line(&a->page);
        page_printf(&a->page, may ? STYLE_KEY : STYLE_DIM, "%-7s%-8s", key, other);
        page_put(&a->page, may ? STYLE_NORMAL : STYLE_DIM, str_of(k[i].help));
        if (!may)
            page_printf(&a->page, STYLE_DIM, " - %s", node_may_not(app_node(a), k[i].role, why));
    }
    page_heading(&a->page, "Filters");
    (void)page_add(
        &a->page, STYLE_NORMAL,
        STR("terms are joined by blanks and all must match; ! negates, a comma lists alternatives\n"
            "user=*@example.org proto=imap,pop3 ip=10.0.0.0/8 idle>30m !tls=no\n"
            "a word alone is searched in users, or in the list's names\n"));
}

static void do_errors(struct app *a, enum action action)
{
    (void)action;
    app_open_page(a, OVER_TEXT, "Errors, newest first");
    for (size_t i = a->n_errors; i > 0 && i + APP_ERRORS_MAX > a->n_errors; i--) {
        const struct app_error *e = &a->errors[(i - 1) % APP_ERRORS_MAX];
        char text[25];
        time_t at = (time_t)(e->at_ms / 1000);
        struct tm tm;
        if (!localtime_r(&at, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
            text[0] = '\0';
        page_line(&a->page);
        page_printf(&a->page, STYLE_DIM, "%s  ", text);
        page_put(&a->page, STYLE_NORMAL, str_of(e->text));
    }
    if (a->n_errors == 0) {
        page_line(&a->page);
        page_put(&a->page, STYLE_DIM, STR("none so far"));
    }
}

static void do_details(struct app *a, enum action action)
{
    (void)action;
    struct table *t = app_table(a);
    const json_t *row = table_selected(t);
    if (!row) {
        app_say_no_row(a);
        return;
    }
    app_open_page(a, OVER_DETAIL, "");
    detail_open(&a->detail, app_node(a), app_pane(a), row);
}

/* ---- answers that become pages ---- */

static void on_object(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    char text[256];
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    AUTO_FREE char *title = str_printf("%s %s %s", a->wanted->noun, a->wanted->verb, a->wanted_id);
    app_open_page(a, OVER_TEXT, title ? title : "");
    page_add_object(&a->page, a->wanted, result, a->view.cols);
    page_add_long(&a->page, a->wanted, result, a->view.cols);
    a->message[0] = '\0';
    app_refresh(a);
}

static void do_show(struct app *a, const char *noun, const char *verb, const char *param,
                    const char *words)
{
    const json_t *row = a->over == OVER_DETAIL ? a->detail.object : table_selected(app_table(a));
    const struct command *c = commands_find(noun, verb);
    if (!row || !c) {
        app_say_no_row(a);
        return;
    }
    a->wanted = c;
    json_t *params = json_pack("{s:s}", param, table_identity(app_table(a), row, a->wanted_id));
    if (feed_ask(app_node(a)->feed, c->method, params, on_object, a))
        app_say(a, false, "%s", words);
    else
        app_say(a, true, "there is no connection");
}

/* ---- reload: what would change is shown before ---- */

static void on_diff(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    const struct command *diff = commands_find("config", "diff");
    const struct command *reload = commands_find("config", "reload");
    const json_t *rows = json_object_get(result, "rows");
    size_t n, i;
    char text[256];
    const struct command_arg *args = commands_args(reload, &n);
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    size_t n_rows = json_array_size(rows);
    AUTO_FREE char *count =
        n_rows ? str_printf("%zu %s", n_rows, n_rows == 1 ? "key differs" : "keys differ")
               : str_dup_c("No key differs; files that it names are read anew");
    dialog_open(&a->dialog, "Yes, reload", "Reload the configuration? %s", count ? count : "");
    if (n_rows)
        page_add_rows(&a->dialog.body, diff, rows, NULL, dialog_body_width(&a->view));
    for (i = 0; i < n; i++)
        dialog_add_arg(&a->dialog, &args[i], "");
    a->is_reloading = true;
}

static void on_reloaded(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    const json_t *rows = json_object_get(result, "rows");
    char text[256];
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    app_say(a, false, "reloaded: %zu changed", json_array_size(rows));
    if (json_array_size(rows)) {
        app_open_page(a, OVER_TEXT, "config reload");
        page_add_rows(&a->page, commands_find("config", "reload"), rows, NULL, a->view.cols - 2);
    }
    app_refresh(a);
}

static void reload_confirmed(struct app *a)
{
    json_t *params = json_object();
    for (size_t i = 0; i < a->dialog.n_fields; i++) {
        const struct dialog_field *f = &a->dialog.fields[i];
        if (f->arg && f->edit.text[0])
            json_object_set_new(params, f->arg->name, json_string(f->edit.text));
    }
    dialog_close(&a->dialog);
    a->is_reloading = false;
    if (!feed_ask(app_node(a)->feed, "config.reload", params, on_reloaded, a))
        app_say(a, true, "there is no connection");
}

static void do_reload(struct app *a, enum action action)
{
    (void)action;
    if (!feed_ask(app_node(a)->feed, "config.diff", NULL, on_diff, a))
        app_say(a, true, "there is no connection");
}

/* ---- small things ---- */

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
        page_pause(&a->page, !a->page.is_paused);
        return;
    }
    a->is_paused = !a->is_paused;
    for (size_t i = 0; i < a->n_nodes; i++)
        node_pause(&a->nodes[i], a->is_paused);
}

static void do_copy(struct app *a, enum action action)
{
    (void)action;
    const json_t *row = a->over == OVER_NONE ? table_selected(app_table(a)) : NULL;
    free(a->clip);
    a->clip = a->over != OVER_NONE ? page_text(&a->page)
              : row                ? list_row_text(app_list(a), row)
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

/* What lies over the screen is saved whole, a screen as it is seen. */
static void save_to(struct app *a, const char *path)
{
    AUTO_FREE char *text = a->over != OVER_NONE ? page_text(&a->page) : NULL;
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
    struct table *t = app_table(a);
    a->act.is_filter = false;
    if (action == ACTION_MARK_ALL) {
        mark_all(a);
        return;
    }
    if (!t->selected[0] || table_is_gone(t, t->selected))
        return;
    table_mark(t, t->selected, !table_is_marked(t, t->selected));
    table_move(t, 1);
}

static void do_sort(struct app *a, enum action action)
{
    struct table *t = app_table(a);
    if (action == ACTION_REVERSE)
        table_reverse(t);
    else
        table_sort_next(t, action == ACTION_SORT_LEFT ? -1 : 1, app_list(a)->is_wide);
    list_reset_widths(app_list(a));
    app_refresh(a);
}

static void do_node(struct app *a, enum action action)
{
    size_t by = action == ACTION_NODE_NEXT ? 1 : a->n_nodes - 1;
    if (a->n_nodes < 2) {
        app_say(a, false, "there is one daemon; -s may be given several times");
        return;
    }
    json_decref(a->marking);
    a->marking = NULL;
    a->at = (a->at + by) % a->n_nodes;
    app_refresh(a);
}

static void do_clear(struct app *a, enum action action)
{
    (void)action;
    struct table *t = app_table(a);
    if (t->marks.count)
        table_unmark_all(t);
    else
        app_set_filter(a, "");
    a->act.is_filter = false;
}

static void do_move(struct app *a, enum action action)
{
    struct table *t = app_table(a);
    long all = (long)t->total;
    if (action == ACTION_PAGE_UP || action == ACTION_PAGE_DOWN)
        table_page(t, action == ACTION_PAGE_DOWN ? 1 : -1);
    else
        table_move(t, action == ACTION_UP     ? -1
                      : action == ACTION_DOWN ? 1
                      : action == ACTION_TOP  ? -all
                                              : all);
    if (!table_has_margin(t))
        app_refresh(a);
}

static void do_screen(struct app *a, enum action action)
{
    int by = action == ACTION_NEXT ? 1 : -1;
    enum screen_id next = (enum screen_id)((a->screen + SCREEN_COUNT + by) % SCREEN_COUNT);
    app_show(a, next, a->focus[next]);
}

/* ---- the table of actions ---- */

static void do_view(struct app *a, enum action action)
{
    struct list *l = app_list(a);
    if (action == ACTION_WIDE) {
        l->is_wide = !l->is_wide;
        app_say(a, false, l->is_wide ? "all columns: Left and Right move" : "the usual columns");
    } else if (action == ACTION_OTHER) {
        a->focus[a->screen] = !a->focus[a->screen];
    } else if (action == ACTION_SPAN || action == ACTION_SPAN_BACK) {
        overview_set_span(&app_node(a)->overview, action == ACTION_SPAN ? 1 : -1);
        app_refresh(a);
    } else {
        list_scroll(l, action == ACTION_RIGHT ? 1 : -1);
    }
}

static void do_back(struct app *a, enum action action)
{
    (void)action;
    if (a->screen == SCREEN_OVERVIEW)
        a->is_over = true;
    else
        app_show(a, SCREEN_OVERVIEW, 0);
}

static void do_filter(struct app *a, enum action action)
{
    (void)action;
    struct table *t = app_table(a);
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
        do_show(a, "backend", "check", "name", "checking...");
    else
        do_show(a, "route", "explain", "user", "asking...");
}

/* A view ends when it is closed; these are only the net below it. */
#define TRACE_OPTIONS "--for 1h --max-bytes 16m"

/* A name as a value of the filter language. */
static int trace_value(struct buf *out, const char *name)
{
    if (!strpbrk(name, " \t,\"\\"))
        return buf_append_c(out, name);
    int err = buf_append_char(out, '"');
    for (; *name && !err; name++)
        err = buf_printf(out, "%s%c", *name == '"' || *name == '\\' ? "\\" : "", *name);
    return err ? err : buf_append_char(out, '"');
}

static void do_trace(struct app *a, enum action action)
{
    (void)action;
    const char *id = a->over == OVER_DETAIL ? a->detail.id : app_table(a)->selected;
    AUTO_BUF term = BUF_INIT;
    if (!id[0]) {
        app_say_no_row(a);
        return;
    }
    bool is_user = app_object_pane(a) == PANE_USERS;
    if (buf_append_c(&term, is_user ? "user=" : "id=") || trace_value(&term, id))
        return;
    const char *text = buf_cstr(&term);
    AUTO_FREE char *word = text ? shell_quote(text) : NULL;
    AUTO_FREE char *line = word ? str_printf("session trace %s " TRACE_OPTIONS, word) : NULL;
    if (line)
        shell_run(a, line);
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

/* What is no deed on rows. */
static void (*const doers[ACTION_COUNT])(struct app *a, enum action action) = {
    [ACTION_HELP] = do_help,       [ACTION_DETAILS] = do_details,
    [ACTION_FILTER] = do_filter,   [ACTION_COMMAND] = do_command,
    [ACTION_CHECK] = do_ask,       [ACTION_EXPLAIN] = do_ask,
    [ACTION_TRACE] = do_trace,     [ACTION_RELOAD] = do_reload,
    [ACTION_MARK] = do_mark,       [ACTION_MARK_ALL] = do_mark,
    [ACTION_SORT] = do_sort,       [ACTION_SORT_RIGHT] = do_sort,
    [ACTION_SORT_LEFT] = do_sort,  [ACTION_REVERSE] = do_sort,
    [ACTION_WIDE] = do_view,       [ACTION_OTHER] = do_view,
    [ACTION_SPAN] = do_view,       [ACTION_SPAN_BACK] = do_view,
    [ACTION_LEFT] = do_view,       [ACTION_RIGHT] = do_view,
    [ACTION_PAUSE] = do_pause,     [ACTION_FASTER] = do_interval,
    [ACTION_SLOWER] = do_interval, [ACTION_LAST_ERROR] = do_errors,
    [ACTION_COPY] = do_copy,       [ACTION_SAVE] = do_save,
    [ACTION_MOUSE] = do_mouse,     [ACTION_REDRAW] = do_flag,
    [ACTION_SUSPEND] = do_flag,    [ACTION_QUIT] = do_flag,
    [ACTION_NEXT] = do_screen,     [ACTION_PREVIOUS] = do_screen,
    [ACTION_NODE_NEXT] = do_node,  [ACTION_NODE_PREVIOUS] = do_node,
    [ACTION_CLEAR] = do_clear,     [ACTION_BACK] = do_back,
    [ACTION_CLOSE] = do_close,     [ACTION_UP] = do_move,
    [ACTION_DOWN] = do_move,       [ACTION_PAGE_UP] = do_move,
    [ACTION_PAGE_DOWN] = do_move,  [ACTION_TOP] = do_move,
    [ACTION_BOTTOM] = do_move,
};

static void do_action(struct app *a, enum action action)
{
    if (doers[action])
        doers[action](a, action);
    else
        (void)act_key(a, action);
}

/* ---- which key it is ---- */

/* Over details those keys are valid too that do something to the object. */
static bool key_is_for_object(const struct app *a, const struct key_row *k)
{
    enum pane p = a->detail.pane;
    bool is_own =
        k->action == ACTION_CHECK || k->action == ACTION_EXPLAIN || k->action == ACTION_TRACE;
    return a->over == OVER_DETAIL && k->where & (1u << p) && (is_own || act_has(p, k->action));
}

bool app_has_key(const struct app *a, const struct key_row *k)
{
    if (a->over != OVER_NONE)
        return k->where & KEYS_PAGE || key_is_for_object(a, k);
    if (k->action == ACTION_NODE_NEXT || k->action == ACTION_NODE_PREVIOUS)
        return a->n_nodes > 1;
    return k->where & (1u << app_pane(a));
}

static const struct key_row *key_find(const struct app *a, int key)
{
    const struct key_row *k = NULL;
    if (a->over == OVER_NONE)
        return keys_find(1u << app_pane(a), key);
    k = keys_find(KEYS_PAGE, key);
    if (k || a->over != OVER_DETAIL)
        return k;
    k = keys_find(1u << a->detail.pane, key);
    return k && key_is_for_object(a, k) ? k : NULL;
}

/* ---- dialogs and the prompt take the keys first ---- */

static void dialog_answered(struct app *a, bool is_yes)
{
    bool is_shell = a->shell.phase == SHELL_ASK || a->shell.phase == SHELL_SECRETS;
    if (is_yes && is_shell) {
        shell_confirmed(a);
    } else if (is_yes && a->is_reloading) {
        reload_confirmed(a);
    } else if (is_yes) {
        act_confirmed(a);
    } else {
        dialog_close(&a->dialog);
        a->is_reloading = false;
        act_fini(&a->act);
        if (is_shell)
            shell_fini(&a->shell);
        app_say(a, false, "nothing was done");
    }
}

static void prompt_answered(struct app *a, bool is_done)
{
    struct prompt *p = &a->prompt;
    AUTO_FREE char *text = str_dup_c(p->edit.text);
    enum prompt_kind kind = p->kind;
    char filter[TABLE_FILTER_MAX];
    prompt_close(p);
    if (!text)
        return;
    if (kind == PROMPT_FILTER) {
        app_set_filter(a, is_done ? app_filter_of(a, text, filter) : a->filter_before);
        if (is_done)
            prompt_remember(p, kind, text);
    } else if (is_done && text[0] && kind == PROMPT_COMMAND) {
        prompt_remember(p, kind, text);
        shell_run(a, text);
    } else if (is_done && text[0]) {
        save_to(a, text);
    }
}

static bool app_modal_key(struct app *a, int key)
{
    if (a->dialog.is_open) {
        enum dialog_result r = dialog_key(&a->dialog, key);
        if (r != DIALOG_OPEN)
            dialog_answered(a, r == DIALOG_YES);
        return true;
    }
    if (!a->prompt.is_open)
        return false;
    enum prompt_result r = prompt_key(&a->prompt, key);
    if (r == PROMPT_COMPLETE && a->prompt.kind != PROMPT_SAVE)
        shell_complete(a);
    else if (r == PROMPT_DONE || r == PROMPT_LEFT)
        prompt_answered(a, r == PROMPT_DONE);
    return true;
}

void app_key(struct app *a, int key)
{
    if (key == INPUT_RESIZE || key == INPUT_NONE)
        return;
    if (key == INPUT_CTRL('Z') || key == INPUT_CTRL('L')) { /* also while something is typed */
        do_action(a, key == INPUT_CTRL('Z') ? ACTION_SUSPEND : ACTION_REDRAW);
        return;
    }
    if (app_modal_key(a, key))
        return;
    a->message[0] = '\0';
    if (a->over != OVER_NONE && page_key(&a->page, key))
        return;
    if (a->over == OVER_NONE && key >= '1' && key < '1' + SCREEN_COUNT) {
        app_show(a, (enum screen_id)(key - '1'), a->focus[key - '1']);
        return;
    }
    const struct key_row *k = key_find(a, key);
    char why[128];
    if (k && !node_may(app_node(a), k->role))
        app_say(a, true, "%s", node_may_not(app_node(a), k->role, why));
    else if (k)
        do_action(a, k->action);
}

/* ---- the mouse ---- */

static void click_list(struct app *a, int row, int col)
{
    for (int i = 0; i < 2; i++) {
        struct list *l = &app_node(a)->lists[screen_rows[a->screen].panes[i]];
        const char *column = list_title_at(l, row, col);
        long rank = list_row_at(l, row);
        if (!column && rank < 0)
            continue;
        a->focus[a->screen] = i;
        if (rank >= 0)
            table_move(&l->table, rank - (long)l->table.index);
        else
            table_sort_by(&l->table, column);
        app_refresh(a);
        return;
    }
}

void app_click(struct app *a, int row, int col, int wheel)
{
    int tab = app_tab_at(a, row, col);
    if (a->dialog.is_open || a->prompt.is_open)
        return;
    if (wheel && a->over != OVER_NONE)
        for (int i = 0; i < 3; i++)
            (void)page_key(&a->page, wheel > 0 ? INPUT_DOWN : INPUT_UP);
    else if (wheel)
        for (int i = 0; i < 3; i++)
            do_move(a, wheel > 0 ? ACTION_DOWN : ACTION_UP);
    else if (tab >= 0)
        app_close_page(a), app_show(a, (enum screen_id)tab, a->focus[tab]);
    else if (a->over == OVER_NONE && a->screen != SCREEN_OVERVIEW)
        click_list(a, row, col);
}
