/* SPDX-License-Identifier: ISC */
/* Drawing the overview: warnings, graphs, totals. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/control_client.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/merge.h"
#include "tui/overview.h"

#define GRAPH_HEIGHT_MIN 3     /* with its title */
#define GRAPHS_ACROSS_FROM 150 /* widths with all beside one another, when they are not high */
#define GRAPHS_TWO_ROWS 18     /* from this height on two rows of graphs use the space better */
#define TOP_BOTH_FROM 64       /* widths with users and addresses beside one another */
#define TOTALS_ALL_FROM 34     /* heights that have room for protocols that nobody uses */
#define WARNINGS_SHARE 6       /* so much of the height is for warnings, */
#define WARNINGS_MIN 3         /* but no fewer lines */
#define WARNINGS_MAX 32
#define FAILURES_FROM 4 /* rows that are left below them for failed logins */

static const struct graph graphs[] = {
    {"sessions", {{"sessions", NULL, STYLE_GRAPH}}, false, false},
    {"logins/s", {{"logins", "ok", STYLE_GOOD}, {"failures", "failed", STYLE_BAD}}, true, false},
    {"traffic/s", {{"in", "in", STYLE_GRAPH}, {"out", "out", STYLE_GOOD}}, true, true},
};

/* ---- the busiest ---- */

static void draw_top_rows(struct overview *o, struct screen *s, int row, int col, int height,
                          int width, const char *title, const json_t *rows, enum pane pane)
{
    size_t i;
    const json_t *r;
    (void)screen_text(s, row, col, width, STYLE_TITLE, str_of(title));
    screen_right(s, row, col, width, STYLE_DIM, STR("sessions"));
    if (rows && json_array_size(rows) == 0 && height > 1)
        (void)screen_text(s, row + 1, col, width, STYLE_DIM, STR("nobody"));
    int line = row;
    json_array_foreach (rows, i, r) {
        const char *key = control_client_member_text(r, "key");
        if (!key[0]) /* nobody is logged in there yet */
            continue;
        if (++line >= row + height)
            return;
        AUTO_FREE char *n = str_printf("%llu", (unsigned long long)overview_number(r, "sessions"));
        (void)screen_text(s, line, col, width - 10, STYLE_NORMAL, str_of(key));
        screen_right(s, line, col + width - 9, 9, STYLE_NORMAL, str_of(n));
        json_t *object = pane == PANE_USERS
                             ? json_pack("{s:s}", "name", key)
                             : json_pack("{s:s, s:s}", "subject", key, "kind", "address");
        overview_put_line(o, s, line, col, width, pane, object, key);
        json_decref(object);
    }
}

/* The widest text of a member, within bounds. */
static int draw_width(const json_t *rows, const char *member, int most)
{
    int width = 1;
    size_t i;
    const json_t *r;
    json_array_foreach (rows, i, r) {
        int w = output_text_width(str_of(control_client_member_text(r, member)));
        width = w > width ? w : width;
    }
    return width < most ? width : most;
}

/* The latest failed logins, and how often each happened. */
static void draw_failures(struct overview *o, struct screen *s, int row, int col, int height,
                          int width)
{
    const int user = draw_width(o->top_failures, "user", width / 3);
    const int ip = draw_width(o->top_failures, "ip", width / 3);
    size_t i;
    const json_t *r;
    int line = row;
    (void)screen_text(s, row, col, width, STYLE_TITLE, STR("failed logins"));
    screen_right(s, row, col, width, STYLE_DIM, STR("times"));
    if (o->top_failures && json_array_size(o->top_failures) == 0)
        (void)screen_text(s, row + 1, col, width, STYLE_DIM, STR("none that is remembered"));
    json_array_foreach (o->top_failures, i, r) {
        if (++line >= row + height)
            return;
        const char *name = control_client_member_text(r, "user");
        AUTO_FREE char *n = str_printf("%llu", (unsigned long long)overview_number(r, "count"));
        AUTO_FREE char *what = str_printf("%s %s %s", control_client_member_text(r, "ip"), name,
                                          control_client_member_text(r, "text"));
        (void)screen_text(s, line, col, user, STYLE_NORMAL, name[0] ? str_of(name) : STR("-"));
        (void)screen_text(s, line, col + user + 2, ip, STYLE_NORMAL,
                          str_of(control_client_member_text(r, "ip")));
        int at = user + ip + 4;
        (void)screen_text(s, line, col + at, width - 8 - at, STYLE_DIM,
                          str_of(control_client_member_text(r, "text")));
        screen_right(s, line, col + width - 7, 7, STYLE_NORMAL, str_of(n));
        overview_put_line(o, s, line, col, width, PANE_FAILURES, r, what ? what : name);
    }
}

