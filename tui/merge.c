/* SPDX-License-Identifier: ISC */
/* Answers of several daemons as one: each kind has its own rule. */
#include "tui/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/output.h"

enum merge_kind merge_kind(const struct command *c)
{
    static const struct {
        const char *method;
        enum merge_kind kind;
    } kinds[] = {
        {"session.top", MERGE_GROUPS},    {"event.top", MERGE_GROUPS},
        {"stats.history", MERGE_SAMPLES}, {"stats.show", MERGE_TOTALS},
        {"system.status", MERGE_STATUS},  {"fleet.list", MERGE_FIRST},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].method, c->method) == 0)
            return kinds[i].kind;
    return c->flags & COMMANDS_STREAM    ? MERGE_STREAM
           : c->flags & COMMANDS_CHANGES ? MERGE_CHANGE
           : c->flags & COMMANDS_LIST    ? MERGE_ROWS
                                         : MERGE_FIRST;
}

bool merge_is_window(const struct command *c)
{
    return merge_kind(c) == MERGE_ROWS && commands_arg(c, "offset");
}

void merge_params(const struct command *c, const json_t *params, const struct merge_window *w,
                  struct merge_answer *a, size_t n, json_t **ret)
{
    static const struct merge_window beginning;
    const struct merge_order order = merge_order(c, params, a, n);
    const struct row_table_part want = merge_want(params);
    bool is_window = merge_is_window(c) && json_object_get(params, "limit");
    size_t n_columns;
    const struct command_column *columns = commands_columns(c, &n_columns);
    if (is_window)
        merge_plan(w ? w : &beginning, &order, n, &want, a);
    for (size_t i = 0; i < n; i++) {
        ret[i] = params ? json_copy((json_t *)params) : json_object();
        /* The greatest sums may be made of small counts. */
        if (merge_kind(c) == MERGE_GROUPS)
            json_object_set_new(ret[i], "limit", json_integer(TABLE_LIMIT_MAX));
        /* Each daemon's rows come in the order of their names. */
        if (order.is_by_node)
            json_object_set_new(ret[i], "sort", json_string(columns[0].name));
        if (!is_window)
            continue;
        json_object_set_new(ret[i], "limit", json_integer((json_int_t)a[i].part.limit));
        json_object_set_new(ret[i], "offset", json_integer((json_int_t)a[i].part.offset));
        json_object_del(ret[i], "from_end");
        if (a[i].part.is_from_end)
            json_object_set_new(ret[i], "from_end", json_true());
    }
}

/* ---- counts ---- */

/* Adds the members of one object to those of another by the columns of a command. */
static void merge_add(const struct command *c, json_t *to, const json_t *from)
{
    size_t n;
    const struct command_column *columns = commands_columns(c, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = columns[i].name;
        json_t *here = json_object_get(to, name), *there = json_object_get(from, name);
        bool is_sum = columns[i].unit == COMMANDS_NUMBER || columns[i].unit == COMMANDS_SIZE;
        bool is_least = strcmp(name, "first") == 0;
        if (!here && there)
            json_object_set(to, name, there);
        if (!here || !there || !json_is_number(here) || !json_is_number(there))
            continue;
        double sum = json_number_value(here) + json_number_value(there);
        bool is_there = (json_number_value(there) > json_number_value(here)) != is_least;
        if (!is_sum)
            json_object_set(to, name, is_there ? there : here);
        else if (json_is_integer(here) && json_is_integer(there))
            json_object_set_new(to, name,
                                json_integer(json_integer_value(here) + json_integer_value(there)));
        else
            json_object_set_new(to, name, json_real(sum));
    }
}

/* What rows of a group have in common: the same for all daemons. */
static char *merge_group_key(const json_t *params, const json_t *row)
{
    AUTO_BUF key = BUF_INIT;
    const json_t *by = json_object_get(params, "by");
    size_t i;
    const json_t *word;
    if (!json_is_array(by))
        output_raw(&key, json_object_get(row, "key"));
    json_array_foreach (by, i, word) {
        output_raw(&key, json_object_get(row, json_string_value(word)));
        if (buf_append_char(&key, '\n') < 0)
            return NULL;
    }
    return buf_steal(&key);
}

