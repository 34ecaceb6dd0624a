/* SPDX-License-Identifier: ISC */
/* The dashboard's parts put together: life and time. */
#include "tui/app.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tui/mark.h"
#include "tui/query.h"

/* ---- life ---- */

static void on_other_event(void *arg, struct node *n, const json_t *params)
{
    struct app *a = arg;
    if (a->detail.node == n)
        detail_event(&a->detail, params);
}

static void on_op_ended(void *arg, struct node *n, const json_t *op)
{
    (void)arg;
    app_op_ended(n, op);
}

static void app_apply_settings(const struct app *a, struct node *n)
{
    n->overview.span = 0;
    for (unsigned i = 0; i < a->settings.span; i++)
        overview_set_span(&n->overview, 1);
    for (int p = 0; p < PANE_COUNT; p++) {
        const struct settings_pane *s = &a->settings.panes[p];
        struct row_table *t = &n->lists[p].table;
        if (!s->is_set)
            continue;
        const char *sort = s->sort + (s->sort[0] == '-');
        bool is_known = (t->command && commands_column(t->command, sort)) ||
                        (t->has_node && strcmp(sort, TABLE_NODE) == 0);
        if (is_known || !s->sort[0]) {
            t->is_descending = s->sort[0] == '-';
            (void)str_copy(t->sort, sizeof(t->sort), str_of(s->sort + t->is_descending));
        }
        n->lists[p].is_wide = s->is_wide;
        list_view_set_shown(&n->lists[p], str_of(s->columns));
    }
}

static int app_init_nodes(struct app *a, const struct app_options *o)
{
    size_t first = o->n_sockets > 1; /* behind all as one, which is known when they are */
    a->nodes = calloc(first + o->n_sockets, sizeof(*a->nodes));
    if (!a->nodes)
        return -ERR_NOMEM;
    a->n_nodes = first + o->n_sockets;
    for (size_t i = 0; i < o->n_sockets; i++) {
        int err = node_init(&a->nodes[first + i], o->sockets[i]);
        if (err < 0)
            return err;
    }
    int err = first ? node_init_whole(&a->nodes[0], &a->nodes[1], o->n_sockets) : 0;
    if (err < 0)
        return err;
    for (size_t i = 0; i < a->n_nodes; i++) {
        struct node *n = &a->nodes[i];
        n->is_read_only = o->is_read_only;
        n->other_event = on_other_event;
        n->op_ended = on_op_ended;
        n->arg = a;
        app_apply_settings(a, n);
    }
    return 0;
}

int app_init(struct app *a, const struct app_options *o, const struct settings *settings)
{
    *a = (struct app){.settings = *settings};
    a->view.glyphs = o->glyphs;
    for (size_t i = 0; i < settings->n_history; i++)
        prompt_remember(&a->prompt, PROMPT_COMMAND, settings->history[i]);
    int focus = 0, screen = screen_find(settings->screen, &focus);
    if (screen >= 0 && screen_rows[screen].needs[0]) /* this daemon may have no such screen */
        screen = focus = 0;
    if (o->screen >= 0) {
        screen = o->screen;
        focus = o->focus;
    }
    a->screen = screen >= 0 ? (enum screen_id)screen : SCREEN_OVERVIEW;
    a->focus[a->screen] = focus;
    return app_init_nodes(a, o);
}

/* What is worth to be found again next time. */
static void app_keep_settings(struct app *a)
{
    struct settings *s = &a->settings;
    const struct node *n = app_node(a);
    const struct prompt_history *h = &a->prompt.history[PROMPT_COMMAND];
    (void)str_copy(s->screen, sizeof(s->screen), str_of(pane_rows[app_pane(a)].name));
    s->span = (unsigned)n->overview.span;
    for (int p = 0; p < PANE_COUNT; p++) {
        struct settings_pane *v = &s->panes[p];
        v->is_set = n->lists[p].table.command != NULL;
        v->is_wide = n->lists[p].is_wide;
        AUTO_BUF columns = BUF_INIT;
        v->columns[0] = '\0';
        if (list_view_shown_text(&n->lists[p], &columns) == 0)
            (void)str_copy(v->columns, sizeof(v->columns), buf_str(&columns));
        (void)row_table_sort_text(&n->lists[p].table, v->sort);
    }
    for (size_t i = 0; i < s->n_history; i++)
        free(s->history[i]);
    s->n_history = 0;
    for (size_t i = 0; i < h->n && s->n_history < SETTINGS_HISTORY_MAX; i++) {
        char *line = str_dup_c(h->lines[i]);
        if (line)
            s->history[s->n_history++] = line;
    }
}

