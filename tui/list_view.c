/* SPDX-License-Identifier: ISC */
/* Columns that fit, numbers never cut, the selected row always visible. */
#include "tui/list_view.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/output_text.h"

#define LIST_GAP 2
#define LIST_GUTTER 1    /* for the mark */
#define LIST_TEXT_MAX 40 /* of a wide list's text columns, and what others give way to */

void list_view_init(struct list_view_view *l, const struct command *command, const char *identity,
                    const char *sort, const char *empty)
{
    *l = (struct list_view_view){.empty = empty};
    row_table_init(&l->table, command, identity, sort);
}

void list_view_fini(struct list_view_view *l)
{
    row_table_fini(&l->table);
    output_fini(&l->output);
}

void list_view_reset_widths(struct list_view_view *l)
{
    memset(l->natural, 0, sizeof(l->natural));
}

/* ---- layout ---- */

/* Place of a column that is drawn among those of the table; SIZE_MAX: the daemon's name. */
static size_t list_view_place(const struct list_view_view *l, size_t drawn)
{
    return drawn - l->table.has_node;
}

static bool list_view_is_picked(const struct list_view_view *l, size_t drawn)
{
    size_t place = list_view_place(l, drawn);
    return place == SIZE_MAX || (place < 64 && l->shown >> place & 1);
}

/* The columns of a list; a normal one leaves out those that are not shown by default as long as
 * they hold nothing, or find no room. True when there are any. */
static bool list_view_columns(struct list_view_view *l, bool is_utf8)
{
    struct problem problem = {0};
    if (!l->table.command || (l->output.n_columns && l->is_laid_wide == l->is_wide))
        return l->output.n_columns > 0;
    output_fini(&l->output);
    list_view_reset_widths(l);
    l->first = 0;
    l->is_laid_wide = l->is_wide;
    l->output =
        (struct output){.format = OUTPUT_TABLE, .is_utf8 = is_utf8, .has_short_times = !l->is_wide};
    int code = output_init(&l->output, l->table.command, "all", l->table.has_node, &problem);
    l->output.has_choice = false;
    problem_fini(&problem);
    return code == 0;
}

/* Whether some row has more than nothing in a column. */
static bool list_view_is_filled(const json_t *rows, const char *name)
{
    size_t i;
    const json_t *row;
    AUTO_BUF text = BUF_INIT;
    json_array_foreach (rows, i, row) {
        buf_clear(&text);
        output_raw(&text, json_object_get(row, name));
        if (text.len && !str_eq(buf_str(&text), STR("0")) && !str_eq(buf_str(&text), STR("false")))
            return true;
    }
    return false;
}

static void list_view_measure_column(struct list_view_view *l, struct output_column *c,
                                     const json_t *rows)
{
    int *natural = &l->natural[c - l->output.columns];
    if (l->shown && !l->is_wide && !list_view_is_picked(l, (size_t)(c - l->output.columns))) {
        c->width = 0;
        return;
    }
    if (!l->shown && (c->is_wide || c->is_some) && !l->is_wide && !*natural &&
        !list_view_is_filled(rows, c->name)) {
        c->width = 0;
        return;
    }
    /* Room for the arrow of the order. */
    if (strcmp(c->name, l->table.sort) == 0 && c->width == output_text_width(str_of(c->title)))
        c->width++;
    if (l->is_wide && c->unit == COMMANDS_TEXT && c->width > LIST_TEXT_MAX)
        c->width = LIST_TEXT_MAX;
    if (c->width < *natural)
        c->width = *natural;
    *natural = c->width;
}

