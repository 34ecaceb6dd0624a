/* SPDX-License-Identifier: ISC */
/* Drawing the overview: warnings, graphs, totals, backends as bars. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/merge.h"
#include "tui/overview.h"

#define GRAPH_HEIGHT_MIN 3     /* with its title */
#define GRAPHS_ACROSS_FROM 150 /* widths with all beside one another, when they are not high */
#define GRAPHS_TWO_ROWS 18     /* from this height on two rows of graphs use the space better */
#define TOP_BOTH_FROM 64       /* widths with users and addresses beside one another */
#define FAILURES_FROM 4        /* rows that are left below them for failed logins */
#define WARNINGS_MAX 6
#define NAME_WIDTH_MIN 14
#define NAME_WIDTH_MAX 32
#define STATE_WIDTH 14
#define CHECK_WIDTH 17
#define CERT_WIDTH 4
#define COLS_FOR_COUNTS 110
#define COLS_FOR_TIMES 130
#define COLS_FOR_SPARK 150
#define TIMES_WIDTH 22 /* "120 ms, 4000 ms, 100%" */
#define SPARK_WIDTH 15 /* two seconds a column */
#define SPARK_SECONDS 2

static const struct graph graphs[] = {
    {"sessions", {{"sessions", NULL, STYLE_GRAPH}}, false, false},
    {"logins/s", {{"logins", "ok", STYLE_GOOD}, {"failures", "failed", STYLE_BAD}}, true, false},
    {"traffic/s", {{"in", "in", STYLE_GRAPH}, {"out", "out", STYLE_GOOD}}, true, true},
};

static uint64_t draw_number(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

static const char *draw_text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "";
}

/* ---- lines that can be picked ---- */

/* object: borrowed, NULL = the list of the pane. what: names the line, besides its pane. */
static void draw_line(struct overview *o, struct screen *s, int row, int col, int width,
                      enum pane pane, const json_t *object, const char *what)
{
    if (o->n_lines == OVERVIEW_LINES_MAX)
        return;
    struct overview_line *l = &o->lines[o->n_lines++];
    *l = (struct overview_line){.row = row,
                                .col = col,
                                .width = width,
                                .pane = pane,
                                .object = json_incref((json_t *)object)};
    (void)snprintf(l->id, sizeof(l->id), "%d %s", (int)pane, what);
    if (strcmp(l->id, o->picked) == 0)
        screen_restyle(s, row, col, width, STYLE_SELECTED);
}

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
        const char *key = draw_text(r, "key");
        if (!key[0]) /* nobody is logged in there yet */
            continue;
        if (++line >= row + height)
            return;
        AUTO_FREE char *n = str_printf("%llu", (unsigned long long)draw_number(r, "sessions"));
        (void)screen_text(s, line, col, width - 10, STYLE_NORMAL, str_of(key));
        screen_right(s, line, col + width - 9, 9, STYLE_NORMAL, str_of(n));
        json_t *object = pane == PANE_USERS
                             ? json_pack("{s:s}", "name", key)
                             : json_pack("{s:s, s:s}", "subject", key, "kind", "address");
        draw_line(o, s, line, col, width, pane, object, key);
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
        int w = output_text_width(str_of(draw_text(r, member)));
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
        const char *name = draw_text(r, "user");
        AUTO_FREE char *n = str_printf("%llu", (unsigned long long)draw_number(r, "count"));
        AUTO_FREE char *what =
            str_printf("%s %s %s", draw_text(r, "ip"), name, draw_text(r, "text"));
        (void)screen_text(s, line, col, user, STYLE_NORMAL, name[0] ? str_of(name) : STR("-"));
        (void)screen_text(s, line, col + user + 2, ip, STYLE_NORMAL, str_of(draw_text(r, "ip")));
        int at = user + ip + 4;
        (void)screen_text(s, line, col + at, width - 8 - at, STYLE_DIM,
                          str_of(draw_text(r, "text")));
        screen_right(s, line, col + width - 7, 7, STYLE_NORMAL, str_of(n));
        draw_line(o, s, line, col, width, PANE_FAILURES, r, what ? what : name);
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