const struct settings *app_settings(struct app *a)
{
    app_keep_settings(a);
    return &a->settings;
}

void app_fini(struct app *a)
{
    app_close_page(a);
    app_forget_places(a);
    shell_fini(&a->shell);
    act_fini(&a->act);
    for (size_t i = 0; i < a->n_nodes; i++)
        node_fini(&a->nodes[i]);
    free(a->nodes);
    dialog_close(&a->dialog);
    prompt_fini(&a->prompt);
    text_page_fini(&a->page);
    settings_fini(&a->settings);
    json_decref(a->marking);
    free(a->clip);
    screen_fini(&a->view);
}

/* ---- time ---- */

#define APP_TYPING_MS 150

static int app_sooner(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static void app_write_note(const struct app *a, char *dst, size_t size)
{
    const struct row_table *t = app_table(a);
    const struct node_source *s = &app_node(a)->sources[SOURCE_PANE + app_pane(a)];
    if (s->why[0])
        (void)str_copy(dst, size, str_of(s->why));
    else if (node_is_looking(app_node(a), app_pane(a)))
        (void)str_copy(dst, size, STR("looking..."));
    else if (t->seen)
        snprintf(dst, size, "%zu of %llu", t->matched, (unsigned long long)t->seen);
    else
        snprintf(dst, size, "%zu%s", t->matched, t->has_more ? "+" : "");
}

/* The filter is tried while it is typed. Returns ms until it wants to be called again, -1 = never.
 */
static int app_try_filter(struct app *a)
{
    struct prompt *p = &a->prompt;
    char filter[TABLE_FILTER_MAX];
    if (!p->is_open || p->kind != PROMPT_FILTER)
        return -1;
    (void)query_typed(p->edit.text, pane_rows[app_pane(a)].search, filter, sizeof(filter));
    uint64_t now = clock_ms();
    if (strcmp(a->filter_typed, filter) != 0) {
        (void)str_copy(a->filter_typed, sizeof(a->filter_typed), str_of(filter));
        a->filter_typed_ms = now;
    }
    /* A stream begins anew with each: that of events waits for a pause between the keys. */
    uint64_t due_ms = a->filter_typed_ms + (app_pane(a) == PANE_EVENTS ? APP_TYPING_MS : 0);
    if (now >= due_ms)
        app_set_filter(a, filter);
    app_write_note(a, p->note, sizeof(p->note));
    return now >= due_ms ? -1 : (int)(due_ms - now);
}

int app_tick(struct app *a)
{
    int ms = -1;
    for (size_t i = 0; i < a->n_nodes; i++) {
        struct node *n = &a->nodes[i];
        ms = app_sooner(ms, i == a->at ? node_tick(n, a->screen, a->settings.interval_ms)
                                       : node_tick_hidden(n));
    }
    ms = app_sooner(ms, app_try_filter(a));
    mark_tick(a);
    /* What was pressed while rows were being marked meant all of them. */
    enum action then = a->marking ? ACTION_NONE : a->after_marking;
    if (then != ACTION_NONE) {
        a->after_marking = ACTION_NONE;
        app_do(a, then);
    }
    if (a->over == OVER_DETAIL)
        ms = app_sooner(ms, detail_tick(&a->detail, a->settings.interval_ms));
    act_count_tick(a);
    act_tick(a);
    shell_tick(a);
    app_tell(a);
    return ms;
}

bool app_is_complete(const struct app *a)
{
    const struct node *n = app_node(a);
    /* The protocols are known when the listeners are. */
    bool knows_protos = a->screen != SCREEN_OVERVIEW || n->overview.n_protos == 0 ||
                        n->overview.protos[n->overview.n_protos - 1].stats;
    /* Of several daemons each has greeted, or is away. */
    for (size_t i = 0; i < n->n_members; i++)
        if (!n->members[i].is_lost && !node_is_connected(&n->members[i]))
            return false;
    return n->refreshed_ms && node_pending(n) == 0 && n->n_past == 0 && n->next_ms && knows_protos;
}