static void draw_top(struct overview *o, struct screen *s, int row, int col, int height, int width)
{
    bool has_both = width >= TOP_BOTH_FROM;
    int first = has_both ? width / 2 - 2 : width, upper = has_both ? height : (height + 1) / 2;
    if (!has_both && height < 2 * GRAPH_HEIGHT_MIN)
        upper = height;
    draw_top_rows(o, s, row, col, upper, first, "busiest users", o->top_users, PANE_USERS);
    size_t n_users = json_array_size(o->top_users), n_all = json_array_size(o->top_addresses);
    int below = 2 + (int)(n_users > n_all ? n_users : n_all);
    if (has_both)
        draw_top_rows(o, s, row, col + first + 2, height, width - first - 2, "busiest addresses",
                      o->top_addresses, PANE_LIMITS);
    if (has_both && height - below >= FAILURES_FROM)
        draw_failures(o, s, row + below, col, height - below, width);
    if (has_both)
        return;
    if (upper < height)
        draw_top_rows(o, s, row + upper, col, height - upper, width, "busiest addresses",
                      o->top_addresses, PANE_LIMITS);
}

/* ---- graphs ---- */

/* Graphs and the busiest: beside one another, two by two, or one below the other. Returns the rows
 * used. */
static int draw_graphs(struct overview *o, struct screen *s, int row, int height)
{
    const int n = (int)ARRAY_LEN(graphs) + 1;
    const struct graph_view view = {o->history, overview_span(o), o->cursor_ms};
    if (height < 2)
        return 0;
    int across = s->cols >= GRAPHS_ACROSS_FROM && height < GRAPHS_TWO_ROWS ? n
                 : s->cols >= 60                                           ? 2
                                                                           : 1;
    int down = n / across, width = (s->cols - 1) / across - 2;
    while (down > 1 && height / down < GRAPH_HEIGHT_MIN)
        down--;
    int each = height / down;
    if (each < 2)
        return 0;
    o->cols = graph_plot_cols(each, width);
    for (int i = 0; i < across * down; i++) {
        int top = row + (i / across) * each, left = 1 + (i % across) * (width + 2);
        if (i + 1 < n)
            graph_draw(&view, &graphs[i], s, top, left, each, width);
        else
            draw_top(o, s, top, left, each, width);
    }
    return each * down;
}

/* ---- totals ---- */

static const char *const totals[] = {
    "sessions",         "relaying",     "login_rate", "failure_rate", "in_rate",
    "out_rate",         "logins",       "failures",   "limited",      "auth_failures",
    "backend_failures", "tls_failures", "killed"};

static void draw_total_row(struct screen *s, int row, const char *name, const json_t *stats,
                           enum style style)
{
    const struct command *c = commands_find("stats", "show");
    int col = 12;
    (void)screen_text(s, row, 1, 10, style, str_of(name));
    for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
        const struct command_column *column = c ? commands_column(c, totals[i]) : NULL;
        AUTO_BUF text = BUF_INIT;
        if (!column)
            continue;
        int width = (int)strlen(column->title) > 7 ? (int)strlen(column->title) : 7;
        if (col + width > s->cols)
            return;
        const json_t *v = json_object_get(stats, column->name);
        const struct output_column o = {.name = (char *)column->name, .unit = column->unit};
        if (stats)
            output_human(&text, &o, v);
        bool is_zero = stats && json_integer_value(v) == 0;
        screen_right(s, row, col, width, stats ? (is_zero ? STYLE_DIM : STYLE_NORMAL) : style,
                     stats ? buf_str(&text) : str_of(column->title));
        col += width + 2;
    }
}