static int totals_height(const struct overview *o)
{
    return 1 + (int)o->n_protos + (o->n_protos != 1);
}

/* ---- backends ---- */

/* Where the parts of a line begin; 0 = there is no room for it. */
struct bars {
    int name_width, state, sessions, logins, failed, times, spark, bar, bar_width, check, cert;
};

static char *draw_backend_name(const json_t *backend)
{
    const char *pool = draw_text(backend, "pool"), *node = draw_text(backend, MERGE_NODE);
    return str_printf("%s%s%s%s%s", node, node[0] ? " " : "", pool, pool[0] ? "/" : "",
                      draw_text(backend, "name"));
}

static int draw_name_width(const json_t *backends)
{
    int width = NAME_WIDTH_MIN;
    size_t i;
    const json_t *backend;
    json_array_foreach (backends, i, backend) {
        AUTO_FREE char *name = draw_backend_name(backend);
        int w = output_text_width(str_of(name)) + 2;
        width = w > width ? w : width;
    }
    return width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX;
}

static struct bars draw_bars(const struct overview *o, const struct screen *s)
{
    struct bars b = {.name_width = draw_name_width(o->backends)};
    b.state = 1 + b.name_width;
    b.sessions = b.state + STATE_WIDTH;
    bool has_counts = s->cols >= COLS_FOR_COUNTS;
    b.logins = has_counts ? b.sessions + 10 : 0;
    b.failed = has_counts ? b.logins + 11 : 0;
    int bar = has_counts ? b.failed + 10 : b.sessions + 10;
    b.times = s->cols >= COLS_FOR_TIMES ? bar : 0;
    bar += b.times ? TIMES_WIDTH + 2 : 0;
    b.spark = s->cols >= COLS_FOR_SPARK ? bar : 0;
    bar += b.spark ? SPARK_WIDTH + 2 : 0;
    int rest = s->cols - bar;
    b.cert = rest >= 36 ? s->cols - 1 - CERT_WIDTH : 0;
    b.check = rest >= 30 ? s->cols - 1 - (b.cert ? CERT_WIDTH + 1 : 0) - CHECK_WIDTH : 0;
    b.bar = rest >= 10 ? bar : 0;
    b.bar_width = (b.check ? b.check - 1 : s->cols - 1) - b.bar - 5;
    return b;
}

static void draw_backend_titles(struct screen *s, int row, const struct bars *b)
{
    screen_fill(s, row, 0, s->cols, STYLE_HEADER);
    (void)screen_text(s, row, 1, b->name_width, STYLE_HEADER, STR("BACKEND"));
    (void)screen_text(s, row, b->state, STATE_WIDTH, STYLE_HEADER, STR("STATE"));
    screen_right(s, row, b->sessions, 8, STYLE_HEADER, STR("SESSIONS"));
    if (b->logins) {
        screen_right(s, row, b->logins, 9, STYLE_HEADER, STR("LOGINS"));
        screen_right(s, row, b->failed, 8, STYLE_HEADER, STR("FAILED"));
    }
    if (b->times)
        screen_right(s, row, b->times, TIMES_WIDTH, STYLE_HEADER, STR("P50, P95, FAIL"));
    if (b->spark)
        (void)screen_text(s, row, b->spark, SPARK_WIDTH, STYLE_HEADER, STR("LOGINS/S"));
    if (b->bar)
        (void)screen_text(s, row, b->bar, b->bar_width, STYLE_HEADER, STR("SHARE"));
    if (b->check)
        screen_right(s, row, b->check, CHECK_WIDTH, STYLE_HEADER, STR("CHECK"));
    if (b->cert)
        screen_right(s, row, b->cert, CERT_WIDTH, STYLE_HEADER, STR("CERT"));
}

