/* SPDX-License-Identifier: ISC */
/* Screens, refreshing and moving about. */
#include "tui/app.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/output.h"
#include "tui/list.h"

#define APP_EVENTS_MAX 2000
#define APP_LIMIT_MAX 10000
#define APP_HEADER_ROWS 2

static const struct view_row {
    const char *name, *noun, *verb;
    const char *sort; /* column at the beginning; NULL = the daemon's order */
} view_rows[VIEW_COUNT] = {
    [VIEW_OVERVIEW] = {"overview", NULL, NULL, NULL},
    [VIEW_SESSIONS] = {"sessions", "session", "list", "id"},
    [VIEW_BACKENDS] = {"backends", "backend", "list", NULL},
    [VIEW_USERS] = {"users", "user", "list", NULL},
    [VIEW_LISTENERS] = {"listeners", "listener", "list", NULL},
    [VIEW_EVENTS] = {"events", "event", "watch", NULL},
    [VIEW_AUDIT] = {"audit", "audit", "list", NULL},
};

const char *app_view_name(enum view v)
{
    return view_rows[v].name;
}

int app_view_find(const char *name)
{
    for (int i = 0; i < VIEW_COUNT; i++)
        if (strcmp(view_rows[i].name, name) == 0)
            return i;
    return -1;
}

void app_say(struct app *a, bool is_bad, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->message, sizeof(a->message), fmt, ap);
    va_end(ap);
    a->is_message_bad = is_bad;
    if (is_bad)
        memcpy(a->last_error, a->message, sizeof(a->last_error));
}

bool app_may(const struct app *a, enum commands_role role)
{
    const struct client_hello *h = feed_hello(a->feed);
    for (int r = COMMANDS_ADMIN; h && r >= COMMANDS_VIEWER; r--)
        if (strcmp(h->role, commands_role_name(r)) == 0)
            return role == COMMANDS_VIEWER || (!a->is_read_only && role <= (enum commands_role)r);
    return role == COMMANDS_VIEWER;
}

void app_refresh(struct app *a)
{
    a->next_ms = 0;
}

/* ---- answers ---- */

static void app_failed(struct app *a, const struct client_error *e)
{
    app_say(a, true, "%s%s%s", e->text ? e->text : "failed", e->hint ? " - " : "",
            e->hint ? e->hint : "");
}

static void on_list(void *arg, const json_t *result, const struct client_error *error)
{
    struct list_request *request = arg;
    struct app *a = request->app;
    struct table *t = &a->tables[request->view];
    if (!result) {
        app_failed(a, error);
        return;
    }
    table_take(t, result);
    a->refreshed_ms = clock_ms();
}

static void on_status(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    (void)error;
    if (!result)
        return;
    json_decref(a->status);
    a->status = json_incref((json_t *)result);
    a->refreshed_ms = clock_ms();
}

static void on_history(void *arg, const json_t *result, const struct client_error *error)
{
    (void)error;
    if (result)
        overview_take_history(&((struct app *)arg)->overview, result);
}

static void on_stats(void *arg, const json_t *result, const struct client_error *error)
{
    (void)error;
    if (result)
        overview_take_stats(&((struct app *)arg)->overview, result);
}

static void on_backends(void *arg, const json_t *result, const struct client_error *error)
{
    (void)error;
    if (result)
        overview_take_backends(&((struct app *)arg)->overview, result);
}

/* ---- asking: only for what is on the screen ---- */

static json_t *app_list_params(struct app *a, const struct table *t)
{
    char sort[64];
    json_t *params = json_object();
    const char *order = table_sort_text(t, sort);
    size_t limit = t->top + (a->page ? a->page : 50);
    limit = limit < APP_LIMIT_MAX ? limit : APP_LIMIT_MAX;
    if (t->filter[0] && commands_arg(t->command, "filter"))
        json_object_set_new(params, "filter", json_string(t->filter));
    if (order && commands_arg(t->command, "sort"))
        json_object_set_new(params, "sort", json_string(order));
    if (commands_arg(t->command, "limit"))
        json_object_set_new(params, "limit", json_integer((json_int_t)limit));
    return params;
}

static void app_ask_list(struct app *a, enum view v)
{
    struct table *t = &a->tables[v];
    a->requests[v] = (struct list_request){a, v};
    (void)feed_ask(a->feed, t->command->method, app_list_params(a, t), on_list, &a->requests[v]);
}

