/* SPDX-License-Identifier: ISC */
/* The page of one row. */
#include "base/cleanup.h"
#include "tui/detail.h"
#include "tui/page_rows.h"

#define DETAIL_GRAPH_ROWS 4

/* The last lines of the page, one for each row, can be picked. */
static void write_lines(struct detail *d, const struct text_page *p, enum pane pane,
                        const json_t *rows)
{
    size_t n = json_array_size(rows), i;
    json_t *row;
    if (p->n < n)
        return;
    json_array_foreach ((json_t *)rows, i, row)
        if (d->n_lines < ARRAY_LEN(d->lines))
            d->lines[d->n_lines++] = (struct detail_line){p->n - n + i, pane, json_incref(row)};
}

static void write_sessions(struct detail *d, struct text_page *p, int cols)
{
    const struct command *c = commands_find("session", "list");
    if (!c || !d->sessions)
        return;
    AUTO_FREE char *title = str_printf("Sessions: %llu", (unsigned long long)d->n_sessions);
    text_page_heading(p, title ? title : "Sessions");
    if (d->n_sessions > DETAIL_SESSIONS_MAX)
        text_page_printf(p, STYLE_DIM, "  (the newest %d)", DETAIL_SESSIONS_MAX);
    if (json_array_size(d->sessions)) {
        page_add_rows(p, c, d->sessions, "id,proto,state,phase,user,ip,backend,age,idle,in,out",
                      cols - 2);
        write_lines(d, p, PANE_SESSIONS, d->sessions);
    }
}

static void write_events(struct detail *d, struct text_page *p, int cols)
{
    const struct command *c = commands_find("event", "watch");
    if (!c || !d->is_watching)
        return;
    text_page_heading(p, d->pane == PANE_EVENTS ? "All of this session"
                                                : "Recent events, newest first");
    if (json_array_size(d->events)) {
        page_add_rows(p, c, d->events, "time,type,session,user,ip,backend,text", cols - 2);
        write_lines(d, p, PANE_EVENTS, d->events);
    } else {
        text_page_say(p, STYLE_DIM, STR("none so far"));
    }
}

/* A graph becomes lines of the page. */
static void write_graph(const struct detail *d, struct text_page *p, const struct graph *g,
                        int cols)
{
    static const struct graph_span span = {"1s", 1, 120, 120, "2 minutes before"};
    const struct graph_view view = {d->history, &span, 0};
    struct screen s = {.glyphs = p->glyphs};
    if (!screen_reset(&s, DETAIL_GRAPH_ROWS, cols))
        return;
    graph_draw(&view, g, &s, 0, 0, DETAIL_GRAPH_ROWS, cols);
    for (int row = 0; row < s.rows; row++) {
        text_page_line(p);
        for (int col = 0; col < s.cols; col++) {
            const struct screen_cell *cell = screen_at(&s, row, col);
            text_page_put(p, (enum style)cell->style, str_of(cell->text));
        }
    }
    screen_fini(&s);
}

static void write_history(const struct detail *d, struct text_page *p, int cols)
{
    static const struct graph graphs[] = {
        {"sessions", {{"sessions", NULL, STYLE_GRAPH}}, false, false},
        {"logins/s",
         {{"logins", "ok", STYLE_GOOD}, {"failures", "failed", STYLE_BAD}},
         true,
         false},
    };
    if (!json_array_size(d->history))
        return;
    text_page_heading(p, "Lately");
    for (size_t i = 0; i < ARRAY_LEN(graphs); i++)
        write_graph(d, p, &graphs[i], cols - 2 < 120 ? cols - 2 : 120);
}

void detail_write(struct detail *d, struct text_page *p, int cols)
{
    const struct command *list = pane_command(d->pane);
    const struct command *show = list ? commands_find(list->noun, "show") : NULL;
    show = show ? show : list;
    text_page_clear(p);
    detail_drop_lines(d);
    AUTO_FREE char *title =
        str_printf("%s %s%s%s", detail_kind_name(d->pane, d->object), d->id,
                   d->node->whole ? " at " : "", d->node->whole ? d->node->label : "");
    (void)str_copy(p->title, sizeof(p->title), str_of(title ? title : d->id));
    if (d->why[0]) {
        text_page_say(p, STYLE_BAD, str_of(d->why));
        text_page_say(p, STYLE_DIM, STR("what follows is the last that was known"));
        text_page_line(p);
    }
    if (show)
        page_add_object(p, show, d->object, cols);
    const struct command *explain = commands_find("route", "explain");
    if (explain && d->explain) {
        text_page_heading(p, "Where a login would go now");
        page_add_object(p, explain, d->explain, cols);
        page_add_long(p, explain, d->explain, cols);
    }
    write_history(d, p, cols);
    write_sessions(d, p, cols);
    write_events(d, p, cols);
    if (show)
        page_add_long(p, show, d->object, cols);
}
