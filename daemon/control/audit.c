/* SPDX-License-Identifier: ISC */
/* audit list. */
#include "base/clock.h"
#include "rpc/handlers.h"
#include "rpc/page.h"
#include "runtime/state.h"

#define AUDIT_ROWS 100
#define AUDIT_ROWS_MAX 1000
#define AUDIT_LOOKED_MAX 20000    /* of one answer, while the filter finds none */
#define AUDIT_COUNTED_MAX 1000000 /* where all that match are counted */

struct audit_list {
    struct work work;
    struct page page;
    uint64_t before, last;       /* ids: older than this one; the last one looked at */
    uint64_t since_ms, until_ms; /* wall clock; 0 = any */
    json_t *rows;
};

static bool audit_list_is_full(const struct audit_list *l)
{
    const struct page *p = &l->page;
    return !p->is_counted && (p->n == p->limit || p->seen == AUDIT_LOOKED_MAX);
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

static bool audit_list_one(void *arg, const struct store_audit *a)
{
    struct audit_list *l = arg;
    struct page *p = &l->page;
    if (a->at_ms < l->since_ms)
        return false;
    if (l->until_ms && a->at_ms > l->until_ms) {
        l->last = a->id;
        p->seen++;
        return !audit_list_is_full(l);
    }
    bool is_wanted = page_wants(p);
    json_t *row = p->filter || is_wanted ? audit_row(a) : NULL;
    if (!p->is_counted || is_wanted)
        l->last = a->id;
    if (page_match(p, row) && is_wanted)
        p->n += json_array_append(l->rows, row) == 0;
    json_decref(row);
    return !audit_list_is_full(l);
}

static int audit_list_run(struct work *w)
{
    struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    return store_audit_each(work_control(w)->host->store, l->before,
                            l->page.is_counted ? AUDIT_COUNTED_MAX : AUDIT_LOOKED_MAX,
                            audit_list_one, l);
}

static void audit_list_done(struct work *w)
{
    char cursor[32];
    struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    const struct page *p = &l->page;
    if (work_fail(w))
        return;
    (void)snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)l->last);
    if (p->is_counted)
        page_answer(p, w->request, STEAL(l->rows), page_has_more(p) ? cursor : NULL);
    else
        request_rows(w->request, STEAL(l->rows),
                     audit_list_is_full(l) && l->last > 1 ? cursor : NULL);
}

static void audit_list_fini(struct work *w)
{
    struct audit_list *l = CONTAINER_OF(w, struct audit_list, work);
    page_fini(&l->page);
    json_decref(l->rows);
}

void command_audit_list(struct request *r)
{
    uint64_t before = 0;
    struct page page;
    const char *cursor = request_text(r, "cursor");
    if (cursor && (str_to_u64(str_of(cursor), INT64_MAX, &before) < 0 || before == 0)) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "this cursor is of no list");
        return;
    }
    if (page_init(&page, r, AUDIT_ROWS, AUDIT_ROWS_MAX) < 0)
        return;
    struct audit_list *l =
        work_new(r->rpc, r, sizeof(*l), audit_list_run, audit_list_done, audit_list_fini);
    if (!l) {
        page_fini(&page);
        return;
    }
    uint64_t now = clock_wall_ms(), since = request_number(r, "since", now);
    l->since_ms = since < now ? now - since : 0;
    l->until_ms = request_has(r, "until") ? now - request_number(r, "until", 0) : 0;
    l->page = page;
    l->before = before;
    l->rows = json_array();
    work_post(&l->work, NULL);
}
