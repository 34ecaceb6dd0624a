/* SPDX-License-Identifier: ISC */
/* Keeping a list's selection and marks while its rows come and go. */
#include "tui/row_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "ctl/output.h"

/* Rows before the list was drawn for the first time. */
#define TABLE_PAGE_DEFAULT 50
/* Member of numbered rows; no column has such a name. */
#define TABLE_NUMBER "#"

/* What the maps hold that are sets. */
static char table_present;

void row_table_init(struct row_table *t, const struct command *command, const char *identity,
                    const char *sort)
{
    *t = (struct row_table){.command = command, .identity = identity};
    if (command)
        t->columns = commands_columns(command, &t->n_columns);
    t->is_descending = sort[0] == '-';
    (void)str_copy(t->sort, sizeof(t->sort), str_of(sort + t->is_descending));
}

static void row_table_empty_map(struct map *m)
{
    map_fini(m);
    *m = (struct map){0};
}

void row_table_unmark_all(struct row_table *t)
{
    size_t pos = 0;
    struct str key;
    void *row;
    while (map_next(&t->marks, &pos, &key, &row))
        json_decref(row);
    row_table_empty_map(&t->marks);
}

void row_table_clear(struct row_table *t)
{
    json_decref(t->rows);
    t->rows = NULL;
    t->start = t->total = t->matched = t->index = t->top = 0;
    t->seen = 0;
    t->has_more = t->is_following = false;
    t->selected[0] = '\0';
    row_table_empty_map(&t->gone);
    row_table_unmark_all(t);
}

void row_table_fini(struct row_table *t)
{
    row_table_clear(t);
}

bool row_table_can_skip(const struct row_table *t)
{
    return t->command && commands_arg(t->command, "offset");
}

bool row_table_can_sort(const struct row_table *t)
{
    return t->command && commands_arg(t->command, "sort");
}

/* ---- rows and their names ---- */

const json_t *row_table_row(const struct row_table *t, size_t rank)
{
    return rank < t->start ? NULL : json_array_get(t->rows, rank - t->start);
}

const char *row_table_identity(const struct row_table *t, const json_t *row, char dst[TABLE_ID_MAX])
{
    AUTO_BUF id = BUF_INIT;
    struct str rest = str_of(t->identity[0] ? t->identity : TABLE_NUMBER);
    for (struct str name; (name = str_word(&rest)).n;) {
        const json_t *v = json_object_getn(row, name.p, name.n);
        /* A backend of no pool is named alone. */
        if (!v)
            continue;
        if (id.len && buf_append_char(&id, '/') < 0)
            break;
        output_raw(&id, v);
    }
    (void)str_copy(dst, TABLE_ID_MAX, buf_str(&id));
    return dst;
}

bool row_table_is_gone(const struct row_table *t, const char *identity)
{
    return map_get(&t->gone, str_of(identity)) != NULL;
}

const json_t *row_table_selected(const struct row_table *t)
{
    return row_table_row(t, t->index);
}

static void row_table_remember(struct row_table *t)
{
    const json_t *row = row_table_selected(t);
    if (row)
        row_table_identity(t, row, t->selected);
    else
        t->selected[0] = '\0';
}

/* The selected row is visible, and no room is left over at the end. */
static void row_table_show_selected(struct row_table *t)
{
    size_t page = t->page ? t->page : 1;
    if (t->top + page > t->total)
        t->top = t->total > page ? t->total - page : 0;
    if (t->index < t->top)
        t->top = t->index;
    if (t->index >= t->top + page)
        t->top = t->index - page + 1;
}

/* ---- answers ---- */

/* Lists without names: what is the same is the same row. */
static void row_table_number_rows(struct row_table *t, const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach ((json_t *)rows, i, row) {
        AUTO_FREE char *text = NULL;
        if (t->identity[0])
            return;
        const json_t *first = t->n_columns ? json_object_get(row, t->columns[0].name) : NULL;
        const json_t *second = t->n_columns > 1 ? json_object_get(row, t->columns[1].name) : NULL;
        AUTO_BUF id = BUF_INIT;
        if (first)
            output_raw(&id, first);
        if (second && buf_append_char(&id, ' ') == 0)
            output_raw(&id, second);
        text = buf_steal(&id);
        if (text)
            json_object_set_new(row, TABLE_NUMBER, json_string(text));
    }
}

struct row_table_order {
    const char *column;
    bool is_descending;
};

static int row_table_compare(const void *a, const void *b, void *arg)
{
    const struct row_table_order *o = arg;
    int order = output_compare(json_object_get(*(json_t *const *)a, o->column),
                               json_object_get(*(json_t *const *)b, o->column));
    return o->is_descending ? -order : order;
}

