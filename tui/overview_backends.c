/* SPDX-License-Identifier: ISC */
/* The backends of the overview: one line each, of as many columns as there is room for. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/control_client.h"
#include "ctl/output.h"
#include "ctl/output_text.h"
#include "tui/merge.h"
#include "tui/overview.h"

#define BACKENDS_GAP 2
#define BACKENDS_NAME_MIN 12
#define BACKENDS_NAME_MAX 32
#define BACKENDS_BAR_MIN 6
#define BACKENDS_BAR_MAX 40
#define BACKENDS_PERCENT 5 /* " 100%", behind the bar */
#define BACKENDS_SPARK 30  /* seconds that are remembered */

/* What all lines have in common. */
struct backends_view {
    uint64_t sessions; /* of all */
    uint64_t now_wall_ms;
};

typedef void backends_draw_fn(struct screen *s, int row, int col, int width, const json_t *backend,
                              const struct backends_view *v);

struct backends_column {
    const char *title;
    int width;          /* at least */
    int importance;     /* the greatest are shown first, where there is no room for all */
    const char *member; /* of a number */
    enum commands_type unit;
    enum style style;
    bool tells_slow;        /* of a slow backend it stands out */
    backends_draw_fn *draw; /* of what is more than a number, and stands at the left */
};

static char *backend_name(const json_t *backend)
{
    const char *pool = control_client_member_text(backend, "pool"),
               *node = control_client_member_text(backend, MERGE_NODE);
    return str_printf("%s%s%s%s%s", node, node[0] ? " " : "", pool, pool[0] ? "/" : "",
                      control_client_member_text(backend, "name"));
}

/* ---- cells ---- */

/* Nothing is quiet, and so is what is not known; what is slow stands out. */
static void draw_number(struct screen *s, int row, int col, int width, const json_t *backend,
                        const struct backends_column *c)
{
    AUTO_BUF text = BUF_INIT;
    const json_t *v = json_object_get(backend, c->member);
    const struct output_column column = {.name = (char *)c->member, .unit = c->unit};
    bool is_slow = c->tells_slow && control_client_member_text(backend, "slow")[0];
    enum style style = !v || json_integer_value(v) == 0 ? STYLE_DIM
                       : is_slow                        ? STYLE_WARN
                                                        : c->style;
    output_human(&text, &column, v);
    screen_right(s, row, col, width, style, buf_str(&text));
}

static void draw_name(struct screen *s, int row, int col, int width, const json_t *backend,
                      const struct backends_view *v)
{
    AUTO_FREE char *name = backend_name(backend);
    (void)v;
    (void)screen_text(s, row, col, width, STYLE_NORMAL, str_of(name ? name : ""));
}

static void draw_state(struct screen *s, int row, int col, int width, const json_t *backend,
                       const struct backends_view *v)
{
    char state[32];
    enum style style = overview_backend_state(backend, state);
    (void)v;
    (void)screen_text(s, row, col, width, style, str_of(state));
}

static void draw_share(struct screen *s, int row, int col, int width, const json_t *backend,
                       const struct backends_view *v)
{
    char state[32];
    uint64_t sessions = overview_number(backend, "sessions");
    double percent = v->sessions ? 100.0 * (double)sessions / (double)v->sessions : 0;
    AUTO_FREE char *share = str_printf("%.0f%%", percent);
    int bar = width - BACKENDS_PERCENT;
    screen_bar(s, row, col, bar, overview_backend_state(backend, state), sessions, v->sessions);
    screen_right(s, row, col + bar, BACKENDS_PERCENT, sessions ? STYLE_NORMAL : STYLE_DIM,
                 str_of(share ? share : ""));
}

/* Logins of the last half minute, the newest at the right; a cell is as many seconds as it must be.
 */
static void draw_spark(struct screen *s, int row, int col, int width, const json_t *backend,
                       const struct backends_view *view)
{
    uint64_t v[BACKENDS_SPARK] = {0}, columns[BACKENDS_SPARK] = {0}, most = 1;
    struct str rest = str_of(control_client_member_text(backend, "recent"));
    size_t n = 0, cells = width < BACKENDS_SPARK ? (size_t)width : BACKENDS_SPARK;
    size_t seconds = (BACKENDS_SPARK + cells - 1) / cells;
    (void)view;
    while (rest.n > 0 && n < ARRAY_LEN(v))
        if (str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &v[n++]) < 0)
            return;
    for (size_t i = 0; i < n; i++) {
        size_t back = (n - 1 - i) / seconds;
        uint64_t *column = &columns[back < cells ? cells - 1 - back : 0];
        *column += v[i];
        most = *column > most ? *column : most;
    }
    for (size_t i = 0; i < cells; i++)
        screen_column(s, row, col + (int)i, 1, STYLE_GRAPH, columns[i], most);
}

