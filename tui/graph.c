/* SPDX-License-Identifier: ISC */
/* Values by time, and where they stand. */
#include "tui/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "tui/plot.h"

#define GRAPH_AXIS 7        /* columns of the numbers beside it */
#define GRAPH_AXIS_FROM 34  /* widths that have room for them */
#define GRAPH_TIMES_FROM 6  /* heights that have room for the times below */
#define GRAPH_MARKS_FROM 60 /* widths with times at their quarters */
#define GRAPH_HELD_STEPS 2  /* a sample holds until the next one, if that is not later */

/* ---- values ---- */

static uint64_t sample_time(const json_t *sample)
{
    json_int_t at = json_integer_value(json_object_get(sample, "time"));
    return at > 0 ? (uint64_t)at : 0;
}

static uint64_t newest_time(const struct graph_view *v)
{
    size_t n = json_array_size(v->samples);
    return n ? sample_time(json_array_get(v->samples, n - 1)) : 0;
}

/* Time in parts of the span, counted from 1970: they do not move when time goes on. */
static uint64_t part_of(const struct graph_view *v, uint64_t ms, int n)
{
    return ms * (uint64_t)n / ((uint64_t)v->span->length_s * 1000);
}

void graph_values(const struct graph_view *v, const struct graph *g, const char *member,
                  unsigned back_s, int n, double *ret)
{
    uint64_t newest = part_of(v, newest_time(v), n);
    unsigned held = GRAPH_HELD_STEPS * v->span->step_s * (unsigned)n / v->span->length_s;
    for (int i = 0; i < n; i++)
        ret[i] = NAN;
    for (size_t i = 0; i < json_array_size(v->samples); i++) {
        const json_t *sample = json_array_get(v->samples, i);
        uint64_t part = part_of(v, sample_time(sample) + back_s * 1000ull, n);
        if (part > newest || newest - part >= (uint64_t)n)
            continue;
        double value = json_number_value(json_object_get(sample, member));
        double *at = &ret[(uint64_t)n - 1 - (newest - part)];
        value = g->is_rate ? value / v->span->step_s : value;
        *at = isnan(*at) || value > *at ? value : *at;
    }
    double last = NAN;
    unsigned age = 0;
    for (int i = 0; i < n; i++) {
        age = isnan(ret[i]) ? age + 1 : 0;
        last = isnan(ret[i]) ? last : ret[i];
        ret[i] = age <= held ? last : NAN;
    }
}

double graph_nice(double value, bool is_size)
{
    static const double steps[] = {1,  1.5, 2,  3,  4,   5,   6,   8,   10,  15,  20,  30,
                                   40, 50,  60, 80, 100, 150, 200, 300, 400, 500, 600, 800};
    double unit = is_size ? 1 : 1e-3, next = is_size ? 1024 : 1000;
    if (!(value > 0))
        return 1;
    while (value > unit * 800 && unit < 1e18)
        unit *= next;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (value <= steps[i] * unit)
            return steps[i] * unit;
    return value;
}

/* ---- words ---- */

static void graph_number(char dst[32], const struct graph *g, double n)
{
    if (isnan(n))
        snprintf(dst, 32, "-");
    else if (g->is_size)
        units_human_size(dst, (uint64_t)n);
    else
        snprintf(dst, 32,
                 g->is_rate && n > 0 && n < 1    ? "%.2g"
                 : g->is_rate && n > 0 && n < 10 ? "%.1f"
                                                 : "%.0f",
                 n);
}

static double highest(const double *v, int n)
{
    double most = 0;
    for (int i = 0; v && i < n; i++)
        most = v[i] > most ? v[i] : most; /* never for NAN */
    return most;
}

/* A curve that is drawn, and what is told of it. */
struct graph_curve {
    const struct graph_series *series;
    double *now, *before; /* owned */
    double peak, most, told, told_before;
};

struct graph_layout {
    int rows, cols, dots; /* of the plot */
    int cursor;           /* its cell; -1 = none */
    bool has_axis, has_times, has_before;
    size_t n;
    struct graph_curve curves[2];
};

static bool layout_has_axis(int height, int width)
{
    return width >= GRAPH_AXIS_FROM && height >= 4;
}

int graph_plot_cols(int height, int width)
{
    return layout_has_axis(height, width) ? width - GRAPH_AXIS : width;
}

/* The value of a cell, or of the newest sample. */
static double curve_told(const struct graph_layout *l, const double *v)
{
    if (l->cursor < 0)
        return l->dots ? v[l->dots - 1] : NAN;
    int each = l->dots / l->cols, first = l->cursor * each;
    double most = NAN;
    for (int i = first; i < first + each; i++)
        most = isnan(most) || v[i] > most ? v[i] : most;
    return most;
}

