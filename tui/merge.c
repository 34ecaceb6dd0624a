/* SPDX-License-Identifier: ISC */
/* Answers of several daemons as one: each kind has its own rule. */
#include "tui/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/output.h"

#define MERGE_STEP (TABLE_LIMIT_MAX / 2) /* rows that a daemon is asked to move on at first */
#define MERGE_ROUNDS_MAX 64              /* answers after which any place is good enough */

enum merge_kind merge_kind(const struct command *c)
{
    static const struct {
        const char *method;
        enum merge_kind kind;
    } kinds[] = {
        {"session.top", MERGE_GROUPS},    {"event.top", MERGE_GROUPS},
        {"stats.history", MERGE_SAMPLES}, {"stats.show", MERGE_TOTALS},
        {"system.status", MERGE_STATUS},
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

bool merge_is_same(const json_t *a, const json_t *b, const char *member)
{
    const json_t *here = json_object_get(a, member), *there = json_object_get(b, member);
    return json_equal(here, there) || (!here && !there);
}

void merge_tag(json_t *row, size_t place, const char *name)
{
    json_object_set_new(row, MERGE_NODE, json_string(name));
    json_object_set_new(row, MERGE_PLACE, json_integer((json_int_t)place));
}

/* ---- the order of rows ---- */

struct merge_order {
    char column[64]; /* "" = one daemon's rows after another's */
    bool is_descending;
};

static struct merge_order merge_order(const struct command *c, const json_t *params)
{
    const char *sort = json_string_value(json_object_get(params, "sort"));
    struct merge_order o = {.is_descending = sort && sort[0] == '-'};
    size_t n;
    const struct command_column *columns = commands_columns(c, &n);
    if (sort)
        (void)str_copy(o.column, sizeof(o.column), str_of(sort + o.is_descending));
    else if (n > 0 && columns[0].unit == COMMANDS_TIME)
        /* Lists of what happened are given newest first. */
        o = (struct merge_order){.column = "time", .is_descending = true};
    return o;
}

static int merge_compare(const void *a, const void *b, void *arg)
{
    const struct merge_order *o = arg;
    int order = output_compare(json_object_get(*(json_t *const *)a, o->column),
                               json_object_get(*(json_t *const *)b, o->column));
    return o->is_descending ? -order : order;
}

/* ---- parts of lists ---- */

static size_t merge_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct table_part merge_want(const json_t *params)
{
    json_int_t limit = json_integer_value(json_object_get(params, "limit"));
    return (struct table_part){.offset =
                                   (size_t)json_integer_value(json_object_get(params, "offset")),
                               .limit = limit > 0 ? (size_t)limit : TABLE_LIMIT_MAX,
                               .is_from_end = json_is_true(json_object_get(params, "from_end"))};
}

/* Around the place that is known best: rows before and behind it, of each daemon as many as all of
 * them may be. */
static void merge_plan_around(const struct merge_window *w, size_t n, size_t offset, size_t limit,
                              struct merge_answer *a)
{
    size_t here = 0, total = 0, at[MERGE_MAX];
    for (size_t i = 0; i < n; i++) {
        here += w->at[i];
        total += w->counts[i];
    }
    size_t far = here > offset ? here - offset : offset - here;
    bool is_far = far + limit > TABLE_LIMIT_MAX / 2 && !w->is_seeking;
    size_t margin = is_far || w->is_seeking ? TABLE_LIMIT_MAX / 2 : far + limit;
    for (size_t i = 0; i < n; i++) {
        /* A jump: a guess, which the answers mend. */
        at[i] = is_far && total ? (size_t)((double)w->counts[i] * (double)offset / (double)total)
                                : w->at[i];
        a[i].part.offset = at[i] > margin ? at[i] - margin : 0;
        a[i].part.limit = at[i] + margin - a[i].part.offset;
    }
}

static void merge_plan(const struct merge_window *w, size_t n, const struct table_part *want,
                       bool is_sorted, struct merge_answer *a)
{
    size_t end = want->offset + want->limit, total = 0, before = want->offset;
    for (size_t i = 0; i < n; i++) {
        a[i].part = (struct table_part){0, merge_min(end, TABLE_LIMIT_MAX), want->is_from_end};
        total += w->counts[i];
    }
    if (!is_sorted) {
        for (size_t i = 0; i < n; i++) {
            size_t skipped = merge_min(before, w->counts[i]);
            a[i].part = (struct table_part){skipped, want->limit, false};
            before -= skipped;
        }
    } else if (end > TABLE_LIMIT_MAX) {
        size_t offset = !want->is_from_end ? want->offset : total > end ? total - end : 0;
        for (size_t i = 0; i < n; i++)
            a[i].part.is_from_end = false;
        merge_plan_around(w, n, offset, want->limit, a);
    }
}

void merge_params(const struct command *c, const json_t *params, const struct merge_window *w,
                  struct merge_answer *a, size_t n, json_t **ret)
{
    static const struct merge_window beginning;
    const struct merge_order order = merge_order(c, params);
    const struct table_part want = merge_want(params);
    bool is_window = merge_is_window(c) && json_object_get(params, "limit");
    if (is_window)
        merge_plan(w ? w : &beginning, n, &want, order.column[0] != '\0', a);
    for (size_t i = 0; i < n; i++) {
        ret[i] = params ? json_copy((json_t *)params) : json_object();
        /* The greatest sums may be made of small counts. */
        if (merge_kind(c) == MERGE_GROUPS)
            json_object_set_new(ret[i], "limit", json_integer(TABLE_LIMIT_MAX));
        if (!is_window)
            continue;
        json_object_set_new(ret[i], "limit", json_integer((json_int_t)a[i].part.limit));
        json_object_set_new(ret[i], "offset", json_integer((json_int_t)a[i].part.offset));
        json_object_del(ret[i], "from_end");
        if (a[i].part.is_from_end)
            json_object_set_new(ret[i], "from_end", json_true());
    }
}

/* ---- rows ---- */

static size_t merge_count(const json_t *result, const char *member)
{
    json_int_t n = json_integer_value(json_object_get(result, member));
    return n > 0 ? (size_t)n : 0;
}

/* The daemon whose next row comes first; n = none has any more. Rows of one daemon keep their
 * order. */
static size_t merge_next(const struct merge_order *o, const struct merge_answer *a, size_t n,
                         const size_t *taken)
{
    size_t best = n;
    json_t *least = NULL;
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array_get(json_object_get(a[i].result, "rows"), taken[i]);
        if (!row || (least && (!o->column[0] || merge_compare(&row, &least, (void *)o) >= 0)))
            continue;
        best = i;
        least = row;
    }
    return best;
}

/* How many of the rows that came lie before those that were asked for. */
static size_t merge_skipped(const struct merge_window *w, const struct table_part *want,
                            const struct merge_answer *a, size_t n, bool is_sorted)
{
    size_t fetched = 0, first = 0, total = 0;
    bool is_from_end = want->is_from_end;
    for (size_t i = 0; i < n; i++) {
        fetched += json_array_size(json_object_get(a[i].result, "rows"));
        first += a[i].result ? a[i].part.offset : 0;
        total += w->counts[i];
        is_from_end = is_from_end && a[i].part.is_from_end;
    }
    size_t end = want->offset + want->limit;
    if (is_from_end)
        return fetched > end ? fetched - end : 0;
    size_t offset = !want->is_from_end ? want->offset : total > end ? total - end : 0;
    return is_sorted && offset > first ? merge_min(offset - first, fetched) : 0;
}

/* Where the first row that is wanted lies: taken[i] of daemon i's rows are before it. */
static void merge_note_place(struct merge_window *w, const struct merge_answer *a, size_t n,
                             const size_t *taken)
{
    for (size_t i = 0; i < n; i++) {
        const struct table_part *part = &a[i].part;
        size_t size = json_array_size(json_object_get(a[i].result, "rows"));
        size_t end = part->offset + size;
        size_t from = !part->is_from_end   ? part->offset
                      : w->counts[i] > end ? w->counts[i] - end
                                           : 0;
        w->at[i] = merge_min(a[i].result ? from + taken[i] : 0, w->counts[i]);
    }
}

/* Which way each daemon has to go: all of its rows that came lie before the place and more follow
 * (1), all lie behind it and more are before (-1). Steps double until it turns, and are halved
 * then. True when nobody has to go. */
static bool merge_note_ways(struct merge_window *w, const struct merge_answer *a, size_t n,
                            const size_t *taken)
{
    bool is_found = true;
    for (size_t i = 0; i < n; i++) {
        size_t size = json_array_size(json_object_get(a[i].result, "rows"));
        size_t from = w->at[i] - merge_min(taken[i], w->at[i]), step = w->steps[i];
        int way = 0;
        if (a[i].result && taken[i] == size && from + size < w->counts[i])
            way = 1;
        else if (a[i].result && taken[i] == 0 && from > 0 && !a[i].part.is_from_end)
            way = -1;
        step = !w->is_seeking || !way || !w->ways[i] ? MERGE_STEP
               : way == w->ways[i]                   ? step * 2
                                                     : step / 2;
        w->steps[i] = step > MERGE_STEP / 2 ? step : MERGE_STEP / 2;
        w->ways[i] = (signed char)way;
        is_found = is_found && way == 0;
    }
    return is_found;
}

/* How far a daemon of a way can go. */
static size_t merge_room(const struct merge_window *w, size_t i, int way, bool is_up)
{
    size_t all = is_up ? w->counts[i] - merge_min(w->at[i], w->counts[i]) : w->at[i];
    return w->ways[i] == way ? merge_min(w->steps[i], all) : 0;
}

static size_t merge_rooms(const struct merge_window *w, size_t n, int way, bool is_up)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += merge_room(w, i, way, is_up);
    return room;
}

