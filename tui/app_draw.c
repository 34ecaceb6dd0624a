/* SPDX-License-Identifier: ISC */
/* Where everything stands on the screen. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/app.h"

/* Heights from which on the outer lines are shown. */
#define ROWS_FOR_BAR 3
#define ROWS_FOR_FOOTER 4
#define ROWS_FOR_TABS 8
#define COLS_FOR_VERSION 60
/* Of the body: from here on a list has a line about itself, and two lists fit. */
#define BODY_FOR_TITLE 5
#define BODY_FOR_TWO 12
#define PANE_MIN 5
#define STALE_INTERVALS 3
#define SLOW_MS 3000 /* an answer that takes longer is worth a word */

/* ---- the first lines ---- */

static uint64_t draw_age_ms(const struct app *a)
{
    const struct node *n = app_node(a);
    return n->refreshed_ms ? clock_ms() - n->refreshed_ms : 0;
}

static bool draw_is_stale(const struct app *a)
{
    const struct node *n = app_node(a);
    return n->is_lost || (!a->is_paused && n->refreshed_ms &&
                          draw_age_ms(a) > STALE_INTERVALS * a->settings.interval_ms + 1000);
}

static void draw_bar(const struct app *a, struct screen *s)
{
    const struct node *n = app_node(a);
    char uptime[32] = "?";
    /* Right: pause, age and time of the last answer. */
    char at[16] = "", age[32];
    time_t refreshed = (time_t)(n->refreshed_wall_ms / 1000);
    struct tm tm;
    if (!refreshed || !localtime_r(&refreshed, &tm) || !strftime(at, sizeof(at), "%H:%M:%S", &tm))
        at[0] = '\0';
    units_human_duration(age, draw_age_ms(a));
    bool has_age = at[0] && (draw_is_stale(a) || a->is_paused);
    AUTO_FREE char *right = str_printf("%s%s%s%s ", a->is_paused ? "PAUSED  " : "",
                                       has_age ? age : "", has_age ? " old, of " : "", at);
    int room = s->cols - (right ? (int)strlen(right) : 0);
    screen_fill(s, 0, 0, s->cols, n->is_lost ? STYLE_ALARM : STYLE_BAR);
    if (n->is_lost) {
        (void)screen_printf(s, 0, 0, room, STYLE_ALARM, " LOST: %s; trying again", n->why);
    } else if (!node_is_connected(n)) {
        (void)screen_printf(s, 0, 0, room, STYLE_BAR, " mailproxy  connecting to %s",
                            n->path ? n->path : "all daemons");
    } else {
        const json_t *up = json_object_get(n->overview.status, "uptime");
        if (json_is_integer(up))
            units_human_duration(uptime, (uint64_t)json_integer_value(up));
        AUTO_FREE char *product =
            s->cols >= COLS_FOR_VERSION ? str_printf("mailproxy %s  ", n->version) : NULL;
        size_t here = 0;
        for (size_t i = 0; i < n->n_members; i++)
            here += node_is_connected(&n->members[i]) && !cluster_is_silent(n->cluster, i);
        AUTO_FREE char *name = !n->cluster ? str_dup_c(n->name)
                               : here == n->n_members
                                   ? str_printf("%zu daemons", here)
                                   : str_printf("%zu of %zu daemons", here, n->n_members);
        /* Nodes of its fleet that are there: "3/3", or "store down". */
        const char *fleet =
            n->cluster ? "" : control_client_member_text(n->overview.status, "fleet");
        int col =
            screen_printf(s, 0, 0, room, STYLE_BAR, " %s  %sup %s  %s%s%s%s", name ? name : "",
                          product ? product : "", uptime, role_name(n->role),
                          n->is_read_only ? ", READ ONLY" : "", fleet[0] ? "  fleet " : "", fleet);
        const char *unreached = node_unreached(n, a->screen);
        if (unreached[0] && col + 4 < room)
            (void)screen_printf(s, 0, col + 2, room - col - 3, STYLE_ALARM, " without %s ",
                                unreached);
    }
    if (right)
        screen_right(s, 0, room < 0 ? 0 : room, s->cols - (room < 0 ? 0 : room),
                     n->is_lost ? STYLE_ALARM : STYLE_BAR, str_of(right));
}