/* "12 ms, 3s ago" */
static void draw_check(struct screen *s, int row, const struct bars *b, const json_t *backend)
{
    uint64_t at = draw_number(backend, "last_check"), now = clock_wall_ms();
    char age[32];
    if (!b->check || !at)
        return;
    units_human_duration(age, now > at ? now - at : 0);
    AUTO_FREE char *text =
        str_printf("%llu ms, %s ago", (unsigned long long)draw_number(backend, "check_ms"), age);
    screen_right(s, row, b->check, CHECK_WIDTH, STYLE_NORMAL, str_of(text));
}

/* Nothing is quiet. */
static void draw_count(struct screen *s, int row, int col, int width, uint64_t n, enum style style)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    screen_right(s, row, col, width, n ? style : STYLE_DIM, str_of(text));
}

/* "12 ms, 400 ms, 3%"; nothing without logins. */
static void draw_times(struct screen *s, int row, const struct bars *b, const json_t *backend)
{
    uint64_t fail = draw_number(backend, "fail");
    bool is_slow = draw_text(backend, "slow")[0];
    AUTO_BUF text = BUF_INIT;
    if (!b->times || !json_object_get(backend, "fail"))
        return;
    if (json_object_get(backend, "p50"))
        (void)!buf_printf(&text, "%llu ms, %llu ms, ",
                          (unsigned long long)draw_number(backend, "p50"),
                          (unsigned long long)draw_number(backend, "p95"));
    (void)!buf_printf(&text, "%llu%%", (unsigned long long)fail);
    screen_right(s, row, b->times, TIMES_WIDTH, is_slow || fail ? STYLE_WARN : STYLE_NORMAL,
                 buf_str(&text));
}

/* Logins of the last half minute, the newest at the right. */
static void draw_spark(struct screen *s, int row, const struct bars *b, const json_t *backend)
{
    uint64_t v[SPARK_WIDTH * SPARK_SECONDS] = {0}, columns[SPARK_WIDTH] = {0}, most = 1;
    struct str rest = str_of(draw_text(backend, "recent"));
    size_t n = 0;
    if (!b->spark)
        return;
    while (rest.n > 0 && n < ARRAY_LEN(v))
        if (str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &v[n++]) < 0)
            return;
    for (size_t i = 0; i < n; i++) {
        uint64_t *column = &columns[SPARK_WIDTH - 1 - (n - 1 - i) / SPARK_SECONDS];
        *column += v[i];
        most = *column > most ? *column : most;
    }
    for (int i = 0; i < SPARK_WIDTH; i++)
        screen_column(s, row, b->spark + i, 1, STYLE_GRAPH, columns[i], most);
}

static void draw_backend(struct overview *o, struct screen *s, int row, const struct bars *b,
                         const json_t *backend, uint64_t total)
{
    char state[32];
    uint64_t sessions = draw_number(backend, "sessions");
    enum style style = overview_backend_state(backend, state);
    const json_t *days = json_object_get(backend, "cert_days");
    AUTO_FREE char *name = draw_backend_name(backend);
    AUTO_FREE char *number = str_printf("%llu", (unsigned long long)sessions);
    (void)screen_text(s, row, 1, b->name_width - 1, STYLE_NORMAL, str_of(name));
    (void)screen_text(s, row, b->state, STATE_WIDTH - 1, style, str_of(state));
    screen_right(s, row, b->sessions, 8, sessions ? STYLE_NORMAL : STYLE_DIM, str_of(number));
    if (b->logins) {
        draw_count(s, row, b->logins, 9, draw_number(backend, "logins"), STYLE_NORMAL);
        draw_count(s, row, b->failed, 8, draw_number(backend, "failures"), STYLE_WARN);
    }
    draw_times(s, row, b, backend);
    draw_spark(s, row, b, backend);
    const char *reason = draw_text(backend, "reason");
    if (style == STYLE_BAD && reason[0] && b->bar) {
        /* Why it is down says more than that it has no share. */
        char age[32];
        uint64_t since = draw_number(backend, "health_since"), now = clock_wall_ms();
        units_human_duration(age, now > since ? now - since : 0);
        (void)screen_printf(s, row, b->bar, b->bar_width + 5, STYLE_BAD, "for %s: %s", age, reason);
    } else if (b->bar && b->bar_width > 2) {
        double percent = total ? 100.0 * (double)sessions / (double)total : 0;
        AUTO_FREE char *share = str_printf("%.0f%%", percent);
        screen_bar(s, row, b->bar, b->bar_width, style, sessions, total);
        screen_right(s, row, b->bar + b->bar_width, 5, STYLE_NORMAL, str_of(share));
    }
    draw_check(s, row, b, backend);
    if (b->cert && json_is_integer(days)) {
        AUTO_FREE char *text = str_printf("%lldd", (long long)json_integer_value(days));
        screen_right(s, row, b->cert, CERT_WIDTH, STYLE_NORMAL, str_of(text));
    }
    draw_line(o, s, row, 0, s->cols, PANE_BACKENDS, backend, name ? name : "");
}