static void merge_go(struct merge_window *w, size_t n, int way, bool is_up, size_t rows)
{
    for (size_t i = 0; i < n; i++) {
        size_t by = merge_min(merge_room(w, i, way, is_up), rows);
        w->at[i] = is_up ? w->at[i] + by : w->at[i] - by;
        rows -= by;
    }
}

/* Whether each daemon's rows that came go on for a page behind the place. */
static bool merge_has_page(const struct merge_window *w, const struct merge_answer *a, size_t n,
                           const size_t *taken, size_t limit)
{
    for (size_t i = 0; i < n; i++) {
        size_t rest = json_array_size(json_object_get(a[i].result, "rows")) - taken[i];
        if (a[i].result && rest < limit && w->at[i] + rest < w->counts[i])
            return false;
    }
    return true;
}

/* The place is looked for as one looks for a word in a book; what one daemon goes on another one
 * goes back. True when it is found with limit rows behind it, or cannot be. */
static bool merge_seek(struct merge_window *w, const struct merge_answer *a, size_t n,
                       const size_t *taken, size_t limit)
{
    bool is_found = merge_note_ways(w, a, n, taken), is_last = ++w->rounds > MERGE_ROUNDS_MAX;
    /* Those that are at the place give way when nobody else does. */
    int up = merge_rooms(w, n, 1, true) ? 1 : 0, down = merge_rooms(w, n, -1, false) ? -1 : 0;
    size_t rows = merge_min(merge_rooms(w, n, up, true), merge_rooms(w, n, down, false));
    w->is_seeking = !is_found && !is_last && rows > 0;
    if (w->is_seeking) {
        merge_go(w, n, up, true, rows);
        merge_go(w, n, down, false, rows);
        return false;
    }
    if (!is_last && !merge_has_page(w, a, n, taken, limit))
        return false;
    w->rounds = 0;
    return true;
}