static bool curve_make(struct graph_layout *l, const struct graph_view *v, const struct graph *g,
                       const struct graph_series *series)
{
    struct graph_curve *c = &l->curves[l->n++];
    size_t room = (size_t)l->dots + 1;
    *c = (struct graph_curve){.series = series,
                              .now = calloc(room, sizeof(double)),
                              .before = calloc(room, sizeof(double))};
    if (!c->now || !c->before)
        return false;
    graph_values(v, g, series->member, 0, l->dots, c->now);
    graph_values(v, g, series->member, v->span->before_s, l->dots, c->before);
    c->peak = highest(c->now, l->dots);
    double peak_before = highest(c->before, l->dots);
    c->most = graph_nice(c->peak > peak_before ? c->peak : peak_before, g->is_size);
    c->told = curve_told(l, c->now);
    c->told_before = curve_told(l, c->before);
    for (int i = 0; !l->has_before && i < l->dots; i++)
        l->has_before = !isnan(c->before[i]);
    return true;
}

static bool graph_layout_make(struct graph_layout *l, const struct graph_view *v,
                              const struct graph *g, enum glyphs glyphs, int height, int width)
{
    *l = (struct graph_layout){.has_axis = layout_has_axis(height, width),
                               .has_times = height >= GRAPH_TIMES_FROM,
                               .cols = graph_plot_cols(height, width)};
    l->rows = height - 1 - l->has_times;
    l->dots = plot_dots(glyphs, l->cols);
    l->cursor = -1;
    if (l->cols > 0 && v->cursor_ms) { /* what is too old stands at the left edge */
        uint64_t newest = part_of(v, newest_time(v), l->cols);
        uint64_t at = part_of(v, v->cursor_ms, l->cols), back = newest > at ? newest - at : 0;
        l->cursor = back >= (uint64_t)l->cols ? 0 : l->cols - 1 - (int)back;
    }
    for (size_t i = 0; i < 2 && g->series[i].member; i++)
        if (!curve_make(l, v, g, &g->series[i]))
            return false;
    return l->cols > 0 && l->rows > 0;
}

/* ---- drawing ---- */

/* "ok 12", with the value of before in brackets where the cursor is. */
static int title_series(const struct graph_layout *l, const struct graph *g,
                        const struct graph_curve *c, struct screen *s, int row, int col, int room)
{
    char now[32], before[32];
    graph_number(now, g, c->told);
    graph_number(before, g, c->told_before);
    int used = 0;
    bool is_quiet = !(c->told > 0);
    size_t wanted = strlen(now) + (c->series->label ? strlen(c->series->label) + 1 : 0) + 1;
    if (room < (int)wanted) /* a cut number is a wrong one */
        return 0;
    if (c->series->label)
        used += screen_printf(s, row, col, room, is_quiet ? STYLE_DIM : c->series->style, " %s",
                              c->series->label);
    used += screen_printf(s, row, col + used, room - used, is_quiet ? STYLE_DIM : STYLE_NORMAL,
                          " %s", now);
    if (l->cursor >= 0 && !isnan(c->told_before))
        used += screen_printf(s, row, col + used, room - used, STYLE_DIM, " (%s)", before);
    return used + screen_printf(s, row, col + used, room - used, STYLE_NORMAL, " ");
}

/* "peak 40, 3", or the time of the cursor. */
static char *title_right(const struct graph_layout *l, const struct graph_view *v,
                         const struct graph *g)
{
    char peaks[2][32], length[32], clock[32];
    time_t at = (time_t)(v->cursor_ms / 1000);
    struct tm tm;
    if (l->cursor >= 0)
        return localtime_r(&at, &tm) &&
                       strftime(clock, sizeof(clock),
                                v->span->step_s < 60 ? "at %H:%M:%S" : "at %H:%M", &tm)
                   ? str_dup_c(clock)
                   : NULL;
    for (size_t i = 0; i < l->n; i++)
        graph_number(peaks[i], g, l->curves[i].peak);
    units_human_duration(length, (uint64_t)v->span->length_s * 1000);
    return str_printf("peak %s%s%s%s%s", peaks[0], l->n > 1 ? ", " : "", l->n > 1 ? peaks[1] : "",
                      l->has_times ? "" : " in ", l->has_times ? "" : length);
}

static void axis_number(const struct graph *g, struct screen *s, int row, int col, double n)
{
    char text[32];
    graph_number(text, g, n);
    screen_right(s, row, col, GRAPH_AXIS - 1, STYLE_DIM, str_of(text));
}