/* Columns from the left edge on; the naming one stays, and that of the node before it. */
static void list_view_fit_wide(struct list_view_view *l, int cols)
{
    struct output *o = &l->output;
    size_t fixed = 1 + l->table.has_node, last = fixed - 1;
    int used = -LIST_GAP;
    for (size_t i = 0; i < fixed && i < o->n_columns; i++)
        used += LIST_GAP + o->columns[i].width;
    if (l->first + fixed >= o->n_columns)
        l->first = o->n_columns > fixed ? o->n_columns - fixed - 1 : 0;
    for (size_t i = fixed; i < o->n_columns; i++) {
        bool is_passed = i - fixed < l->first;
        bool is_shown = !is_passed && used + LIST_GAP + o->columns[i].width <= cols;
        if (!is_passed && !is_shown)
            cols = 0; /* nothing behind it either */
        used += is_shown ? LIST_GAP + o->columns[i].width : 0;
        last = is_shown ? i : last;
        o->columns[i].width = is_shown ? o->columns[i].width : 0;
    }
    l->n_hidden = o->n_columns - 1 - last;
}

/* What happened says more than where: while it is cut, these columns are left out, one by one. */
static void list_view_give_way(struct list_view_view *l, int cols)
{
    static const char *const names[] = {"session", "proto", "backend", "listener"};
    struct output *o = &l->output;
    int total = -LIST_GAP;
    bool has_text = false;
    for (size_t i = 0; i < o->n_columns; i++) {
        bool is_text = strcmp(o->columns[i].name, "text") == 0;
        int width = o->columns[i].width;
        total += width ? (is_text && width > LIST_TEXT_MAX ? LIST_TEXT_MAX : width) + LIST_GAP : 0;
        has_text = has_text || (is_text && width);
    }
    for (size_t k = 0; has_text && k < ARRAY_LEN(names); k++)
        for (size_t i = 0; i < o->n_columns && total > cols; i++) {
            struct output_column *c = &o->columns[i];
            if (!c->width || strcmp(c->name, names[k]) != 0)
                continue;
            total -= c->width + LIST_GAP;
            c->width = 0;
        }
}

static void list_view_fit(struct list_view_view *l, int cols)
{
    if (l->is_wide) {
        list_view_fit_wide(l, cols);
        return;
    }
    if (!l->shown)
        list_view_give_way(l, cols);
    output_table_fit(&l->output);
    l->n_hidden = 0;
    for (size_t i = 0; i < l->output.n_columns; i++) {
        const struct output_column *c = &l->output.columns[i];
        bool is_meant = l->shown ? list_view_is_picked(l, i) : !c->is_wide && !c->is_some;
        l->n_hidden += c->width == 0 && is_meant;
    }
}

static void list_view_layout(struct list_view_view *l, int cols)
{
    cols = cols > LIST_GUTTER ? cols - LIST_GUTTER : 1;
    /* As wide as what is visible needs. */
    struct output *o = &l->output;
    json_t *rows = json_array();
    for (size_t i = 0; i < l->table.page; i++) {
        const json_t *row = row_table_row(&l->table, l->table.top + i);
        if (row)
            json_array_append(rows, (json_t *)row);
    }
    o->width = cols;
    output_table_measure(o, rows);
    for (size_t i = 0; i < o->n_columns; i++)
        list_view_measure_column(l, &o->columns[i], rows);
    json_decref(rows);
    list_view_fit(l, cols);
}

/* ---- drawing ---- */

static void list_view_draw_titles(const struct list_view_view *l, struct screen *s)
{
    int col = LIST_GUTTER;
    screen_fill(s, l->row, 0, s->cols, STYLE_HEADER);
    for (size_t i = 0; i < l->output.n_columns; i++) {
        const struct output_column *c = &l->output.columns[i];
        if (!c->width)
            continue;
        bool is_sort = strcmp(c->name, l->table.sort) == 0;
        int width = output_text_width(str_of(c->title));
        width = width + is_sort > c->width ? c->width - is_sort : width;
        int at = output_is_number(c->unit) ? col + c->width - width - is_sort : col;
        (void)screen_text(s, l->row, at, width, STYLE_HEADER, str_of(c->title));
        if (is_sort)
            screen_shape(s, l->row, at + width, STYLE_HEADER,
                         l->table.is_descending ? SHAPE_DOWN : SHAPE_UP);
        col += c->width + LIST_GAP;
    }
    if (l->is_wide && l->n_hidden)
        screen_shape(s, l->row, s->cols - 1, STYLE_HEADER, SHAPE_MORE);
}