static json_t *merge_rows(const struct command *c, const json_t *params, struct merge_window *w,
                          const struct merge_answer *a, size_t n)
{
    const struct merge_order order = merge_order(c, params);
    struct table_part want = merge_want(params);
    bool is_window = w && json_object_get(params, "limit"), is_more = false, is_found = true;
    size_t taken[MERGE_MAX] = {0}, matched = 0, seen = 0, skipped = 0;
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        size_t count = merge_count(a[i].result, "matched");
        matched += count;
        seen += merge_count(a[i].result, "seen");
        is_more = is_more || json_is_true(json_object_get(a[i].result, "more"));
        if (w)
            w->counts[i] = count;
        if (w)
            w->at[i] = merge_min(w->at[i], count);
    }
    if (is_window)
        skipped = merge_skipped(w, &want, a, n, order.column[0] != '\0');
    else
        want.limit = SIZE_MAX;
    for (size_t place, k = 0; (place = merge_next(&order, a, n, taken)) < n; k++) {
        json_t *row = json_array_get(json_object_get(a[place].result, "rows"), taken[place]);
        if (k == skipped && is_window) {
            merge_note_place(w, a, n, taken);
            is_found = !order.column[0] || want.offset + want.limit <= TABLE_LIMIT_MAX ||
                       merge_seek(w, a, n, taken, want.limit);
        }
        taken[place]++;
        if (k < skipped)
            continue;
        if (json_array_size(rows) == want.limit)
            break;
        merge_tag(row, place, a[place].name);
        json_array_append(rows, row);
    }
    /* Nobody had rows near the place: how many they have is known now, and a better guess. */
    if (is_window && json_array_size(rows) == 0 && matched > want.offset) {
        w->is_seeking = false;
        is_found = ++w->rounds > MERGE_ROUNDS_MAX;
    }
    json_t *all = json_pack("{s:o, s:I, s:I, s:b}", "rows", rows, "matched", (json_int_t)matched,
                            "seen", (json_int_t)seen, "more", is_more);
    if (all && !is_found)
        json_object_set_new(all, "again", json_true());
    return all;
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