/* Shares are of all sessions of all daemons. */
static void merge_shares(json_t *rows)
{
    json_int_t all = 0;
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row)
        all += json_integer_value(json_object_get(row, "sessions"));
    json_array_foreach (rows, i, row)
        if (all && json_object_get(row, "share"))
            json_object_set_new(
                row, "share",
                json_integer(json_integer_value(json_object_get(row, "sessions")) * 100 / all));
}

static json_t *merge_sorted(json_t *rows, const struct merge_order *o, size_t limit)
{
    size_t n = json_array_size(rows);
    AUTO_FREE json_t **v = calloc(n + 1, sizeof(json_t *));
    json_t *sorted = json_array();
    for (size_t i = 0; v && i < n; i++)
        v[i] = json_array_get(rows, i);
    if (v && o->column[0])
        qsort_r(v, n, sizeof(json_t *), merge_compare, (void *)o);
    for (size_t i = 0; v && i < merge_min(n, limit); i++)
        json_array_append(sorted, v[i]);
    return sorted;
}

static json_t *merge_groups(const struct command *c, const json_t *params,
                            const struct merge_answer *a, size_t n)
{
    const struct merge_order order = merge_order(c, params, a, n);
    json_t *rows = json_array(), *known = json_object();
    size_t k, seen = 0;
    bool is_more = false;
    json_t *row;
    for (size_t i = 0; i < n; i++) {
        seen += merge_count(a[i].result, "seen");
        is_more = is_more || json_is_true(json_object_get(a[i].result, "more"));
        json_array_foreach (json_object_get(a[i].result, "rows"), k, row) {
            AUTO_FREE char *key = merge_group_key(params, row);
            json_t *group = key ? json_object_get(known, key) : NULL;
            if (group)
                merge_add(c, group, row);
            else if (key && json_array_append_new(rows, group = json_copy(row)) == 0)
                json_object_set(known, key, group);
        }
    }
    merge_shares(rows);
    json_t *sorted = merge_sorted(rows, &order, merge_want(params).limit);
    json_t *all =
        json_pack("{s:o, s:I, s:I, s:b}", "rows", sorted, "matched",
                  (json_int_t)json_array_size(rows), "seen", (json_int_t)seen, "more", is_more);
    json_decref(rows);
    json_decref(known);
    return all;
}

/* ---- samples ---- */

static json_int_t merge_time(const json_t *rows, size_t i)
{
    return json_integer_value(json_object_get(json_array_get(rows, i), "time"));
}

/* The row whose time is nearest, searched from *at on; NULL when it is a step away, or more. */
static const json_t *merge_nearest(const json_t *rows, json_int_t time, json_int_t step_ms,
                                   size_t *at)
{
    size_t n = json_array_size(rows);
    while (*at + 1 < n &&
           llabs(merge_time(rows, *at + 1) - time) <= llabs(merge_time(rows, *at) - time))
        ++*at;
    bool is_near = n && llabs(merge_time(rows, *at) - time) < step_ms;
    return is_near ? json_array_get(rows, *at) : NULL;
}

/* Each daemon takes its samples at times of its own: those of the one that has most of them are
 * the times of the sums. */