static void draw_nodes(const struct app *a, struct screen *s, int row)
{
    int col = 0;
    for (size_t i = 0; i < a->n_nodes; i++) {
        const struct node *n = &a->nodes[i];
        bool is_silent = n->whole && cluster_is_silent(n->whole->cluster, n->place);
        const char *away = n->is_lost                              ? " LOST"
                           : is_silent                             ? " SILENT"
                           : node_is_connected(n) || a->nodes == n ? ""
                                                                   : " ...";
        enum style style = i == a->at ? STYLE_TAB_HERE : away[0] ? STYLE_BAD : STYLE_TAB;
        col += screen_printf(s, row, col, s->cols - col, style, " %s%s ", n->label, away);
    }
}

/* How much of the names of screens there is room for. */
enum tabs { TABS_FULL, TABS_SHORT, TABS_NUMBERS };

/* Returns the width; 0 = it has no tab, for it is neither there nor shown. */
static int tab_text(const struct app *a, int i, enum tabs tabs, char dst[32])
{
    const struct screen_row *r = &screen_rows[i];
    int key = (i + 1) % 10; /* of the tenth: 0 */
    dst[0] = '\0';
    if (i != (int)a->screen && !node_has_screen(app_node(a), (enum screen_id)i))
        return 0;
    if (tabs == TABS_FULL)
        return snprintf(dst, 32, " %d %s ", key, r->name);
    if (tabs == TABS_SHORT)
        return snprintf(dst, 32, "%d %s ", key, r->short_name);
    return i == (int)a->screen ? snprintf(dst, 32, " %d %s ", key, r->name)
                               : snprintf(dst, 32, " %d ", key);
}

static enum tabs tabs_that_fit(const struct app *a, int cols)
{
    char text[32];
    for (enum tabs tabs = TABS_FULL; tabs < TABS_NUMBERS; tabs++) {
        int total = tabs == TABS_SHORT ? -1 : 0; /* the last blank may be beyond the edge */
        for (int i = 0; i < SCREEN_COUNT; i++)
            total += tab_text(a, i, tabs, text);
        if (total <= cols)
            return tabs;
    }
    return TABS_NUMBERS;
}

static void draw_tabs(const struct app *a, struct screen *s, int row)
{
    enum tabs tabs = tabs_that_fit(a, s->cols);
    int col = 0;
    for (int i = 0; i < SCREEN_COUNT; i++) {
        char text[32];
        int width = tab_text(a, i, tabs, text);
        int room = col + width > s->cols ? s->cols - col : width;
        (void)screen_text(s, row, col, room, i == (int)a->screen ? STYLE_TAB_HERE : STYLE_TAB,
                          str_n(text, (size_t)(room > 0 ? room : 0)));
        col += width;
    }
}

int app_tab_at(const struct app *a, int row, int col)
{
    int at = 0, tab_row = a->n_nodes > 1 ? 2 : 1;
    enum tabs tabs = tabs_that_fit(a, a->view.cols);
    if (row != tab_row || a->view.rows < ROWS_FOR_TABS)
        return -1;
    for (int i = 0; i < SCREEN_COUNT; i++) {
        char text[32];
        at += tab_text(a, i, tabs, text);
        if (col < at)
            return i;
    }
    return -1;
}

/* ---- lists ---- */

static int title_put(struct screen *s, int row, int col, enum style style, const char *text)
{
    return text ? screen_text(s, row, col, s->cols - col, style, str_of(text)) : 0;
}

/* "1-18 of 10240, 100000 in all"; what was grouped is no row: "3 of 120 events" */
static char *title_count(const struct row_table *t, enum pane p)
{
    size_t last = t->top + t->page < t->matched ? t->top + t->page : t->matched;
    AUTO_FREE char *all =
        t->seen > t->matched ? str_printf(", %llu in all", (unsigned long long)t->seen) : NULL;
    if (!t->rows)
        return NULL;
    if (p == PANE_FAILURES)
        return str_printf("%zu%s of %llu events", t->matched, t->has_more ? "+" : "",
                          (unsigned long long)t->seen);
    if (t->matched == 0 || (t->top == 0 && last == t->matched))
        return str_printf("%zu%s%s", t->matched, t->has_more ? "+" : "", all ? all : "");
    return str_printf("%zu-%zu of %zu%s%s", t->top + 1, last, t->matched, t->has_more ? "+" : "",
                      all ? all : "");
}