static void app_ask(struct app *a)
{
    (void)feed_ask(a->feed, "system.status", NULL, on_status, a);
    if (a->view == VIEW_OVERVIEW) {
        int samples = a->screen.cols > 20 ? a->screen.cols : 80;
        (void)feed_ask(a->feed, "stats.history", json_pack("{s:i}", "limit", samples), on_history,
                       a);
        (void)feed_ask(a->feed, "stats.show", NULL, on_stats, a);
        (void)feed_ask(a->feed, "backend.list", NULL, on_backends, a);
    } else if (a->view != VIEW_EVENTS) {
        app_ask_list(a, a->view);
    }
}

int app_tick(struct app *a)
{
    uint64_t now = clock_ms();
    feed_run(a->feed);
    if (feed_hello(a->feed) && now >= a->next_ms && feed_pending(a->feed) == 0 &&
        (!a->is_paused || a->next_ms == 0)) {
        a->next_ms = now + a->interval_ms;
        app_ask(a);
    }
    int retry = feed_timeout_ms(a->feed);
    int due = a->next_ms > now ? (int)(a->next_ms - now) : 50;
    return retry >= 0 && retry < due ? retry : due;
}

/* ---- the connection ---- */

static void on_stream(void *arg, const json_t *result, const struct client_error *error)
{
    if (!result && error->text)
        app_say(arg, true, "events: %s", error->text);
}

static void on_connected(void *arg)
{
    struct app *a = arg;
    if (a->is_lost)
        app_say(a, false, "connected again");
    a->is_lost = false;
    (void)feed_ask(a->feed, "event.watch", NULL, on_stream, a);
    app_refresh(a);
}

static void on_lost(void *arg, const char *why)
{
    struct app *a = arg;
    a->is_lost = true;
    app_say(a, true, "%s: %s", feed_path(a->feed), why);
}

static void on_event(void *arg, const json_t *params)
{
    struct app *a = arg;
    if (!a->is_paused)
        table_append(&a->tables[VIEW_EVENTS], json_incref((json_t *)params), APP_EVENTS_MAX);
}

/* ---- life ---- */

static void app_init_tables(struct app *a)
{
    for (int v = 0; v < VIEW_COUNT; v++) {
        struct table *t = &a->tables[v];
        if (!view_rows[v].noun)
            continue;
        table_init(t, view_rows[v].noun, view_rows[v].verb);
        for (size_t c = 0; view_rows[v].sort && c < t->n_columns; c++)
            if (strcmp(t->columns[c].name, view_rows[v].sort) == 0)
                t->sort = c;
    }
}

int app_init(struct app *a, const struct app_options *o)
{
    *a = (struct app){
        .view = o->view, .interval_ms = o->interval_ms, .is_read_only = o->is_read_only};
    a->screen.is_utf8 = o->is_utf8;
    app_init_tables(a);
    const struct feed_ops ops = {
        .connected = on_connected, .lost = on_lost, .event = on_event, .arg = a};
    return feed_new(o->socket, &ops, &a->feed);
}

void app_fini(struct app *a)
{
    feed_free(a->feed);
    for (int v = 0; v < VIEW_COUNT; v++)
        table_fini(&a->tables[v]);
    overview_fini(&a->overview);
    dialog_fini(&a->dialog);
    json_decref(a->status);
    json_decref(a->targets);
    screen_fini(&a->screen);
}

/* ---- results as text ---- */

char *app_result_text(const struct command *c, const json_t *result, int width, bool is_utf8)
{
    char *text = NULL;
    size_t n = 0;
    struct problem problem = {0};
    const json_t *rows = json_object_get(result, "rows");
    const json_t *plain = json_object_get(result, "text");
    if (json_is_string(plain) && json_object_size(result) == 1)
        return str_dup_c(json_string_value(plain));
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return NULL;
    struct output o = {
        .f = f, .format = OUTPUT_TABLE, .is_utf8 = is_utf8, .is_terminal = true, .width = width};
    if (output_init(&o, c, json_is_array(rows) ? NULL : "all", false, &problem) == 0) {
        if (json_is_array(rows)) {
            output_rows(&o, rows);
            output_end(&o);
        } else {
            output_object(&o, result);
        }
    }
    output_fini(&o);
    problem_fini(&problem);
    fclose(f);
    return text;
}