static json_t *merge_samples(const struct command *c, const json_t *params,
                             const struct merge_answer *a, size_t n)
{
    const char *step = json_string_value(json_object_get(params, "step"));
    json_int_t step_ms = step && strcmp(step, "1m") == 0 ? 60000 : 1000;
    json_int_t ahead[MERGE_MAX] = {0};
    size_t most = 0, at[MERGE_MAX] = {0}, k;
    json_t *rows = json_array();
    const json_t *row;
    for (size_t i = 0; i < n; i++)
        if (json_array_size(json_object_get(a[i].result, "rows")) >
            json_array_size(json_object_get(a[most].result, "rows")))
            most = i;
    const json_t *times = json_object_get(a[most].result, "rows");
    /* How far a daemon's clock is ahead: the last samples of both were taken just now. Less than
     * two steps say nothing. */
    for (size_t i = 0; i < n; i++) {
        const json_t *others = json_object_get(a[i].result, "rows");
        size_t n_times = json_array_size(times), n_others = json_array_size(others);
        if (n_times > 0 && n_others > 0)
            ahead[i] = merge_time(others, n_others - 1) - merge_time(times, n_times - 1);
        if (llabs(ahead[i]) <= 2 * step_ms)
            ahead[i] = 0;
    }
    json_array_foreach (times, k, row) {
        json_int_t time = json_integer_value(json_object_get(row, "time"));
        json_t *sum = json_copy((json_t *)row);
        for (size_t i = 0; i < n; i++) {
            const json_t *others = i == most ? NULL : json_object_get(a[i].result, "rows");
            const json_t *other = merge_nearest(others, time + ahead[i], step_ms, &at[i]);
            if (other)
                merge_add(c, sum, other);
        }
        json_object_set_new(sum, "time", json_integer(time));
        json_array_append_new(rows, sum);
    }
    return json_pack("{s:o}", "rows", rows);
}

/* ---- objects ---- */

static json_t *merge_status(const struct merge_answer *a, size_t n)
{
    json_t *nodes = json_array(), *all = json_pack("{s:o}", "nodes", nodes);
    for (size_t i = 0; i < n; i++) {
        json_t *uptime = json_object_get(a[i].result, "uptime");
        json_t *least = json_object_get(all, "uptime");
        if (!a[i].result)
            continue;
        merge_tag(a[i].result, i, a[i].name);
        json_array_append(nodes, a[i].result);
        if (uptime && (!least || json_integer_value(uptime) < json_integer_value(least)))
            json_object_set(all, "uptime", uptime);
    }
    return all;
}

/* Counts are added up, rows come one after another, what each says is told with its name. */
static json_t *merge_change(const struct merge_answer *a, size_t n)
{
    json_t *all = json_object(), *rows = json_array(), *v, *row;
    AUTO_BUF text = BUF_INIT;
    const char *name;
    size_t k;
    for (size_t i = 0; i < n; i++) {
        const char *message = json_string_value(json_object_get(a[i].result, "message"));
        json_object_foreach (a[i].result, name, v) {
            json_t *here = json_object_get(all, name);
            if (json_is_integer(v) && json_is_integer(here))
                json_object_set_new(all, name,
                                    json_integer(json_integer_value(here) + json_integer_value(v)));
            else if (!here || json_is_true(v))
                json_object_set(all, name, v);
        }
        json_array_foreach (json_object_get(a[i].result, "rows"), k, row) {
            merge_tag(row, i, a[i].name);
            json_array_append(rows, row);
        }
        if (message)
            (void)!buf_printf(&text, "%s%s: %s", text.len ? "; " : "", a[i].name, message);
    }
    if (json_object_get(all, "rows"))
        json_object_set(all, "rows", rows);
    if (text.len)
        json_object_set_new(all, "message", json_stringn(buf_str(&text).p, text.len));
    json_decref(rows);
    return all;
}

json_t *merge_answers(const struct command *c, const json_t *params, struct merge_window *w,
                      const struct merge_answer *a, size_t n)
{
    json_t *all;
    switch (merge_kind(c)) {
    case MERGE_ROWS:
        return merge_rows(c, params, w, a, n);
    case MERGE_GROUPS:
        return merge_groups(c, params, a, n);
    case MERGE_SAMPLES:
        return merge_samples(c, params, a, n);
    case MERGE_TOTALS:
        all = json_object();
        for (size_t i = 0; i < n; i++)
            if (a[i].result)
                merge_add(c, all, a[i].result);
        return all;
    case MERGE_STATUS:
        return merge_status(a, n);
    case MERGE_CHANGE:
        return merge_change(a, n);
    case MERGE_STREAM:
    case MERGE_FIRST:
        break;
    }
    for (size_t i = 0; i < n; i++)
        if (a[i].result) {
            merge_tag(a[i].result, i, a[i].name);
            return json_incref(a[i].result);
        }
    return NULL;
}