static json_t *merge_totals(const struct command *c, const struct merge_answer *a, size_t n)
{
    json_t *all = json_object();
    for (size_t i = 0; i < n; i++)
        if (a[i].result)
            merge_add(c, all, a[i].result);
    return all;
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
    const struct merge_order order = merge_order(c, params);
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

/* How far a daemon's clock is ahead: the last samples of both were taken just now. Less than two
 * steps say nothing. */
static json_int_t merge_ahead(const json_t *rows, const json_t *others, json_int_t step_ms)
{
    size_t n = json_array_size(rows), n_others = json_array_size(others);
    if (n == 0 || n_others == 0)
        return 0;
    json_int_t ahead = merge_time(others, n_others - 1) - merge_time(rows, n - 1);
    return llabs(ahead) > 2 * step_ms ? ahead : 0;
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
    for (size_t i = 0; i < n; i++)
        ahead[i] = merge_ahead(times, json_object_get(a[i].result, "rows"), step_ms);
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

static json_t *merge_first(const struct merge_answer *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].result) {
            merge_tag(a[i].result, i, a[i].name);
            return json_incref(a[i].result);
        }
    return NULL;
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
    switch (merge_kind(c)) {
    case MERGE_ROWS:
        return merge_rows(c, params, w, a, n);
    case MERGE_GROUPS:
        return merge_groups(c, params, a, n);
    case MERGE_SAMPLES:
        return merge_samples(c, params, a, n);
    case MERGE_TOTALS:
        return merge_totals(c, a, n);
    case MERGE_STATUS:
        return merge_status(a, n);
    case MERGE_CHANGE:
        return merge_change(a, n);
    case MERGE_STREAM:
    case MERGE_FIRST:
        break;
    }
    return merge_first(a, n);
}