/* Where the daemon gives the whole list in its own order. */
static json_t *row_table_sorted(const struct row_table *t, json_t *rows)
{
    size_t n = json_array_size(rows);
    struct row_table_order order = {t->sort, t->is_descending};
    AUTO_FREE json_t **v = calloc(n + 1, sizeof(json_t *));
    json_t *sorted = json_array();
    for (size_t i = 0; v && i < n; i++)
        v[i] = json_array_get(rows, i);
    if (v && t->sort[0] && !row_table_can_sort(t))
        qsort_r(v, n, sizeof(json_t *), row_table_compare, &order);
    for (size_t i = 0; v && i < n; i++)
        json_array_append(sorted, v[i]);
    return sorted;
}

/* 0 = not there. */
static size_t row_table_place(const struct map *names, const char *id)
{
    return (size_t)(uintptr_t)map_get(names, str_of(id));
}

/* The fresh rows with those that were visible and are missing now, each behind the row that it
 * followed. */
static json_t *row_table_with_gone(const struct row_table *t, const struct map *names,
                                   const json_t *fresh)
{
    size_t n = json_array_size(t->rows), place = 0;
    char id[TABLE_ID_MAX];
    AUTO_FREE size_t *places = calloc(n + 1, sizeof(*places));
    json_t *gone = json_array(), *rows = json_array();
    for (size_t i = 0; places && i < n; i++) {
        json_t *row = json_array_get(t->rows, i);
        size_t here = row_table_place(names, row_table_identity(t, row, id));
        place = here ? here : place;
        bool was_seen = t->start + i >= t->top && t->start + i < t->top + t->page;
        if (here || !was_seen || row_table_is_gone(t, id))
            continue;
        places[json_array_size(gone)] = place;
        json_array_append(gone, row);
    }
    for (size_t i = 0; i <= json_array_size(fresh); i++) {
        if (i > 0)
            json_array_append(rows, json_array_get(fresh, i - 1));
        for (size_t k = 0; k < json_array_size(gone); k++)
            if (places[k] == i)
                json_array_append(rows, json_array_get(gone, k));
    }
    json_decref(gone);
    return rows;
}

/* Notes what is greyed now; marks of the ended are dropped. */
static void row_table_note_gone(struct row_table *t, const struct map *names)
{
    char id[TABLE_ID_MAX];
    row_table_empty_map(&t->gone);
    for (size_t i = 0; i < json_array_size(t->rows); i++) {
        row_table_identity(t, json_array_get(t->rows, i), id);
        if (row_table_place(names, id))
            continue;
        (void)!map_put(&t->gone, str_of(id), &table_present, NULL);
        row_table_unmark(t, id);
    }
}

static void row_table_follow(struct row_table *t)
{
    bool is_sought = t->is_following && t->selected[0];
    for (size_t i = 0; is_sought && i < json_array_size(t->rows); i++) {
        char id[TABLE_ID_MAX];
        if (strcmp(row_table_identity(t, json_array_get(t->rows, i), id), t->selected) != 0)
            continue;
        size_t rank = t->start + i;
        /* Within a scrolled list the row keeps its place on the screen. */
        if (t->top > 0 && !t->is_changed)
            t->top = t->top + rank > t->index ? t->top + rank - t->index : 0;
        t->index = rank;
        break;
    }
    if (t->index >= t->total)
        t->index = t->total ? t->total - 1 : 0;
    row_table_remember(t);
    row_table_show_selected(t);
}

void row_table_take(struct row_table *t, const json_t *result, const struct row_table_part *part)
{
    json_t *answer = json_object_get(result, "rows");
    struct map names = {0};
    if (!json_is_array(answer))
        return;
    row_table_number_rows(t, answer);
    json_t *fresh = row_table_sorted(t, answer);
    /* Names of rows -> place + 1 (a map holds no NULL). */
    char id[TABLE_ID_MAX];
    bool has_room = true;
    for (size_t i = 0; i < json_array_size(fresh) && has_room; i++) {
        row_table_identity(t, json_array_get(fresh, i), id);
        has_room = map_put(&names, str_of(id), (void *)(uintptr_t)(i + 1), NULL) == 0;
    }
    size_t n_fresh = json_array_size(fresh), start = part->offset;
    json_int_t matched = json_integer_value(json_object_get(result, "matched"));
    if (part->is_from_end)
        start =
            (size_t)matched > part->offset + n_fresh ? (size_t)matched - part->offset - n_fresh : 0;
    bool is_same = t->rows && !t->is_changed && start == t->start;
    json_t *rows = is_same ? row_table_with_gone(t, &names, fresh) : json_incref(fresh);
    json_decref(t->rows);
    t->rows = rows;
    t->start = start;
    row_table_note_gone(t, &names);
    size_t known = t->start + n_fresh;
    t->total = matched > (json_int_t)known ? (size_t)matched : known;
    t->has_more = json_is_true(json_object_get(result, "more")) && t->total == known;
    t->seen = (uint64_t)json_integer_value(json_object_get(result, "seen"));
    t->matched = t->total;
    t->total += json_array_size(t->rows) - n_fresh;
    row_table_follow(t);
    t->is_changed = false;
    json_decref(fresh);
    map_fini(&names);
}

