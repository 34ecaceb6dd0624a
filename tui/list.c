/* SPDX-License-Identifier: ISC */
/* Columns that fit, numbers never cut, the selected row always visible. */
#include "tui/list.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/output.h"
#include "ctl/output_text.h"

#define LIST_COLUMNS_MAX 64
#define LIST_TEXT_WIDTH_MAX 40 /* a text column takes no more unless there is room */

struct list_layout {
    int width[LIST_COLUMNS_MAX]; /* 0 = not shown */
};

static struct output_column list_column(const struct command_column *c)
{
    return (struct output_column){
        .name = (char *)c->name, .title = (char *)c->title, .unit = c->unit};
}

static void list_value(struct buf *out, const struct command_column *c, const json_t *row)
{
    const struct output_column col = list_column(c);
    const json_t *v = json_object_get(row, c->name);
    if (v)
        output_human(out, &col, v);
}

static int list_value_width(const struct command_column *c, const json_t *row)
{
    AUTO_BUF text = BUF_INIT;
    list_value(&text, c, row);
    return output_text_width(buf_str(&text));
}

/* Natural widths over the visible rows. */
static void list_measure(const struct table *t, size_t page, struct list_layout *l)
{
    for (size_t c = 0; c < t->n_columns && c < LIST_COLUMNS_MAX; c++) {
        const struct command_column *col = &t->columns[c];
        int width = table_is_shown(t, c) ? (int)strlen(col->title) + (t->sort == c) : 0;
        for (size_t i = t->top; width && i < t->top + page && i < table_rows(t); i++) {
            int w = list_value_width(col, table_row(t, i));
            width = w > width ? w : width;
        }
        l->width[c] = width;
    }
}

static int list_total(const struct list_layout *l, size_t n)
{
    int total = 0;
    for (size_t c = 0; c < n && c < LIST_COLUMNS_MAX; c++)
        total += l->width[c] ? l->width[c] + 2 : 0;
    return total;
}

/* Long texts shrink first; then columns from the right give way, never the first one. */
static void list_fit(const struct table *t, int cols, struct list_layout *l)
{
    size_t n = t->n_columns < LIST_COLUMNS_MAX ? t->n_columns : LIST_COLUMNS_MAX;
    for (int most = LIST_TEXT_WIDTH_MAX; most >= 12 && list_total(l, n) > cols + 2; most -= 4)
        for (size_t c = 0; c < n; c++)
            if (t->columns[c].unit == COMMANDS_TEXT && l->width[c] > most)
                l->width[c] = most;
    for (size_t c = n; c > 1 && list_total(l, n) > cols + 2; c--)
        if (t->sort != c - 1)
            l->width[c - 1] = 0;
    for (size_t c = n; c > 1 && list_total(l, n) > cols + 2; c--)
        l->width[c - 1] = 0;
}

static void list_make_layout(const struct table *t, size_t page, int cols, struct list_layout *l)
{
    list_measure(t, page, l);
    list_fit(t, cols, l);
}

static void list_draw_header(struct screen *s, const struct table *t, const struct list_layout *l,
                             int row)
{
    int col = 0;
    screen_fill(s, row, 0, s->cols, STYLE_HEADER);
    for (size_t c = 0; c < t->n_columns && c < LIST_COLUMNS_MAX; c++) {
        if (!l->width[c])
            continue;
        AUTO_BUF title = BUF_INIT;
        const char *arrow = t->sort != c ? "" : t->is_descending ? "v" : "^";
        if (buf_printf(&title, "%s%s", t->columns[c].title, arrow) < 0)
            return;
        if (output_is_number(t->columns[c].unit))
            screen_right(s, row, col, l->width[c], STYLE_HEADER, buf_str(&title));
        else
            screen_text(s, row, col, l->width[c], STYLE_HEADER, buf_str(&title));
        col += l->width[c] + 2;
    }
}

/* Words that mean something at a glance, in every list. */
static enum style list_value_style(struct str text)
{
    static const struct {
        const char *text;
        enum style style;
    } words[] = {
        {"up", STYLE_GOOD},     {"down", STYLE_BAD},      {"drain", STYLE_WARN},
        {"hold", STYLE_WARN},   {"held", STYLE_WARN},     {"locked", STYLE_BAD},
        {"failure", STYLE_BAD}, {"disabled", STYLE_BAD},  {"closing", STYLE_DIM},
        {"login", STYLE_GOOD},  {"operator", STYLE_WARN}, {"backend", STYLE_WARN},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(text, str_of(words[i].text)))
            return words[i].style;
    return STYLE_NORMAL;
}

static void list_draw_row(struct screen *s, const struct table *t, const struct list_layout *l,
                          int row, size_t i, bool is_stale)
{
    const json_t *r = table_row(t, i);
    char id[256];
    bool is_marked = table_is_marked(t, table_identity(t, r, id));
    enum style base = is_stale ? STYLE_DIM : is_marked ? STYLE_MARKED : STYLE_NORMAL;
    int col = 0;
    for (size_t c = 0; c < t->n_columns && c < LIST_COLUMNS_MAX; c++) {
        AUTO_BUF text = BUF_INIT;
        if (!l->width[c])
            continue;
        list_value(&text, &t->columns[c], r);
        enum style style = base == STYLE_NORMAL && t->columns[c].unit == COMMANDS_TEXT
                               ? list_value_style(buf_str(&text))
                               : base;
        if (output_is_number(t->columns[c].unit))
            screen_right(s, row, col, l->width[c], style, buf_str(&text));
        else
            screen_text(s, row, col, l->width[c], style, buf_str(&text));
        col += l->width[c] + 2;
    }
    if (is_marked)
        screen_text(s, row, s->cols - 1, 1, STYLE_MARKED, STR("*"));
    if (i == t->index)
        screen_restyle(s, row, 0, s->cols, STYLE_SELECTED);
}

size_t list_draw(struct screen *s, struct table *t, int row, int height, bool is_stale)
{
    struct list_layout l = {0};
    if (height < 2)
        return 0;
    size_t page = (size_t)height - 1;
    if (t->index >= t->top + page)
        t->top = t->index - page + 1;
    if (t->top > t->index)
        t->top = t->index;
    list_make_layout(t, page, s->cols, &l);
    list_draw_header(s, t, &l, row);
    for (size_t i = 0; i < page && t->top + i < table_rows(t); i++)
        list_draw_row(s, t, &l, row + 1 + (int)i, t->top + i, is_stale);
    if (!t->rows)
        screen_text(s, row + 1, 0, s->cols, STYLE_DIM, STR("waiting for the daemon"));
    else if (table_rows(t) == 0)
        screen_text(s, row + 1, 0, s->cols, STYLE_DIM,
                    t->filter[0] ? STR("nothing matches the filter") : STR("nothing here"));
    return page;
}

long list_at(const struct table *t, int row, int height, int line)
{
    long i = line - row - 1 + (long)t->top;
    return line > row && line < row + height && i >= 0 && (size_t)i < table_rows(t) ? i : -1;
}

size_t list_column_at(const struct table *t, int cols, int col)
{
    struct list_layout l = {0};
    int at = 0;
    list_make_layout(t, 0, cols, &l);
    for (size_t c = 0; c < t->n_columns && c < LIST_COLUMNS_MAX; c++) {
        if (l.width[c] && col >= at && col < at + l.width[c] + 2)
            return c;
        at += l.width[c] ? l.width[c] + 2 : 0;
    }
    return SIZE_MAX;
}