/* ---- keys ---- */

static void app_show_view(struct app *a, enum view v)
{
    a->view = v;
    app_refresh(a);
}

static void app_help(struct app *a)
{
    AUTO_BUF text = BUF_INIT;
    size_t n;
    const struct key_row *k = keys_all(&n);
    for (size_t i = 0; i < n; i++) {
        char key[16], other[16] = "";
        if (!(k[i].views & (1u << a->view)))
            continue;
        keys_name(key, k[i].key);
        if (k[i].other)
            keys_name(other, k[i].other);
        if (buf_printf(&text, "%-7s %-7s %s%s\n", key, other, k[i].help,
                       app_may(a, k[i].role) ? "" : "  (not permitted)") < 0)
            return;
    }
    if (buf_append_c(&text, "\nFilter terms are joined by blanks: user=*@example.org proto=imap "
                            "ip=10.0.0.0/8 idle>30m !tls=no\n") == 0)
        dialog_pane(&a->dialog, "Keys of this screen", buf_steal(&text));
}

static void app_save(struct app *a)
{
    AUTO_FREE char *path =
        str_printf("mailproxy-tui-%llu.txt", (unsigned long long)clock_wall_ms());
    FILE *f = path ? fopen(path, "wx") : NULL;
    if (!f) {
        app_say(a, true, "the screen could not be saved here");
        return;
    }
    screen_print(&a->screen, f);
    fclose(f);
    app_say(a, false, "saved as %s", path);
}

static void app_set_interval(struct app *a, bool is_faster)
{
    uint64_t ms = is_faster ? a->interval_ms / 2 : a->interval_ms * 2;
    a->interval_ms = ms < APP_INTERVAL_MIN_MS   ? APP_INTERVAL_MIN_MS
                     : ms > APP_INTERVAL_MAX_MS ? APP_INTERVAL_MAX_MS
                                                : ms;
    app_say(a, false, "refreshes every %.2g s", (double)a->interval_ms / 1000);
}

static void app_sort(struct app *a, int direction)
{
    struct table *t = &a->tables[a->view];
    if (!commands_arg(t->command, "sort")) {
        app_say(a, true, "this list has one order");
        return;
    }
    table_sort_next(t, direction);
    app_refresh(a);
}

/* One step out: marks, then the filter, then the program. */
static void app_back(struct app *a, int key)
{
    struct table *t = &a->tables[a->view];
    if (t->marks.count > 0) {
        table_unmark_all(t);
    } else if (t->filter[0]) {
        t->filter[0] = '\0';
        app_refresh(a);
    } else if (a->view != VIEW_OVERVIEW) {
        app_show_view(a, VIEW_OVERVIEW);
    } else if (key == 'q') {
        a->is_over = true;
    }
}

static void app_mark(struct app *a, bool is_all)
{
    struct table *t = &a->tables[a->view];
    char id[256];
    for (size_t i = 0; is_all && i < table_rows(t); i++)
        table_mark(t, table_identity(t, table_row(t, i), id), true);
    const json_t *row = table_selected(t);
    if (is_all || !row)
        return;
    table_identity(t, row, id);
    table_mark(t, id, !table_is_marked(t, id));
    table_move(t, 1, a->page);
}

static void app_copy(struct app *a)
{
    const json_t *row = table_selected(&a->tables[a->view]);
    AUTO_FREE char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    if (!text)
        return;
    term_copy(str_of(text));
    app_say(a, false, "copied");
}

static void app_move(struct app *a, enum action action)
{
    struct table *t = &a->tables[a->view];
    long page = a->page ? (long)a->page : 1, all = (long)table_rows(t);
    long by = action == ACTION_UP          ? -1
              : action == ACTION_DOWN      ? 1
              : action == ACTION_PAGE_UP   ? -page
              : action == ACTION_PAGE_DOWN ? page
              : action == ACTION_TOP       ? -all
                                           : all;
    bool was_at_end = t->index + 1 >= table_rows(t);
    table_move(t, by, a->page);
    /* The rows beyond the page are not here yet. */
    if (by > 0 && was_at_end && t->matched > table_rows(t)) {
        t->top += (size_t)by;
        app_refresh(a);
    }
}