static void draw_checked(struct screen *s, int row, int col, int width, const json_t *backend,
                         const struct backends_view *v)
{
    uint64_t at = overview_number(backend, "last_check");
    char age[32];
    units_human_duration(age, v->now_wall_ms > at ? v->now_wall_ms - at : 0);
    AUTO_FREE char *text = at ? str_printf("%s ago", age) : NULL;
    screen_right(s, row, col, width, STYLE_DIM, str_of(text ? text : "-"));
}

/* ---- the columns ---- */

enum {
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_SESSIONS,
    COLUMN_SHARE,
    COLUMN_SPARK = 7,
    COLUMN_CERT = 12,
    COLUMN_COUNT
};

static const struct backends_column columns[COLUMN_COUNT] = {
    [COLUMN_NAME] = {"BACKEND", BACKENDS_NAME_MIN, 12, .draw = draw_name},
    [COLUMN_STATE] = {"STATE", 5, 11, .draw = draw_state},
    [COLUMN_SESSIONS] = {"SESSIONS", 8, 10, "sessions", COMMANDS_NUMBER, STYLE_NORMAL, false, NULL},
    [COLUMN_SHARE] = {"SHARE", BACKENDS_BAR_MIN + BACKENDS_PERCENT, 6, .draw = draw_share},
    {"P50", 6, 9, "p50", COMMANDS_LATENCY, STYLE_NORMAL, true, NULL},
    {"P95", 6, 8, "p95", COMMANDS_LATENCY, STYLE_NORMAL, true, NULL},
    {"FAIL", 4, 7, "fail", COMMANDS_PERCENT, STYLE_WARN, false, NULL},
    [COLUMN_SPARK] = {"LOGINS/S", BACKENDS_SPARK / 3, 4, .draw = draw_spark},
    {"LOGINS", 7, 2, "logins", COMMANDS_NUMBER, STYLE_NORMAL, false, NULL},
    {"FAILED", 6, 1, "failures", COMMANDS_NUMBER, STYLE_WARN, false, NULL},
    {"CHECK", 6, 3, "check_ms", COMMANDS_LATENCY, STYLE_NORMAL, false, NULL},
    {"CHECKED", 8, 0, .draw = draw_checked},
    [COLUMN_CERT] = {"CERT", 5, 5, "cert_days", COMMANDS_NUMBER, STYLE_NORMAL, false, NULL},
};

/* Widths of the columns, 0 = there is no room. */
struct backends_layout {
    int width[COLUMN_COUNT];
};

static int widest(const json_t *backends, size_t column)
{
    int width = columns[column].width;
    size_t i;
    const json_t *backend;
    json_array_foreach (backends, i, backend) {
        char state[32];
        AUTO_FREE char *name = column == COLUMN_NAME ? backend_name(backend) : NULL;
        if (column == COLUMN_STATE)
            (void)overview_backend_state(backend, state);
        int w = output_text_width(str_of(name ? name : column == COLUMN_STATE ? state : ""));
        width = w > width ? w : width;
    }
    return width < BACKENDS_NAME_MAX ? width : BACKENDS_NAME_MAX;
}

/* What is left makes sparkline and bar longer: a sparkline is as long as each cell is as many
 * seconds as the others. */
static void layout_spend(struct backends_layout *l, int rest)
{
    static const struct {
        size_t column;
        int width;
        bool is_exact;
    } wishes[] = {{COLUMN_SPARK, BACKENDS_SPARK / 2, true},
                  {COLUMN_SHARE, BACKENDS_BAR_MAX + BACKENDS_PERCENT, false},
                  {COLUMN_SPARK, BACKENDS_SPARK, true}};
    for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
        int *width = &l->width[wishes[i].column], more = wishes[i].width - *width;
        if (!*width || more <= 0 || (wishes[i].is_exact && more > rest))
            continue;
        more = more < rest ? more : rest;
        *width += more;
        rest -= more;
    }
}