size_t row_table_behind(const struct row_table *t, const json_t *row, const char *column)
{
    size_t low = 0, high = json_array_size(t->rows);
    const json_t *v = json_object_get(row, column);
    while (column && low < high) {
        size_t at = low + (high - low) / 2;
        if (output_compare(json_object_get(json_array_get(t->rows, at), column), v) > 0)
            high = at;
        else
            low = at + 1;
    }
    return column ? low : high;
}

void row_table_append(struct row_table *t, json_t *row, const char *column, size_t max)
{
    if (!t->rows)
        t->rows = json_array();
    bool is_at_end = t->index + 1 >= t->total;
    if (!t->identity[0] && !json_object_get(row, TABLE_NUMBER))
        json_object_set_new(row, TABLE_NUMBER, json_integer(++t->next_number));
    size_t at = row_table_behind(t, row, column);
    if (json_array_insert_new(t->rows, at, row) < 0)
        return;
    t->index += at < t->index || (at == t->index && at + 1 < json_array_size(t->rows));
    t->top += at < t->top;
    size_t n = json_array_size(t->rows);
    if (n > max) {
        /* Many of the oldest at once: each removal moves all that follow. */
        size_t n_old = n - max + max / 10;
        json_t *rows = json_array();
        for (size_t i = n_old; i < n; i++)
            json_array_append(rows, json_array_get(t->rows, i));
        json_decref(t->rows);
        t->rows = rows;
        t->index = t->index > n_old ? t->index - n_old : 0;
        t->top = t->top > n_old ? t->top - n_old : 0;
    }
    t->total = t->matched = json_array_size(t->rows);
    if (is_at_end)
        t->index = t->total - 1;
    row_table_remember(t);
    row_table_show_selected(t);
}

struct row_table_part row_table_want(const struct row_table *t)
{
    size_t page = t->page ? t->page : TABLE_PAGE_DEFAULT;
    struct row_table_part part = {.limit = TABLE_LIMIT_MAX};
    if (!row_table_can_skip(t))
        return part;
    part.offset = t->top > page ? t->top - page : 0;
    part.limit = 3 * page < TABLE_LIMIT_MAX ? 3 * page : TABLE_LIMIT_MAX;
    /* What is nearer to the end is counted from there. */
    bool is_by_node =
        strcmp(t->sort, TABLE_NODE) == 0; /* each daemon's rows from their beginning */
    if (commands_arg(t->command, "from_end") && t->sort[0] && !is_by_node &&
        part.offset > t->total / 2) {
        size_t end = part.offset + part.limit;
        part.is_from_end = true;
        part.offset = t->total > end ? t->total - end : 0;
    }
    return part;
}

bool row_table_has_margin(const struct row_table *t)
{
    size_t half = t->page / 2, end = t->start + json_array_size(t->rows);
    size_t first = t->top > half ? t->top - half : 0;
    bool is_end = end >= t->total && !t->has_more;
    return !row_table_can_skip(t) ||
           (first >= t->start && (is_end || end >= t->top + t->page + half));
}

bool row_table_has_visible(const struct row_table *t)
{
    size_t last = t->top + (t->page ? t->page : 1);
    last = last < t->total ? last : t->total;
    return t->top >= t->start && last <= t->start + json_array_size(t->rows);
}

/* ---- moving ---- */

void row_table_move(struct row_table *t, long by)
{
    long to = (long)t->index, last = (long)t->total - 1;
    if (last < 0)
        return;
    to = by > last - to ? last : to + by;
    t->index = (size_t)(to < 0 ? 0 : to);
    t->is_following = t->index > 0;
    row_table_show_selected(t);
    row_table_remember(t);
}