/* Whether rows change their places by themselves, and the selected one is kept in view. */
static bool title_is_following(const struct row_table *t)
{
    struct str first = str_of(t->identity);
    if (t->has_node) /* its place is named before */
        (void)str_word(&first);
    return t->is_following && t->sort[0] && !str_eq(str_word(&first), str_of(t->sort));
}

static void draw_title(const struct app *a, struct screen *s, enum pane p, int row, bool has_focus)
{
    const struct list_view_view *l = &app_node(a)->lists[p];
    const struct row_table *t = &l->table;
    const struct node_source *source = &app_node(a)->sources[SOURCE_PANE + p];
    AUTO_FREE char *count = title_count(t, p);
    AUTO_FREE char *filter = t->filter[0] ? str_printf("  filter: %s", t->filter) : NULL;
    AUTO_FREE char *marks = t->marks.count ? str_printf("  %zu marked", t->marks.count) : NULL;
    AUTO_FREE char *hidden = l->n_hidden ? str_printf("%zu more column%s: W, then Right ",
                                                      l->n_hidden, l->n_hidden == 1 ? "" : "s")
                                         : NULL;
    int col = 0;
    col += title_put(s, row, col, STYLE_NORMAL, " ");
    col += title_put(s, row, col, has_focus ? STYLE_TITLE : STYLE_DIM, pane_rows[p].name);
    if (p == PANE_GROUPS || p == PANE_FAILURES) {
        col += title_put(s, row, col, STYLE_NORMAL, " by ");
        col += title_put(s, row, col, STYLE_KEY, app_grouping(a, p));
    }
    col += title_put(s, row, col, STYLE_NORMAL, "  ");
    col += title_put(s, row, col, STYLE_NORMAL, count);
    col += title_put(s, row, col, STYLE_KEY, filter);
    col += title_put(s, row, col, STYLE_MARKED, marks);
    if (t->rows && node_is_looking(app_node(a), p))
        col += title_put(s, row, col, STYLE_WARN, "  looking...");
    if (has_focus && title_is_following(t))
        col += title_put(s, row, col, STYLE_KEY, "  following");
    if (source->why[0] && t->rows) {
        col += title_put(s, row, col, STYLE_NORMAL, "  ");
        col += title_put(s, row, col, STYLE_BAD, source->why);
    }
    if (json_array_size(app_node(a)->held) && p == PANE_EVENTS) {
        AUTO_FREE char *held =
            str_printf("  %zu wait: p goes on", json_array_size(app_node(a)->held));
        col += title_put(s, row, col, STYLE_WARN, held);
    }
    if (hidden && !l->is_wide && col + 2 + (int)strlen(hidden) <= s->cols)
        screen_right(s, row, col, s->cols - col, STYLE_DIM, str_of(hidden));
}

/* What stands in place of rows that are not there; NULL = what the list says itself. */
static const char *draw_words(const struct list_view_view *l, const struct node_source *source,
                              char dst[256])
{
    uint64_t waited = clock_ms() - source->asked_ms;
    char age[32];
    if (l->table.rows)
        return NULL;
    if (source->why[0])
        return source->why;
    if (!source->is_waiting || waited < SLOW_MS)
        return NULL;
    units_human_duration(age, waited);
    snprintf(dst, 256, "the daemon has not answered for %s", age);
    return dst;
}

static void draw_pane(const struct app *a, struct screen *s, enum pane p, int row, int height,
                      bool has_focus)
{
    struct node *n = app_node(a);
    struct list_view_view *l = &n->lists[p];
    char words[256];
    bool has_title = height >= BODY_FOR_TITLE;
    /* The keys go to one list: only there a row is picked out. */
    l->has_focus = has_focus;
    l->is_looking = node_is_looking(n, p);
    list_view_draw(l, s, row + has_title, height - has_title, draw_is_stale(a),
                   draw_words(l, &n->sources[SOURCE_PANE + p], words));
    if (has_title)
        draw_title(a, s, p, row, has_focus);
}

