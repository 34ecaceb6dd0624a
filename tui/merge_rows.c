/* SPDX-License-Identifier: ISC */
/* Rows of several daemons as one list: their order, and where in long lists one is. */
#include "tui/merge_rows.h"

#include <string.h>

#include "ctl/output.h"

#define MERGE_STEP (TABLE_LIMIT_MAX / 2) /* rows that a daemon is asked to move on at first */
#define MERGE_ROUNDS_MAX 64              /* answers after which any place is good enough */

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

struct merge_order merge_order(const struct command *c, const json_t *params,
                               const struct merge_answer *a, size_t n)
{
    const char *sort = json_string_value(json_object_get(params, "sort"));
    struct merge_order o = {.is_descending = sort && sort[0] == '-'};
    size_t n_columns;
    const struct command_column *columns = commands_columns(c, &n_columns);
    o.is_by_node = sort && strcmp(sort + o.is_descending, MERGE_NODE) == 0;
    if (sort && !o.is_by_node)
        (void)str_copy(o.column, sizeof(o.column), str_of(sort + o.is_descending));
    else if (!sort && n_columns > 0 && columns[0].unit == COMMANDS_TIME)
        /* Lists of what happened are given newest first. */
        o = (struct merge_order){.column = "time", .is_descending = true};
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (; k > 0 && o.is_by_node; k--) {
            int order = strcmp(a[o.turns[k - 1]].name, a[i].name);
            if (o.is_descending ? order >= 0 : order <= 0)
                break;
            o.turns[k] = o.turns[k - 1];
        }
        o.turns[k] = i;
    }
    return o;
}

int merge_compare(const void *a, const void *b, void *arg)
{
    const struct merge_order *o = arg;
    int order = output_compare(json_object_get(*(json_t *const *)a, o->column),
                               json_object_get(*(json_t *const *)b, o->column));
    return o->is_descending ? -order : order;
}

/* ---- parts of lists ---- */

struct row_table_part merge_want(const json_t *params)
{
    json_int_t limit = json_integer_value(json_object_get(params, "limit"));
    return (struct row_table_part){
        .offset = (size_t)json_integer_value(json_object_get(params, "offset")),
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

void merge_plan(const struct merge_window *w, const struct merge_order *o, size_t n,
                const struct row_table_part *want, struct merge_answer *a)
{
    size_t end = want->offset + want->limit, total = 0, before = want->offset;
    for (size_t i = 0; i < n; i++) {
        a[i].part = (struct row_table_part){0, merge_min(end, TABLE_LIMIT_MAX), want->is_from_end};
        total += w->counts[i];
    }
    if (!o->column[0]) {
        for (size_t k = 0; k < n; k++) {
            size_t i = o->turns[k], skipped = merge_min(before, w->counts[i]);
            a[i].part = (struct row_table_part){skipped, want->limit, false};
            before -= skipped;
        }
    } else if (end > TABLE_LIMIT_MAX) {
        size_t offset = !want->is_from_end ? want->offset : total > end ? total - end : 0;
        for (size_t i = 0; i < n; i++)
            a[i].part.is_from_end = false;
        merge_plan_around(w, n, offset, want->limit, a);
    }
}

/* ---- rows ---- */

size_t merge_count(const json_t *result, const char *member)
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
    for (size_t k = 0; k < n; k++) {
        size_t i = o->turns[k];
        json_t *row = json_array_get(json_object_get(a[i].result, "rows"), taken[i]);
        if (!row || (least && (!o->column[0] || merge_compare(&row, &least, (void *)o) >= 0)))
            continue;
        best = i;
        least = row;
    }
    return best;
}

/* How many of the rows that came lie before those that were asked for. */
static size_t merge_skipped(const struct merge_window *w, const struct row_table_part *want,
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
        const struct row_table_part *part = &a[i].part;
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
    for (size_t i = 0; i < n && !is_last; i++) {
        size_t rest = json_array_size(json_object_get(a[i].result, "rows")) - taken[i];
        if (a[i].result && rest < limit && w->at[i] + rest < w->counts[i])
            return false; /* its rows that came do not go on for a page behind the place */
    }
    w->rounds = 0;
    return true;
}

json_t *merge_rows(const struct command *c, const json_t *params, struct merge_window *w,
                   const struct merge_answer *a, size_t n)
{
    const struct merge_order order = merge_order(c, params, a, n);
    struct row_table_part want = merge_want(params);
    bool is_window = w && json_object_get(params, "limit"), is_more = false, is_found = true;
    size_t taken[MERGE_MAX] = {0}, matched = 0, known = 0, seen = 0, skipped = 0;
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        size_t count = merge_count(a[i].result, "matched");
        matched += count;
        known += w ? w->counts[i] : 0;
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
    /* Nobody had rows near the place, or where one daemon's rows end was a guess: how many they
     * have is known now, and a better guess. */
    bool was_guess = !order.column[0] && want.offset > 0 && known == 0;
    if (is_window && (json_array_size(rows) == 0 || was_guess) && matched > want.offset) {
        w->is_seeking = false;
        is_found = ++w->rounds > MERGE_ROUNDS_MAX;
    }
    json_t *all = json_pack("{s:o, s:I, s:I, s:b}", "rows", rows, "matched", (json_int_t)matched,
                            "seen", (json_int_t)seen, "more", is_more);
    if (all && !is_found)
        json_object_set_new(all, "again", json_true());
    return all;
}
