/* SPDX-License-Identifier: ISC */
/* Drawing the overview. */
#include "tui/overview.h"

#include "base/cleanup.h"
#include "base/units.h"

#define GRAPH_HEIGHT 5

void overview_fini(struct overview *o)
{
    json_decref(o->history);
    json_decref(o->stats);
    json_decref(o->backends);
}

static void overview_replace(json_t **have, json_t *value)
{
    json_decref(*have);
    *have = json_incref(value);
}

void overview_take_history(struct overview *o, const json_t *result)
{
    overview_replace(&o->history, json_object_get(result, "rows"));
}

void overview_take_stats(struct overview *o, const json_t *result)
{
    overview_replace(&o->stats, (json_t *)result);
}

void overview_take_backends(struct overview *o, const json_t *result)
{
    overview_replace(&o->backends, json_object_get(result, "rows"));
}

static uint64_t overview_number(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

/* ---- graphs ---- */

struct graph {
    const char *title, *member;
    const char *second; /* added to member; NULL */
    bool is_size;
    enum style style;
};

static const struct graph graphs[] = {
    {"sessions", "sessions", NULL, false, STYLE_GRAPH},
    {"logins/s", "logins", NULL, false, STYLE_GOOD},
    {"failures/s", "failures", NULL, false, STYLE_BAD},
    {"traffic/s", "in", "out", true, STYLE_GRAPH},
};

static uint64_t graph_value(const struct graph *g, const json_t *sample)
{
    return overview_number(sample, g->member) +
           (g->second ? overview_number(sample, g->second) : 0);
}

static void graph_number(char dst[32], const struct graph *g, uint64_t n)
{
    if (g->is_size)
        units_human_size(dst, n);
    else
        snprintf(dst, 32, "%llu", (unsigned long long)n);
}

/* Eighths of a cell in UTF-8, whole cells in ASCII. */
static void graph_bar(struct screen *s, int bottom, int col, int height, enum style style,
                      uint64_t n, uint64_t most)
{
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t steps = most ? (n * (uint64_t)height * 8 + most - 1) / most : 0;
    for (int i = 0; i < height && steps > 0; i++) {
        unsigned here = steps >= 8 ? 8 : (unsigned)steps;
        const char *text = s->is_utf8 ? eighths[here] : here >= 4 ? "#" : here >= 1 ? "." : " ";
        screen_text(s, bottom - i, col, 1, style, str_of(text));
        steps -= here;
    }
}

static void graph_draw(const struct overview *o, const struct graph *g, struct screen *s, int row,
                       int col, int height, int width)
{
    size_t n = json_array_size(o->history);
    size_t shown = n < (size_t)width ? n : (size_t)width;
    uint64_t most = 0, last = 0;
    char now_text[32], most_text[32];
    for (size_t i = n - shown; i < n; i++) {
        last = graph_value(g, json_array_get(o->history, i));
        most = last > most ? last : most;
    }
    graph_number(now_text, g, last);
    graph_number(most_text, g, most);
    screen_text(s, row, col, width, STYLE_TITLE, str_of(g->title));
    screen_printf(s, row, col + 12, width - 12, STYLE_DIM, "%s  (most %s)", now_text, most_text);
    for (size_t i = 0; i < shown; i++)
        graph_bar(s, row + height - 1, col + width - (int)shown + (int)i, height - 1, g->style,
                  graph_value(g, json_array_get(o->history, n - shown + i)), most);
}

/* Two by two where there is room, else one below the other. */
static int overview_graphs(const struct overview *o, struct screen *s, int row, int height)
{
    int columns = s->cols >= 60 ? 2 : 1, at = row;
    int width = s->cols / columns - 2;
    for (size_t i = 0; i < ARRAY_LEN(graphs) && at + GRAPH_HEIGHT <= row + height; i++) {
        int column = (int)i % columns;
        graph_draw(o, &graphs[i], s, at, 1 + column * (width + 2), GRAPH_HEIGHT, width);
        if (column == columns - 1)
            at += GRAPH_HEIGHT + 1;
    }
    return at;
}

/* ---- backends ---- */

static enum style backend_style(const json_t *b)
{
    const char *health = json_string_value(json_object_get(b, "health"));
    const char *admin = json_string_value(json_object_get(b, "admin"));
    if (health && strcmp(health, "down") == 0)
        return STYLE_BAD;
    return admin && strcmp(admin, "ready") != 0 ? STYLE_WARN : STYLE_GOOD;
}

static void backend_bar(const json_t *b, uint64_t total, struct screen *s, int row)
{
    uint64_t sessions = overview_number(b, "sessions");
    int room = s->cols - 52;
    int length = total && room > 0 ? (int)(sessions * (uint64_t)room / total) : 0;
    const char *health = json_string_value(json_object_get(b, "health"));
    const char *admin = json_string_value(json_object_get(b, "admin"));
    enum style style = backend_style(b);
    screen_printf(s, row, 1, 24, STYLE_NORMAL, "%s/%s",
                  json_string_value(json_object_get(b, "pool")),
                  json_string_value(json_object_get(b, "name")));
    screen_printf(s, row, 26, 17, style, "%s %s", health ? health : "", admin ? admin : "");
    AUTO_FREE char *number = str_printf("%llu", (unsigned long long)sessions);
    screen_right(s, row, 43, 7, STYLE_NORMAL, str_of(number));
    for (int i = 0; i < length; i++)
        screen_text(s, row, 51 + i, 1, style, s->is_utf8 ? STR("█") : STR("#"));
}

static int overview_backends(const struct overview *o, struct screen *s, int row, int end)
{
    uint64_t total = 0;
    size_t i;
    const json_t *b;
    json_array_foreach (o->backends, i, b)
        total += overview_number(b, "sessions");
    if (row < end)
        screen_text(s, row++, 1, s->cols, STYLE_TITLE, STR("backends"));
    json_array_foreach (o->backends, i, b) {
        if (row >= end)
            break;
        backend_bar(b, total, s, row++);
    }
    return row;
}

/* ---- warnings first: what needs a person ---- */

static int overview_warnings(const struct overview *o, struct screen *s, int row)
{
    size_t i;
    const json_t *b;
    json_array_foreach (o->backends, i, b) {
        const char *health = json_string_value(json_object_get(b, "health"));
        const json_t *days = json_object_get(b, "cert_days");
        const char *name = json_string_value(json_object_get(b, "name"));
        const char *reason = json_string_value(json_object_get(b, "reason"));
        if (health && strcmp(health, "down") == 0)
            screen_printf(s, row++, 1, s->cols - 2, STYLE_BAD, "! backend %s is down: %s", name,
                          reason ? reason : "no reason known");
        if (days && json_integer_value(days) < 14)
            screen_printf(s, row++, 1, s->cols - 2, STYLE_WARN,
                          "! certificate of %s ends in %lld days", name,
                          (long long)json_integer_value(days));
    }
    return row;
}

static int overview_totals(const struct overview *o, struct screen *s, int row)
{
    char in[32], out[32];
    if (!o->stats)
        return row;
    units_human_size(in, overview_number(o->stats, "in"));
    units_human_size(out, overview_number(o->stats, "out"));
    screen_printf(
        s, row, 1, s->cols - 2, STYLE_NORMAL,
        "sessions %llu  logged in %llu  logins %llu  refused %llu  unjudged %llu  backend "
        "failures %llu  in %s  out %s",
        (unsigned long long)overview_number(o->stats, "sessions"),
        (unsigned long long)overview_number(o->stats, "relaying"),
        (unsigned long long)overview_number(o->stats, "logins"),
        (unsigned long long)overview_number(o->stats, "auth_failures"),
        (unsigned long long)overview_number(o->stats, "auth_tempfails"),
        (unsigned long long)overview_number(o->stats, "backend_failures"), in, out);
    return row + 2;
}

void overview_draw(const struct overview *o, struct screen *s, int row, int height, bool is_stale)
{
    int end = row + height;
    int at = overview_warnings(o, s, row);
    at = overview_totals(o, s, at);
    size_t n_backends = json_array_size(o->backends);
    int bars = (int)(n_backends < 8 ? n_backends : 8) + 1;
    at = overview_graphs(o, s, at, end - at - bars);
    overview_backends(o, s, at, end);
    for (int i = row; is_stale && i < end; i++)
        screen_restyle(s, i, 0, s->cols, STYLE_DIM);
}
