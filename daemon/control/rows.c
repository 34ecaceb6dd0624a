/* SPDX-License-Identifier: ISC */
/* Slices of long lists. */
#include "control/rows.h"

#include "control/control_priv.h"
#include "control/table_json.h"

#define ROWS_PIECE 16  /* rows of JSON made in one step */
#define ROWS_MAX 10000 /* of one answer */
#define ROWS_DEFAULT 1000

struct rows_job {
    struct list link;
    struct loop_slice slice;
    struct control *control;
    struct request *request;
    struct filter *filter; /* NULL = all */
    const char *sort;      /* of the request; NULL = in the order of the lists */
    struct rows_source sources[ROWS_SOURCES_MAX];
    size_t n, at; /* sources; the one under way */
    struct walk walk;
    json_t *rows;
    size_t page, seen, matched;
};

static void rows_free(struct rows_job *j)
{
    walk_end(&j->walk);
    list_del(&j->link);
    loop_unslice(&j->slice);
    filter_unref(j->filter);
    json_decref(j->rows);
    free(j);
}

static void rows_finish(struct rows_job *j)
{
    struct request *r = j->request;
    int err = j->sort ? table_sort(j->rows, j->sort) : 0;
    table_cut(j->rows, j->page);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
    else
        request_answer(r, json_pack("{s:O, s:b, s:I, s:I}", "rows", j->rows, "more", 0, "seen",
                                    (json_int_t)j->seen, "matched", (json_int_t)j->matched));
    rows_free(j);
}

/* Keeps memory bounded while everything is sorted. */
static int rows_prune(struct rows_job *j)
{
    if (json_array_size(j->rows) < 2 * j->page + 100)
        return 0;
    int err = table_sort(j->rows, j->sort);
    table_cut(j->rows, j->page);
    return err;
}

static int rows_take(struct rows_job *j, const struct list *node)
{
    json_t *row = j->sources[j->at].row(j->control, node);
    int err = 0;
    if (!row)
        return 0;
    j->seen++;
    if (!j->filter || filter_match(j->filter, command_row_get, row)) {
        j->matched++;
        bool is_kept = j->sort || json_array_size(j->rows) < j->page;
        if (is_kept && json_array_append(j->rows, row) < 0)
            err = -ERR_NOMEM;
        if (err == 0 && j->sort)
            err = rows_prune(j);
    }
    json_decref(row);
    return err;
}

static void rows_begin(struct rows_job *j)
{
    const struct rows_source *s = &j->sources[j->at];
    walk_begin(&j->walk, s->walks, s->head);
}

static void on_rows_slice(struct loop_slice *s)
{
    struct rows_job *j = CONTAINER_OF(s, struct rows_job, slice);
    for (int i = 0; i < ROWS_PIECE; i++) {
        struct list *node = walk_next(&j->walk);
        if (!node && j->at + 1 == j->n) {
            rows_finish(j);
            return;
        }
        if (!node) {
            walk_end(&j->walk);
            j->at++;
            rows_begin(j);
        } else if (rows_take(j, node) < 0) {
            request_fail(j->request, -ERR_NOMEM, NULL, NULL);
            rows_free(j);
            return;
        }
    }
}

void rows_answer(struct request *r, struct list *jobs, const struct rows_source *sources, size_t n)
{
    size_t n_fields;
    const struct filter_field *fields = command_filter_fields(r->command, &n_fields);
    struct filter *filter = NULL;
    uint64_t page = request_number(r, "limit", ROWS_DEFAULT);
    if (request_filter(r, "filter", fields, n_fields, &filter) < 0)
        return;
    struct rows_job *j = calloc(1, sizeof(*j));
    json_t *rows = json_array();
    if (!j || !rows) {
        free(j);
        json_decref(rows);
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    j->control = r->control;
    j->request = r;
    j->filter = filter;
    j->sort = request_text(r, "sort");
    j->rows = rows;
    j->page = page == 0 || page > ROWS_MAX ? ROWS_MAX : (size_t)page;
    j->n = n;
    memcpy(j->sources, sources, n * sizeof(*sources));
    list_add_tail(jobs, &j->link);
    list_init(&j->slice.link);
    j->slice.step = on_rows_slice;
    rows_begin(j);
    loop_slice(r->control->host->loop, &j->slice);
}

void rows_drop(struct list *jobs)
{
    LIST_FOREACH_SAFE (it, jobs) {
        struct rows_job *j = LIST_ITEM(it, struct rows_job, link);
        request_abandon(j->request);
        rows_free(j);
    }
}
