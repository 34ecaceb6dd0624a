/* SPDX-License-Identifier: ISC */
/* Keeping a list's selection and marks while its rows come and go. */
#include "tui/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void table_init(struct table *t, const char *noun, const char *verb)
{
    *t = (struct table){.command = commands_find(noun, verb), .sort = SIZE_MAX};
    if (t->command)
        t->columns = commands_columns(t->command, &t->n_columns);
}

void table_fini(struct table *t)
{
    json_decref(t->rows);
    json_decref(t->gone);
    map_fini(&t->marks);
}

size_t table_rows(const struct table *t)
{
    return t->rows ? json_array_size(t->rows) : 0;
}

const json_t *table_row(const struct table *t, size_t i)
{
    return json_array_get(t->rows, i);
}

const char *table_identity(const struct table *t, const json_t *row, char dst[256])
{
    const json_t *v = t->n_columns ? json_object_get(row, t->columns[0].name) : NULL;
    if (json_is_string(v))
        (void)str_copy(dst, 256, str_of(json_string_value(v)));
    else if (json_is_integer(v))
        snprintf(dst, 256, "%lld", (long long)json_integer_value(v));
    else
        dst[0] = '\0';
    /* Backends of different pools may have one name. */
    const char *pool = json_string_value(json_object_get(row, "pool"));
    if (pool && strcmp(t->command->noun, "backend") == 0) {
        char name[256];
        memcpy(name, dst, sizeof(name));
        snprintf(dst, 256, "%.100s/%.150s", pool, name);
    }
    return dst;
}

const json_t *table_selected(const struct table *t)
{
    return t->index < table_rows(t) ? table_row(t, t->index) : NULL;
}

static void table_remember(struct table *t)
{
    const json_t *row = table_selected(t);
    if (row)
        table_identity(t, row, t->selected);
    else
        t->selected[0] = '\0';
}

static bool table_find(const struct table *t, const char *identity, size_t *ret)
{
    char id[256];
    for (size_t i = 0; i < table_rows(t); i++)
        if (strcmp(table_identity(t, table_row(t, i), id), identity) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

void table_take(struct table *t, const json_t *result)
{
    json_t *rows = json_object_get(result, "rows");
    if (!json_is_array(rows))
        return;
    json_decref(t->rows);
    t->rows = json_incref(rows);
    t->matched = (uint64_t)json_integer_value(json_object_get(result, "matched"));
    t->seen = (uint64_t)json_integer_value(json_object_get(result, "seen"));
    if (!json_object_get(result, "matched"))
        t->matched = t->seen = table_rows(t);
    if (!t->selected[0] || !table_find(t, t->selected, &t->index)) {
        size_t n = table_rows(t);
        t->index = t->index < n ? t->index : n ? n - 1 : 0;
        table_remember(t);
    }
}

void table_append(struct table *t, json_t *row, size_t max)
{
    if (!t->rows)
        t->rows = json_array();
    bool is_at_end = t->index + 1 >= table_rows(t);
    if (json_array_append_new(t->rows, row) < 0)
        return;
    if (table_rows(t) > max) {
        json_array_remove(t->rows, 0);
        if (t->index > 0 && !is_at_end)
            t->index--;
    }
    t->matched = t->seen = table_rows(t);
    if (is_at_end)
        t->index = table_rows(t) - 1;
}

void table_move(struct table *t, long n, size_t page)
{
    long rows = (long)table_rows(t), to = (long)t->index;
    if (rows == 0)
        return;
    to = n > rows - to ? rows - 1 : to + n;
    t->index = (size_t)(to < 0 ? 0 : to >= rows ? rows - 1 : to);
    if (t->index < t->top)
        t->top = t->index;
    if (page && t->index >= t->top + page)
        t->top = t->index - page + 1;
    table_remember(t);
}

bool table_is_marked(const struct table *t, const char *identity)
{
    return map_get(&t->marks, str_of(identity)) != NULL;
}

void table_mark(struct table *t, const char *identity, bool is_on)
{
    if (!is_on)
        map_del(&t->marks, str_of(identity));
    else if (map_put(&t->marks, str_of(identity), t, NULL) < 0)
        return; /* out of memory: not marked */
}

void table_unmark_all(struct table *t)
{
    map_fini(&t->marks);
    t->marks = (struct map){0};
}

json_t *table_targets(const struct table *t)
{
    json_t *targets = json_array();
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(&t->marks, &pos, &key, &value))
        json_array_append_new(targets, json_stringn(key.p, key.n));
    if (json_array_size(targets) == 0 && table_selected(t)) {
        char id[256];
        json_array_append_new(targets, json_string(table_identity(t, table_selected(t), id)));
    }
    return targets;
}

bool table_is_shown(const struct table *t, size_t column)
{
    return t->is_wide || !t->columns[column].is_wide;
}

void table_sort_next(struct table *t, int direction)
{
    size_t n = t->n_columns + 1; /* the last place is the daemon's own order */
    size_t at = t->sort == SIZE_MAX ? t->n_columns : t->sort;
    do
        at = (at + n + (size_t)direction) % n;
    while (at < t->n_columns && !table_is_shown(t, at));
    t->sort = at == t->n_columns ? SIZE_MAX : at;
    t->is_descending = at < t->n_columns && t->columns[at].unit != COMMANDS_TEXT;
}

const char *table_sort_text(const struct table *t, char dst[64])
{
    if (t->sort == SIZE_MAX || t->sort >= t->n_columns)
        return NULL;
    snprintf(dst, 64, "%s%s", t->is_descending ? "-" : "", t->columns[t->sort].name);
    return dst;
}