/* The upper list takes what it needs, as long as the lower one has room. */
static int draw_split(const struct app *a, int height)
{
    const struct node *n = app_node(a);
    const enum pane *p = screen_rows[a->screen].panes;
    int first = (int)n->lists[p[0]].table.total + 3, second = (int)n->lists[p[1]].table.total + 3;
    if (first + second > height && second < height / 2)
        first = height - second;
    else if (first + second > height && first > height / 2)
        first = height / 2;
    first = first < PANE_MIN ? PANE_MIN : first;
    return first > height - PANE_MIN ? height - PANE_MIN : first;
}

static void draw_lists(const struct app *a, struct screen *s, int row, int height)
{
    const enum pane *p = screen_rows[a->screen].panes;
    int focus = a->focus[a->screen];
    for (int i = 0; i < 2; i++)
        app_node(a)->lists[p[i]].height = 0; /* what is not drawn cannot be clicked at */
    if (p[0] == p[1] || height < BODY_FOR_TWO) {
        draw_pane(a, s, p[focus], row, height, true);
        return;
    }
    int first = draw_split(a, height);
    draw_pane(a, s, p[0], row, first, focus == 0);
    draw_pane(a, s, p[1], row + first, height - first, focus == 1);
}

static void draw_page(struct app *a, struct screen *s, int row, int height)
{
    if (a->over == OVER_DETAIL)
        detail_write(&a->detail, &a->page, s->cols);
    screen_fill(s, row, 0, s->cols, STYLE_HEADER);
    AUTO_FREE char *path = a->over == OVER_DETAIL ? app_path(a) : NULL;
    (void)screen_printf(s, row, 1, s->cols - 1, STYLE_HEADER, "%s%s", path ? path : "",
                        a->page.title);
    size_t n = text_page_lines(&a->page);
    if (n > (size_t)(height > 1 ? height - 1 : 1) || a->page.is_paused) {
        size_t last = a->page.top + (size_t)height - 1;
        AUTO_FREE char *place =
            str_printf("%s%zu-%zu of %zu ", a->page.is_paused ? "PAUSED: p goes on  " : "",
                       a->page.top + 1, last < n ? last : n, a->page.n);
        screen_right(s, row, s->cols / 2, s->cols - s->cols / 2, STYLE_HEADER, str_of(place));
    }
    if (a->page.n == 0)
        (void)screen_text(s, row + 1, 1, s->cols - 1, STYLE_DIM,
                          child_is_running(&a->shell.child) ? STR("running...")
                                                            : STR("nothing to show"));
    text_page_draw(&a->page, s, row + 1, 1, height - 1, s->cols - 1,
                   a->over == OVER_DETAIL && (draw_is_stale(a) || a->detail.is_over));
    const struct detail_line *picked = a->over == OVER_DETAIL ? detail_picked(&a->detail) : NULL;
    if (picked && picked->line >= a->page.top && picked->line < a->page.top + (size_t)height - 1)
        screen_restyle(s, row + 1 + (int)(picked->line - a->page.top), 0, s->cols, STYLE_SELECTED);
}

/* ---- the last lines ---- */

/* The first operation that is known to run, and how many there are; NULL = none. */
static const json_t *draw_op(const struct app *a, size_t *ret_n)
{
    struct node *n = app_node(a);
    const json_t *first = NULL, *op;
    size_t i;
    *ret_n = 0;
    json_array_foreach (n->ops, i, op) {
        if (!json_object_get(op, "kind") || !node_is_connected(node_of_row(n, op)))
            continue;
        first = first ? first : op;
        ++*ret_n;
    }
    return first;
}