enum style list_view_word_style(struct str word)
{
    static const struct {
        const char *text;
        enum style style;
    } words[] = {
        {"up", STYLE_GOOD},      {"down", STYLE_BAD},      {"drain", STYLE_WARN},
        {"hold", STYLE_WARN},    {"held", STYLE_WARN},     {"locked", STYLE_BAD},
        {"failure", STYLE_BAD},  {"disabled", STYLE_BAD},  {"closing", STYLE_DIM},
        {"login", STYLE_GOOD},   {"operator", STYLE_WARN}, {"backend", STYLE_WARN},
        {"unknown", STYLE_WARN}, {"running", STYLE_GOOD},  {"failed", STYLE_BAD},
        {"done", STYLE_GOOD},    {"cancelled", STYLE_DIM}, {"banned", STYLE_BAD},
        {"end", STYLE_DIM},      {"config", STYLE_WARN},   {"good", STYLE_GOOD},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(word, str_of(words[i].text)))
            return words[i].style;
    return STYLE_NORMAL;
}

static enum style list_view_value_style(const struct output_column *c, const json_t *row,
                                        struct str text, enum style base)
{
    /* Columns that call for attention where the row has a text in `when`, whatever it is. */
    static const struct {
        const char *column, *when;
    } warnings[] = {{"p50", "slow"}, {"p95", "slow"}, {"slow", "slow"}, {"full", "full"}};
    const json_t *v = json_object_get(row, c->name);
    if (base != STYLE_NORMAL)
        return base;
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++)
        if (strcmp(warnings[i].column, c->name) == 0 &&
            json_string_length(json_object_get(row, warnings[i].when)) > 0)
            return STYLE_WARN;
    /* Nothing there, zero and no are not worth a look. */
    if (!v || json_is_false(v) ||
        (json_is_integer(v) && json_integer_value(v) == 0 && c->unit != COMMANDS_DURATION))
        return STYLE_DIM;
    /* What an operation does is no state. */
    bool is_state = c->unit == COMMANDS_TEXT && strcmp(c->name, "kind") != 0;
    return is_state ? list_view_word_style(text) : STYLE_NORMAL;
}

static void list_view_draw_cells(const struct list_view_view *l, struct screen *s, int line,
                                 const json_t *row, enum style base)
{
    int col = LIST_GUTTER;
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < l->output.n_columns; i++) {
        const struct output_column *c = &l->output.columns[i];
        const json_t *v = json_object_get(row, c->name);
        if (!c->width)
            continue;
        buf_clear(&text);
        output_human(&text, c, v);
        enum style style = list_view_value_style(c, row, buf_str(&text), base);
        if (output_is_number(c->unit))
            screen_right(s, line, col, c->width, style, buf_str(&text));
        else
            (void)screen_text(s, line, col, c->width, style, buf_str(&text));
        col += c->width + LIST_GAP;
    }
}

static void list_view_draw_row(const struct list_view_view *l, struct screen *s, int line,
                               size_t rank, bool is_stale)
{
    const struct row_table *t = &l->table;
    const json_t *row = row_table_row(t, rank);
    char id[TABLE_ID_MAX];
    if (!row) { /* on its way */
        (void)screen_text(s, line, LIST_GUTTER, s->cols, STYLE_DIM, STR("..."));
        return;
    }
    row_table_identity(t, row, id);
    bool is_marked = row_table_is_marked(t, id), is_gone = row_table_is_gone(t, id);
    enum style base = is_stale || is_gone ? STYLE_DIM : is_marked ? STYLE_MARKED : STYLE_NORMAL;
    list_view_draw_cells(l, s, line, row, base);
    if (is_marked)
        screen_shape(s, line, 0, STYLE_MARKED, SHAPE_MARK);
}