/* On a low screen only the protocols by which somebody came. */
static bool totals_has(const struct overview_proto *p, int height)
{
    return p->stats &&
           (height >= TOTALS_ALL_FROM || overview_number(p->stats, "sessions") ||
            overview_number(p->stats, "logins") || overview_number(p->stats, "failures"));
}

/* ---- the whole ---- */

/* What a warning is about: its words up to the first number. Ages and counts change while the line
 * stays the same, and stays picked. */
static const char *warning_about(const struct overview_warning *w, char dst[sizeof(w->text)])
{
    size_t n = 1;
    while (w->text[0] && w->text[n] &&
           !(w->text[n] >= '0' && w->text[n] <= '9' && strchr(" (", w->text[n - 1])))
        n++;
    snprintf(dst, sizeof(w->text), "%.*s", (int)n, w->text);
    return dst;
}

/* The worst ones; those that have no room come into view when they are picked. Returns the rows
 * used. */
static int draw_warnings(struct overview *o, struct screen *s, int row, int height)
{
    struct overview_warning w[WARNINGS_MAX];
    int n = (int)overview_warnings(o, w, ARRAY_LEN(w)), shown = n < height ? n : height;
    char id[OVERVIEW_LINE_ID_MAX], about[sizeof(w->text)];
    int picked = 0;
    for (int i = n - 1; i >= 0; i--) {
        snprintf(id, sizeof(id), "%d %s", (int)w[i].pane, warning_about(&w[i], about));
        picked = strcmp(id, o->picked) == 0 ? i : picked;
    }
    int first = picked >= shown ? picked - shown + 1 : 0;
    for (int i = 0; i < n; i++) {
        bool is_shown = i >= first && i < first + shown;
        int line = row + i - first, width = s->cols - 1;
        AUTO_FREE char *more = is_shown && n > shown && i + 1 == first + shown
                                   ? str_printf("%d more ", n - shown)
                                   : NULL;
        width -= more ? (int)strlen(more) + 1 : 0;
        if (is_shown && w[i].style == STYLE_ALARM)
            screen_fill(s, line, 0, s->cols, STYLE_ALARM);
        if (is_shown)
            (void)screen_printf(s, line, 1, width, w[i].style, "! %s", w[i].text);
        if (more)
            screen_right(s, line, width, s->cols - width, STYLE_DIM, str_of(more));
        overview_put_line(o, s, is_shown ? line : -1, 0, s->cols, w[i].pane, w[i].object,
                          warning_about(&w[i], about));
    }
    return shown;
}

void overview_draw(struct overview *o, struct screen *s, int row, int height, bool is_stale)
{
    int end = row + height, warnings = height / WARNINGS_SHARE;
    while (o->n_lines > 0)
        json_decref(o->lines[--o->n_lines].object);
    int few = height / 2 < WARNINGS_MIN ? height / 2 : WARNINGS_MIN;
    int at = row + draw_warnings(o, s, row, warnings > few ? warnings : few);
    int n = (int)json_array_size(o->backends);
    /* Titles and one row a protocol and of all, a blank line, the titles of backends, some. */
    int below = 1 + (o->n_protos != 1) + 1 + 1 + (n < 8 ? n : 8);
    for (size_t i = 0; i < o->n_protos; i++)
        below += totals_has(&o->protos[i], height);
    int graphs_height = end - at - below - 1;
    if (!o->stats && !o->history) {
        (void)screen_text(s, at, 1, s->cols - 1, STYLE_DIM, STR("waiting for the daemon"));
        return;
    }
    int used = draw_graphs(o, s, at, graphs_height);
    at += used + (used > 0);
    screen_fill(s, at, 0, s->cols, STYLE_HEADER);
    draw_total_row(s, at++, "PROTOCOL", NULL, STYLE_HEADER);
    for (size_t i = 0; i < o->n_protos && at < end; i++)
        if (totals_has(&o->protos[i], height))
            draw_total_row(s, at++, o->protos[i].name, o->protos[i].stats, STYLE_NORMAL);
    if (o->n_protos != 1 && at < end && o->stats)
        draw_total_row(s, at, "all", o->stats, STYLE_TITLE);
    at += 1 + (o->n_protos != 1);
    overview_draw_backends(o, s, at, end - at);
    for (int i = row; is_stale && i < end; i++)
        screen_restyle(s, i, 0, s->cols, STYLE_DIM);
}