/* Of one curve: top, middle and base; of two: the edges and the base between them. */
static void draw_axis(const struct graph_layout *l, const struct graph *g, struct screen *s,
                      int row, int col)
{
    double most = l->curves[0].most;
    int last = l->rows - 1;
    if (l->n > 1) {
        axis_number(g, s, row, col, most);
        if (last > 0)
            axis_number(g, s, row + last, col, l->curves[1].most);
        if (last > 3)
            axis_number(g, s, row + (l->rows + 1) / 2 - 1, col, 0);
        return;
    }
    axis_number(g, s, row, col, most);
    if (last >= 4 && (most >= 2 || g->is_rate))
        axis_number(g, s, row + l->rows / 2, col, most / 2);
    if (last > 0)
        axis_number(g, s, row + last, col, 0);
}

/* "7m30s": exact, of two units at most where the parts of a span are told. */
static void time_mark(char dst[32], uint64_t s)
{
    static const struct {
        unsigned seconds;
        char unit;
    } units[] = {{3600, 'h'}, {60, 'm'}, {1, 's'}};
    int used = snprintf(dst, 32, "-");
    for (size_t i = 0; i < ARRAY_LEN(units); i++, s %= units[i - 1].seconds)
        if (s >= units[i].seconds)
            used += snprintf(dst + used, 32 - (size_t)used, "%llu%c",
                             (unsigned long long)s / units[i].seconds, units[i].unit);
}

/* What the faint line is, as a whole: in short where there is no room for more. Returns the columns
 * that it took. */
static int draw_before(const char *before, struct screen *s, int row, int col, int width)
{
    AUTO_FREE char *text = str_printf(" (faint: %s) ", before);
    struct str said = str_of(text ? text : "");
    if ((int)said.n > width)
        said = STR(" (faint: before) ");
    return (int)said.n <= width ? screen_text(s, row, col, width, STYLE_DIM, said) : 0;
}

/* Below: how long ago the parts of the time were, and what the faint line is. */
static void draw_times(const struct graph_layout *l, const struct graph_view *v, struct screen *s,
                       int row, int col)
{
    const int parts = l->cols >= GRAPH_MARKS_FROM ? 4 : 2;
    int used = 0;
    for (int i = 0; i < parts; i++) {
        char age[32];
        time_mark(age, (uint64_t)v->span->length_s * (uint64_t)(parts - i) / (uint64_t)parts);
        int at = l->cols * i / parts;
        if (at >= used)
            used = at + screen_printf(s, row, col + at, l->cols - at, STYLE_DIM, "%s ", age);
        if (i == 0 && l->has_before)
            used += draw_before(v->span->before, s, row, col + used, l->cols - used - 4);
    }
    screen_right(s, row, col + used, l->cols - used, STYLE_DIM, STR("now"));
}

static void draw_curves(const struct graph_layout *l, struct screen *s, int row, int col)
{
    struct plot p;
    int first = l->n > 1 ? (l->rows + 1) / 2 : l->rows;
    if (plot_init(&p, s->glyphs, l->rows, l->cols) < 0)
        return;
    for (size_t i = 0; i < l->n; i++) {
        const struct graph_curve *c = &l->curves[i];
        const struct plot_curve curve = {.now = c->now,
                                         .before = c->before,
                                         .most = c->most,
                                         .top = i ? first : 0,
                                         .rows = i ? l->rows - first : first,
                                         .is_down = i > 0,
                                         .style = c->series->style};
        plot_add(&p, &curve);
    }
    plot_show(&p, s, row, col);
    plot_fini(&p);
}

void graph_draw(const struct graph_view *v, const struct graph *g, struct screen *s, int row,
                int col, int height, int width)
{
    struct graph_layout l;
    if (graph_layout_make(&l, v, g, s->glyphs, height, width)) {
        int left = col + (l.has_axis ? GRAPH_AXIS : 0);
        int used = screen_text(s, row, col, width, STYLE_TITLE, str_of(g->title));
        for (size_t i = 0; i < l.n; i++)
            used += title_series(&l, g, &l.curves[i], s, row, col + used, width - used);
        AUTO_FREE char *right = title_right(&l, v, g);
        if (right && used + 1 + (int)strlen(right) <= width)
            screen_right(s, row, col + used, width - used, l.cursor >= 0 ? STYLE_KEY : STYLE_DIM,
                         str_of(right));
        if (l.has_axis)
            draw_axis(&l, g, s, row + 1, col);
        draw_curves(&l, s, row + 1, left);
        if (l.has_times)
            draw_times(&l, v, s, row + height - 1, left);
        for (int i = 0; l.cursor >= 0 && i < l.rows; i++)
            screen_restyle(s, row + 1 + i, left + l.cursor, 1, STYLE_SELECTED);
    }
    for (size_t i = 0; i < l.n; i++) {
        free(l.curves[i].now);
        free(l.curves[i].before);
    }
}