static void app_do(struct app *a, const struct key_row *k, int key)
{
    struct table *t = &a->tables[a->view];
    switch (k->action) {
    case ACTION_HELP:
        app_help(a);
        break;
    case ACTION_FILTER:
        a->asked = ACTION_FILTER;
        dialog_line(&a->dialog, "/", t->filter);
        break;
    case ACTION_COMMAND:
        a->asked = ACTION_COMMAND;
        dialog_line(&a->dialog, ":", "");
        break;
    case ACTION_MARK:
    case ACTION_MARK_ALL:
        app_mark(a, k->action == ACTION_MARK_ALL);
        break;
    case ACTION_SORT:
    case ACTION_SORT_RIGHT:
        app_sort(a, 1);
        break;
    case ACTION_SORT_LEFT:
        app_sort(a, -1);
        break;
    case ACTION_REVERSE:
        t->is_descending = !t->is_descending;
        app_refresh(a);
        break;
    case ACTION_WIDE:
        t->is_wide = !t->is_wide;
        break;
    case ACTION_PAUSE:
        a->is_paused = !a->is_paused;
        break;
    case ACTION_FASTER:
    case ACTION_SLOWER:
        app_set_interval(a, k->action == ACTION_FASTER);
        break;
    case ACTION_LAST_ERROR:
        app_say(a, true, "%s", a->last_error[0] ? a->last_error : "no error so far");
        break;
    case ACTION_COPY:
        app_copy(a);
        break;
    case ACTION_SAVE:
        app_save(a);
        break;
    case ACTION_MOUSE:
        a->has_mouse = !a->has_mouse;
        term_set_mouse(a->has_mouse);
        app_say(a, false, "mouse %s", a->has_mouse ? "on" : "off");
        break;
    case ACTION_REDRAW:
        a->wants_redraw = true;
        break;
    case ACTION_NEXT:
        app_show_view(a, (a->view + 1) % VIEW_COUNT);
        break;
    case ACTION_PREVIOUS:
        app_show_view(a, (a->view + VIEW_COUNT - 1) % VIEW_COUNT);
        break;
    case ACTION_BACK:
        app_back(a, key);
        break;
    case ACTION_QUIT:
        a->is_over = true;
        break;
    case ACTION_UP:
    case ACTION_DOWN:
    case ACTION_PAGE_UP:
    case ACTION_PAGE_DOWN:
    case ACTION_TOP:
    case ACTION_BOTTOM:
        app_move(a, k->action);
        break;
    default:
        act_key(a, k);
        break;
    }
}

static void app_filter(struct app *a)
{
    struct table *t = &a->tables[a->view];
    (void)str_copy(t->filter, sizeof(t->filter), str_of(dialog_value(&a->dialog, 0)));
    t->top = t->index = 0;
    app_refresh(a);
}

static void app_dialog_key(struct app *a, int key)
{
    if (a->dialog.kind == DIALOG_LINE && key == '\t' && a->asked == ACTION_COMMAND) {
        act_complete(a);
        return;
    }
    enum dialog_result r = dialog_key(&a->dialog, key, a->screen.rows);
    if (r == DIALOG_OPEN)
        return;
    a->dialog.kind = DIALOG_NONE;
    if (r == DIALOG_NO)
        return;
    if (a->asked == ACTION_FILTER)
        app_filter(a);
    else if (a->asked == ACTION_COMMAND)
        act_command_line(a, dialog_value(&a->dialog, 0));
    else
        act_confirmed(a);
}

void app_key(struct app *a, int key)
{
    if (a->dialog.kind != DIALOG_NONE) {
        app_dialog_key(a, key);
        return;
    }
    a->message[0] = '\0';
    if (key >= '1' && key < '1' + VIEW_COUNT) {
        app_show_view(a, (enum view)(key - '1'));
        return;
    }
    const struct key_row *k = keys_find(a->view, key == 3 ? 'Q' : key); /* Ctrl-C leaves */
    if (k && !app_may(a, k->role))
        app_say(a, true,
                a->is_read_only ? "read only: started with -r"
                                : "the daemon does not permit that to you");
    else if (k)
        app_do(a, k, key);
}