/* What is under way: "drain main/dc1 37 of 120, 5s left". */
static bool draw_ops(const struct app *a, struct screen *s, int row)
{
    size_t n;
    const json_t *op = draw_op(a, &n);
    uint64_t done = (uint64_t)json_integer_value(json_object_get(op, "done"));
    uint64_t total = (uint64_t)json_integer_value(json_object_get(op, "total"));
    const char *kind = json_string_value(json_object_get(op, "kind"));
    const char *target = json_string_value(json_object_get(op, "target"));
    const json_t *eta = json_object_get(op, "eta");
    char left[32] = "";
    if (!op || row < 0)
        return false;
    if (json_is_integer(eta))
        units_human_duration(left, (uint64_t)json_integer_value(eta));
    /* "37 of 120", of a trace "5.1K of 16M" */
    char size[32], all[32];
    units_human_size(size, done);
    units_human_size(all, total);
    AUTO_FREE char *progress =
        kind && strcmp(kind, "trace") == 0
            ? str_printf("%s of %s", size, all)
            : str_printf("%llu of %llu", (unsigned long long)done, (unsigned long long)total);
    int col = 1, bar = s->cols >= 60 ? 20 : 0;
    if (bar && total) {
        screen_bar(s, row, col, bar, STYLE_WARN, done, total);
        col += bar + 1;
    }
    const char *node = json_string_value(json_object_get(op, MERGE_NODE));
    (void)screen_printf(s, row, col, s->cols - col, STYLE_WARN, "%s%s%s%s%s: %s%s%s%s",
                        node ? node : "", node ? ": " : "", kind ? kind : "", target ? " of " : "",
                        target ? target : "", progress ? progress : "", left[0] ? ", " : "", left,
                        left[0] ? " left" : "");
    if (n > 1) {
        AUTO_FREE char *more = str_printf("%zu more: screen 7 ", n - 1);
        screen_right(s, row, s->cols / 2, s->cols - s->cols / 2, STYLE_DIM, str_of(more));
    }
    return true;
}

static void draw_footer(const struct app *a, struct screen *s, int row)
{
    int col = 0;
    size_t n;
    const struct key_row *k = keys_all(&n);
    if (a->message[0]) {
        (void)screen_printf(s, row, 0, s->cols, a->is_message_bad ? STYLE_BAD : STYLE_GOOD, " %s",
                            a->message);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char key[16];
        if (!k[i].label[0] || !app_has_key(a, &k[i]))
            continue;
        keys_name(key, k[i].key);
        int width = (int)(strlen(key) + strlen(k[i].label)) + 2;
        bool may = node_may(app_node(a), k[i].role);
        if (col + width > s->cols)
            continue;
        col += screen_printf(s, row, col, s->cols - col, may ? STYLE_KEY : STYLE_DIM, " %s", key);
        col += screen_printf(s, row, col, s->cols - col, may ? STYLE_NORMAL : STYLE_DIM, " %s",
                             k[i].label);
    }
}

/* ---- the whole ---- */

void app_draw(struct app *a, int rows, int cols)
{
    struct screen *s = &a->view;
    if (!screen_reset(s, rows, cols))
        return;
    int top = 0, end = rows;
    if (rows >= ROWS_FOR_BAR || app_node(a)->is_lost) {
        draw_bar(a, s);
        top++;
    }
    if (rows >= ROWS_FOR_TABS && a->n_nodes > 1)
        draw_nodes(a, s, top++);
    if (rows >= ROWS_FOR_TABS)
        draw_tabs(a, s, top++);
    if (rows >= ROWS_FOR_FOOTER)
        draw_footer(a, s, --end);
    if (rows >= ROWS_FOR_TABS && draw_ops(a, s, end - 1))
        end--;
    int height = end - top;
    if (height > 0 && a->over != OVER_NONE)
        draw_page(a, s, top, height);
    else if (height > 0 && app_pane(a) == PANE_OVERVIEW)
        overview_draw(&app_node(a)->overview, s, top, height, draw_is_stale(a));
    else if (height > 0)
        draw_lists(a, s, top, height);
    if (rows < ROWS_FOR_FOOTER && a->message[0])
        draw_footer(a, s, rows - 1);
    dialog_draw(&a->dialog, s);
    menu_draw(&a->menu, s);
    prompt_draw(&a->prompt, s);
}