static void draw_backends(struct overview *o, struct screen *s, int row, int height)
{
    uint64_t total = 0;
    size_t i, n = json_array_size(o->backends);
    const json_t *backend;
    const struct bars b = draw_bars(o, s);
    if (height < 2)
        return;
    json_array_foreach (o->backends, i, backend)
        total += draw_number(backend, "sessions");
    draw_backend_titles(s, row, &b);
    size_t room = (size_t)height - 1;
    json_array_foreach (o->backends, i, backend) {
        if (n > room && i + 1 == room) {
            (void)screen_printf(s, row + 1 + (int)i, 1, s->cols, STYLE_DIM, "%zu more: screen 3",
                                n - i);
            return;
        }
        draw_backend(o, s, row + 1 + (int)i, &b, backend, total);
    }
}

/* ---- the whole ---- */

static int draw_warnings(struct overview *o, struct screen *s, int row, int height)
{
    struct overview_warning w[WARNINGS_MAX];
    size_t n = overview_warnings(o, w, ARRAY_LEN(w));
    int shown = (int)n < height ? (int)n : height;
    for (int i = 0; i < shown; i++) {
        if (w[i].style == STYLE_ALARM)
            screen_fill(s, row + i, 0, s->cols, STYLE_ALARM);
        (void)screen_printf(s, row + i, 1, s->cols - 1, w[i].style, "! %s", w[i].text);
        draw_line(o, s, row + i, 0, s->cols, w[i].pane, w[i].object, w[i].text);
    }
    return shown;
}

void overview_draw(struct overview *o, struct screen *s, int row, int height, bool is_stale)
{
    while (o->n_lines > 0)
        json_decref(o->lines[--o->n_lines].object);
    int end = row + height, at = row + draw_warnings(o, s, row, height / 2);
    int n = (int)json_array_size(o->backends);
    int below = totals_height(o) + 1 + 1 + (n < 8 ? n : 8);
    int graphs_height = end - at - below - 1;
    if (!o->stats && !o->history) {
        (void)screen_text(s, at, 1, s->cols - 1, STYLE_DIM, STR("waiting for the daemon"));
        return;
    }
    int used = draw_graphs(o, s, at, graphs_height);
    at += used + (used > 0);
    int line = at;
    screen_fill(s, line, 0, s->cols, STYLE_HEADER);
    draw_total_row(s, line++, "PROTOCOL", NULL, STYLE_HEADER);
    for (size_t i = 0; i < o->n_protos && line < end; i++)
        if (o->protos[i].stats)
            draw_total_row(s, line++, o->protos[i].name, o->protos[i].stats, STYLE_NORMAL);
    if (o->n_protos != 1 && line < end && o->stats)
        draw_total_row(s, line, "all", o->stats, STYLE_TITLE);
    at += totals_height(o) + 1;
    draw_backends(o, s, at, end - at);
    for (int i = row; is_stale && i < end; i++)
        screen_restyle(s, i, 0, s->cols, STYLE_DIM);
}