void app_click(struct app *a, int row, int col, int wheel)
{
    struct table *t = &a->tables[a->view];
    int height = a->screen.rows - APP_HEADER_ROWS - 1;
    if (wheel != 0) {
        table_move(t, wheel * 3, a->page);
        return;
    }
    long i = list_at(t, APP_HEADER_ROWS, height, row);
    size_t column = row == APP_HEADER_ROWS ? list_column_at(t, a->screen.cols, col) : SIZE_MAX;
    if (i >= 0) {
        table_move(t, i - (long)t->index, a->page);
    } else if (column != SIZE_MAX && commands_arg(t->command, "sort")) {
        t->is_descending = t->sort == column ? !t->is_descending : false;
        t->sort = column;
        app_refresh(a);
    }
}

/* ---- drawing ---- */

static void app_draw_header(struct app *a)
{
    struct screen *s = &a->screen;
    char uptime[32] = "";
    const struct client_hello *h = feed_hello(a->feed);
    int col = 0;
    screen_fill(s, 0, 0, s->cols, a->is_lost ? STYLE_BAD : STYLE_NORMAL);
    if (a->status)
        units_human_duration(uptime,
                             (uint64_t)json_integer_value(json_object_get(a->status, "uptime")));
    if (h)
        screen_printf(s, 0, 0, s->cols, STYLE_TITLE, "mailproxy %s  node %s  up %s  %s%s",
                      h->version, h->node, uptime, h->role, a->is_read_only ? " (read only)" : "");
    else
        screen_printf(s, 0, 0, s->cols, STYLE_BAD, "no daemon at %s: trying again",
                      feed_path(a->feed));
    for (int v = 0; v < VIEW_COUNT; v++) {
        AUTO_FREE char *name = str_printf(" %d %s ", v + 1, view_rows[v].name);
        int width = name ? (int)strlen(name) : 0;
        screen_text(s, 1, col, width, v == (int)a->view ? STYLE_HEADER : STYLE_DIM, str_of(name));
        col += width;
    }
}

static void app_draw_state(struct app *a)
{
    struct screen *s = &a->screen;
    const struct table *t = &a->tables[a->view];
    AUTO_BUF text = BUF_INIT;
    uint64_t age = a->refreshed_ms ? clock_ms() - a->refreshed_ms : 0;
    int err = 0;
    if (a->view != VIEW_OVERVIEW)
        err = buf_printf(&text, "%zu/%llu ", table_rows(t),
                         (unsigned long long)(t->matched ? t->matched : table_rows(t)));
    if (err == 0 && t->filter[0])
        err = buf_printf(&text, "filter: %s ", t->filter);
    if (err == 0 && a->is_paused)
        err = buf_append_c(&text, "PAUSED ");
    if (err == 0 && (a->is_lost || age > 3 * a->interval_ms))
        err = buf_printf(&text, "%llu s old ", (unsigned long long)(age / 1000));
    if (err == 0)
        screen_right(s, 0, s->cols / 2, s->cols - s->cols / 2, STYLE_WARN, buf_str(&text));
}

static void app_draw_footer(struct app *a)
{
    struct screen *s = &a->screen;
    int row = s->rows - 1, col = 0;
    size_t n;
    const struct key_row *k = keys_all(&n);
    if (a->message[0]) {
        screen_text(s, row, 0, s->cols, a->is_message_bad ? STYLE_BAD : STYLE_GOOD,
                    str_of(a->message));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char key[16];
        if (!k[i].label[0] || !(k[i].views & (1u << a->view)))
            continue;
        keys_name(key, k[i].key);
        int need = (int)(strlen(key) + strlen(k[i].label)) + 3;
        if (col + need > s->cols)
            break;
        bool may = app_may(a, k[i].role);
        screen_text(s, row, col, (int)strlen(key), may ? STYLE_KEY : STYLE_DIM, str_of(key));
        screen_text(s, row, col + (int)strlen(key) + 1, (int)strlen(k[i].label),
                    may ? STYLE_NORMAL : STYLE_DIM, str_of(k[i].label));
        col += need;
    }
}

void app_draw(struct app *a, int rows, int cols)
{
    if (!screen_reset(&a->screen, rows, cols))
        return;
    int height = rows - APP_HEADER_ROWS - 1;
    app_draw_header(a);
    app_draw_state(a);
    if (a->view == VIEW_OVERVIEW)
        overview_draw(&a->overview, &a->screen, APP_HEADER_ROWS, height, a->is_lost);
    else
        a->page = list_draw(&a->screen, &a->tables[a->view], APP_HEADER_ROWS, height, a->is_lost);
    app_draw_footer(a);
    dialog_draw(&a->dialog, &a->screen);
}
