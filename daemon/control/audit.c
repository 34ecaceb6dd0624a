/* SPDX-License-Identifier: ISC */
/* audit list. */
#include "base/clock.h"
#include "rpc/handlers.h"
#include "runtime/state.h"

#define AUDIT_ROWS 100
#define AUDIT_ROWS_MAX 1000
#define AUDIT_LOOKED_MAX 20000    /* of one answer, while the filter finds none */
#define AUDIT_COUNTED_MAX 1000000 /* where all that match are counted */

struct audit_list {
    struct work work;
    struct filter *filter; /* NULL = all */
    bool is_counted;       /* a part of the list: rows before and behind it are counted */
    uint64_t before, offset, limit, last, n_looked, n_matched;
    uint64_t since_ms, until_ms; /* wall clock; 0 = any */
    json_t *rows;
};

static bool audit_list_is_full(const struct audit_list *l)
{
    return !l->is_counted &&
           (json_array_size(l->rows) == l->limit || l->n_looked == AUDIT_LOOKED_MAX);
}

static json_t *audit_row(const struct store_audit *a)
{
    json_t *row = json_object();
    request_put_number(row, "time", a->at_ms);
    request_set_text(row, "user", a->user);
    request_put_number(row, "uid", a->uid);
    request_put_number(row, "pid", a->pid);
    request_set_text(row, "command", a->command);
    request_set_text(row, "args", a->args);
    request_set_text(row, "reason", a->reason);
    request_set_text(row, "result", a->result);
    request_put_number(row, "count", a->count);
    return row;
}

static bool audit_list_is_in_part(const struct audit_list *l)
{
    return l->n_matched >= l->offset && json_array_size(l->rows) < l->limit;
}

static bool audit_list_one(void *arg, const struct store_audit *a)
{
    struct audit_list *l = arg;
    if (a->at_ms < l->since_ms)
        return false;
    if (l->until_ms && a->at_ms > l->until_ms) {
        l->last = a->id;
        l->n_looked++;
        return !audit_list_is_full(l);
    }
    json_t *row = l->filter || audit_list_is_in_part(l) ? audit_row(a) : NULL;
    bool is_match = !l->filter || (row && filter_match(l->filter, command_row_get, row));
    if (!l->is_counted || audit_list_is_in_part(l))
        l->last = a->id;
    l->n_looked++;
    if (is_match && row && audit_list_is_in_part(l))
        (void)json_array_append(l->rows, row);
    l->n_matched += is_match;
    json_decref(row);
    return !audit_list_is_full(l);
}

static int audit_list_run(struct work *w)
{
    struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    return store_audit_each(work_control(w)->host->store, l->before,
                            l->is_counted ? AUDIT_COUNTED_MAX : AUDIT_LOOKED_MAX, audit_list_one,
                            l);
}

static void audit_list_done(struct work *w)
{
    char cursor[32];
    struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    if (work_fail(w))
        return;
    bool has_more = audit_list_is_full(l) && l->last > 1;
    (void)snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)l->last);
    if (l->is_counted) {
        has_more = l->n_matched > l->offset + json_array_size(l->rows);
        json_t *answer =
            json_pack("{s:o, s:b, s:I, s:I}", "rows", STEAL(l->rows), "more", has_more, "seen",
                      (json_int_t)l->n_looked, "matched", (json_int_t)l->n_matched);
        if (has_more)
            request_set_text(answer, "cursor", cursor);
        request_answer(w->request, answer);
        return;
    }
    request_rows(w->request, STEAL(l->rows), has_more ? cursor : NULL);
}

static void audit_list_fini(struct work *w)
{
    const struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    filter_unref(l->filter);
    json_decref(l->rows);
}

void command_audit_list(struct request *r)
{
    uint64_t before = 0;
    struct filter *filter = NULL;
    size_t n;
    const struct filter_field *fields = command_filter_fields(r->command, &n);
    const char *cursor = request_text(r, "cursor");
    if (cursor && (str_to_u64(str_of(cursor), INT64_MAX, &before) < 0 || before == 0)) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "this cursor is of no list");
        return;
    }
    if (request_filter(r, "filter", fields, n, &filter) < 0)
        return;
    struct audit_list *l =
        work_new(r->rpc, r, sizeof(*l), audit_list_run, audit_list_done, audit_list_fini);
    if (!l) {
        filter_unref(filter);
        return;
    }
    uint64_t now = clock_wall_ms(), since = request_number(r, "since", now);
    l->since_ms = since < now ? now - since : 0;
    l->until_ms = request_has(r, "until") ? now - request_number(r, "until", 0) : 0;
    l->filter = filter;
    l->before = before;
    l->is_counted = request_has(r, "offset") && !cursor;
    l->offset = l->is_counted ? request_number(r, "offset", 0) : 0;
    l->limit = request_number(r, "limit", AUDIT_ROWS);
    if (l->limit == 0 || l->limit > AUDIT_ROWS_MAX)
        l->limit = AUDIT_ROWS_MAX;
    l->rows = json_array();
    work_post(&l->work, NULL);
}