/* The most important ones that fit. */
static struct backends_layout layout_make(const json_t *backends, int cols)
{
    struct backends_layout l = {0};
    int used = 1 - BACKENDS_GAP;
    bool has_cert = false;
    size_t k;
    const json_t *backend;
    json_array_foreach (backends, k, backend)
        has_cert = has_cert || json_object_get(backend, columns[COLUMN_CERT].member);
    for (int importance = COLUMN_COUNT; importance >= 0; importance--)
        for (size_t i = 0; i < COLUMN_COUNT; i++) {
            const struct backends_column *c = &columns[i];
            int width = i <= COLUMN_STATE ? widest(backends, i) : c->width;
            if (c->importance != importance || (i == COLUMN_CERT && !has_cert))
                continue;
            if (i == COLUMN_NAME || used + BACKENDS_GAP + width < cols) {
                l.width[i] = width;
                used += BACKENDS_GAP + width;
            }
        }
    layout_spend(&l, cols - 1 - used);
    return l;
}

/* ---- lines ---- */

static void draw_titles(struct screen *s, int row, const struct backends_layout *l)
{
    int col = 1;
    screen_fill(s, row, 0, s->cols, STYLE_HEADER);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        struct str title = str_of(columns[i].title);
        if (!l->width[i])
            continue;
        if (columns[i].draw && columns[i].draw != draw_checked)
            (void)screen_text(s, row, col, l->width[i], STYLE_HEADER, title);
        else
            screen_right(s, row, col, l->width[i], STYLE_HEADER, title);
        col += l->width[i] + BACKENDS_GAP;
    }
}

/* Why it is down says more than that it has no share and no logins. Returns the width. */
static int draw_why(struct screen *s, int row, int col, const json_t *backend,
                    const struct backends_layout *l, const struct backends_view *v)
{
    char age[32];
    int width = -BACKENDS_GAP;
    uint64_t since = overview_number(backend, "health_since");
    for (size_t i = COLUMN_SHARE; i <= COLUMN_SPARK; i++)
        width += l->width[i] ? l->width[i] + BACKENDS_GAP : 0;
    units_human_duration(age, v->now_wall_ms > since ? v->now_wall_ms - since : 0);
    AUTO_FREE char *why = overview_why_down(backend);
    (void)screen_printf(s, row, col, width, STYLE_BAD, "%s%s%s%s", since ? "for " : "",
                        since ? age : "", since ? ": " : "", why ? why : "");
    return width;
}

static void draw_backend(struct overview *o, struct screen *s, int row, const json_t *backend,
                         const struct backends_layout *l, const struct backends_view *v)
{
    char state[32];
    bool is_down = overview_backend_state(backend, state) == STYLE_BAD;
    int col = 1;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (!l->width[i])
            continue;
        if (is_down && i == COLUMN_SHARE && control_client_member_text(backend, "reason")[0]) {
            col += draw_why(s, row, col, backend, l, v) + BACKENDS_GAP;
            i = COLUMN_SPARK;
            continue;
        }
        if (columns[i].draw)
            columns[i].draw(s, row, col, l->width[i], backend, v);
        else
            draw_number(s, row, col, l->width[i], backend, &columns[i]);
        col += l->width[i] + BACKENDS_GAP;
    }
    AUTO_FREE char *name = backend_name(backend);
    overview_put_line(o, s, row, 0, s->cols, PANE_BACKENDS, backend, name ? name : "");
}

void overview_draw_backends(struct overview *o, struct screen *s, int row, int height)
{
    struct backends_view v = {.now_wall_ms = clock_wall_ms()};
    const struct backends_layout l = layout_make(o->backends, s->cols);
    size_t i, n = json_array_size(o->backends);
    const json_t *backend;
    if (height < 2)
        return;
    json_array_foreach (o->backends, i, backend)
        v.sessions += overview_number(backend, "sessions");
    draw_titles(s, row, &l);
    size_t room = (size_t)height - 1;
    json_array_foreach (o->backends, i, backend) {
        if (n > room && i + 1 == room) {
            (void)screen_printf(s, row + 1 + (int)i, 1, s->cols, STYLE_DIM, "%zu more: screen 3",
                                n - i);
            return;
        }
        draw_backend(o, s, row + 1 + (int)i, backend, &l, &v);
    }
}