void list_view_draw(struct list_view_view *l, struct screen *s, int row, int height, bool is_stale,
                    const char *words)
{
    struct row_table *t = &l->table;
    l->row = row;
    l->height = height;
    if (height < 1)
        return;
    row_table_set_page(t, height > 1 ? (size_t)height - 1 : 1);
    if (list_view_columns(l, s->glyphs != GLYPHS_ASCII) && !words) {
        list_view_layout(l, s->cols);
        list_view_draw_titles(l, s);
    }
    /* What stands in place of the rows. */
    const char *text = words           ? words
                       : !t->rows      ? "waiting for the daemon"
                       : t->total > 0  ? NULL
                       : l->is_looking ? "looking..."
                       : t->filter[0]  ? "nothing matches the filter"
                                       : l->empty;
    if (text) {
        (void)screen_text(s, row + (height > 1 && !words), LIST_GUTTER, s->cols - LIST_GUTTER,
                          STYLE_DIM, str_of(text));
        return;
    }
    for (int i = 1; i < height && t->top + (size_t)i - 1 < t->total; i++) {
        size_t rank = t->top + (size_t)i - 1;
        list_view_draw_row(l, s, row + i, rank, is_stale);
        if (rank == t->index && l->has_focus)
            screen_restyle(s, row + i, 0, s->cols, STYLE_SELECTED);
    }
}

/* ---- which columns ---- */

bool list_view_has_column(const struct list_view_view *l, size_t column)
{
    if (l->shown)
        return l->shown >> column & 1;
    const struct output *o = &l->output;
    column += l->table.has_node;
    return column < o->n_columns && (o->columns[column].width > 0 ||
                                     (!o->columns[column].is_wide && !o->columns[column].is_some));
}

void list_view_toggle_column(struct list_view_view *l, const char *column)
{
    uint64_t shown = 0;
    for (size_t i = 0; column && i < l->table.n_columns && i < 64; i++) {
        bool is_it = strcmp(l->table.columns[i].name, column) == 0;
        shown |= (uint64_t)(list_view_has_column(l, i) != is_it) << i;
    }
    if (column && !shown)
        return;
    l->shown = shown;
    list_view_reset_widths(l);
}

int list_view_shown_text(const struct list_view_view *l, struct buf *text)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < l->table.n_columns && i < 64; i++)
        if (l->shown >> i & 1)
            err = buf_printf(text, "%s%s", text->len ? " " : "", l->table.columns[i].name);
    return err;
}

void list_view_set_shown(struct list_view_view *l, struct str names)
{
    l->shown = 0;
    for (struct str word; (word = str_word(&names)).n;)
        for (size_t i = 0; i < l->table.n_columns && i < 64; i++)
            l->shown |= (uint64_t)str_eq(word, str_of(l->table.columns[i].name)) << i;
}

/* ---- places ---- */

void list_view_sort_next(struct list_view_view *l, int direction)
{
    uint64_t wide = l->is_wide ? UINT64_MAX : 0;
    for (size_t i = l->table.has_node; i < l->output.n_columns; i++)
        wide |= (uint64_t)(l->output.columns[i].width > 0) << list_view_place(l, i);
    row_table_sort_next(&l->table, direction, wide);
}

void list_view_scroll(struct list_view_view *l, int by)
{
    if (l->is_wide && (by > 0 ? l->n_hidden > 0 : l->first > 0))
        l->first = by > 0 ? l->first + 1 : l->first - 1;
}

long list_view_row_at(const struct list_view_view *l, int line)
{
    size_t rank = l->table.top + (size_t)(line - l->row - 1);
    return line > l->row && line < l->row + l->height && rank < l->table.total ? (long)rank : -1;
}

const char *list_view_title_at(const struct list_view_view *l, int line, int col)
{
    int at = LIST_GUTTER;
    for (size_t i = 0; line == l->row && i < l->output.n_columns; i++) {
        int width = l->output.columns[i].width;
        if (width && col >= at && col < at + width + LIST_GAP)
            return l->output.columns[i].name;
        at += width ? width + LIST_GAP : 0;
    }
    return NULL;
}

char *list_view_row_text(const struct list_view_view *l, const json_t *row)
{
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < l->output.n_columns; i++) {
        const struct output_column *c = &l->output.columns[i];
        if (!c->width)
            continue;
        if (text.len && buf_append_char(&text, '\t') < 0)
            return NULL;
        output_human(&text, c, json_object_get(row, c->name));
    }
    return buf_steal(&text);
}