void row_table_page(struct row_table *t, int direction)
{
    size_t page = t->page ? t->page : 1;
    if (direction > 0)
        t->top += page;
    else
        t->top = t->top > page ? t->top - page : 0;
    row_table_move(t, direction > 0 ? (long)page : -(long)page);
}

void row_table_set_page(struct row_table *t, size_t page)
{
    t->page = page;
    row_table_show_selected(t);
}

/* ---- marks ---- */

bool row_table_is_marked(const struct row_table *t, const char *identity)
{
    return map_get(&t->marks, str_of(identity)) != NULL;
}

void row_table_unmark(struct row_table *t, const char *identity)
{
    json_decref(map_del(&t->marks, str_of(identity)));
}

void row_table_mark(struct row_table *t, const char *identity, const json_t *row)
{
    void *old = NULL;
    if (map_put(&t->marks, str_of(identity), json_incref((json_t *)row), &old) < 0)
        json_decref((json_t *)row); /* out of memory: not marked */
    json_decref(old);
}

json_t *row_table_targets(const struct row_table *t, json_t **ret_rows)
{
    json_t *targets = json_array();
    struct map seen = {0};
    char id[TABLE_ID_MAX];
    size_t pos = 0;
    struct str key;
    void *row;
    *ret_rows = json_array();
    /* Those that are on the screen first, in its order. */
    for (size_t i = 0; t->marks.count && i < json_array_size(t->rows); i++) {
        row_table_identity(t, json_array_get(t->rows, i), id);
        row = map_get(&t->marks, str_of(id));
        if (!row || map_put(&seen, str_of(id), &table_present, NULL) < 0)
            continue;
        json_array_append_new(targets, json_string(id));
        json_array_append(*ret_rows, row);
    }
    while (map_next(&t->marks, &pos, &key, &row))
        if (!map_get(&seen, key)) {
            json_array_append_new(targets, json_stringn(key.p, key.n));
            json_array_append(*ret_rows, row);
        }
    const json_t *selected = row_table_selected(t);
    if (t->marks.count == 0 && selected && !row_table_is_gone(t, t->selected)) {
        json_array_append_new(targets, json_string(t->selected));
        json_array_append(*ret_rows, (json_t *)selected);
    }
    map_fini(&seen);
    return targets;
}

/* ---- order and filter ---- */

static void row_table_change(struct row_table *t)
{
    t->is_changed = true;
    t->is_following = false;
    t->question++;
}

/* c: the column of that name; NULL = it is TABLE_NODE, or "". */
static void row_table_set_sort(struct row_table *t, const char *name,
                               const struct command_column *c)
{
    (void)str_copy(t->sort, sizeof(t->sort), str_of(name));
    t->is_descending = c && (output_is_number(c->unit) || c->unit == COMMANDS_TIME);
    row_table_change(t);
}

void row_table_sort_next(struct row_table *t, int direction, uint64_t wide)
{
    /* Behind the columns come the daemon's own order and, in front of the first one again, the
     * node. */
    size_t own = t->n_columns, node = own + 1, n = own + 1 + t->has_node, at = own;
    for (size_t i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i].name, t->sort) == 0)
            at = i;
    if (t->has_node && strcmp(t->sort, TABLE_NODE) == 0)
        at = node;
    do
        at = (at + n + (size_t)direction) % n;
    while (at < own && t->columns[at].is_wide && !(wide >> at & 1));
    if (at < own)
        row_table_set_sort(t, t->columns[at].name, &t->columns[at]);
    else
        row_table_set_sort(t, at == node ? TABLE_NODE : "", NULL);
}

void row_table_sort_by(struct row_table *t, const char *column)
{
    const struct command_column *c = t->command ? commands_column(t->command, column) : NULL;
    bool is_node = t->has_node && strcmp(column, TABLE_NODE) == 0;
    if ((c || is_node) && strcmp(t->sort, column) == 0)
        row_table_reverse(t);
    else if (c || is_node)
        row_table_set_sort(t, column, c);
}

void row_table_reverse(struct row_table *t)
{
    t->is_descending = !t->is_descending;
    row_table_change(t);
}

const char *row_table_sort_text(const struct row_table *t, char dst[72])
{
    snprintf(dst, 72, "%s%s", t->sort[0] && t->is_descending ? "-" : "", t->sort);
    return dst;
}

void row_table_set_filter(struct row_table *t, const char *filter)
{
    if (strcmp(t->filter, filter) == 0)
        return;
    (void)str_copy(t->filter, sizeof(t->filter), str_of(filter));
    t->top = t->index = 0;
    t->selected[0] = '\0';
    row_table_change(t);
}
