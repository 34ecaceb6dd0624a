/* SPDX-License-Identifier: ISC */
/* Slices of long lists. */
#include "rpc/rows.h"

#include "base/container/array.h"
#include "base/container/heap.h"
#include "rpc/json_text.h"
#include "rpc/page.h"
#include "rpc/rpc.h"
#include "rpc/table_json.h"

#define ROWS_PIECE 16  /* rows of JSON made in one step */
#define ROWS_SORTED 64 /* taken from the heap in one step */
#define ROWS_MAX 10000 /* of one answer */
#define ROWS_BYTES 300 /* most rows are shorter */
#define ROWS_DEFAULT 1000
#define ROWS_OFFSET_MAX 10000000
#define ROWS_FORGOTTEN 256 /* keys freed in one step */

/* A row as text: trees of thousands of rows would be slow to make and to free. */
struct rows_kept {
    struct table_key key; /* its value is a reference, its row is gone */
    char *text;
};

struct rows_job {
    struct list link;
    struct loop_slice slice;
    struct request *request;
    struct page page;
    const char *sort; /* of the request; NULL = in the order of the lists */
    struct rows_source sources[ROWS_SOURCES_MAX];
    size_t n, at; /* sources; the one under way */
    struct safe_iter walk;
    struct rows_kept *kept; /* with sort a heap of the first ones, the last of them on top */
    size_t n_kept, cap;
    /* With sort and an offset the keys are found first, without texts; a second walk takes the rows
     * between the keys of the page's first and last one. */
    bool is_second;
    struct rows_kept first, last;
    size_t n_sorted, n_written;
    struct buf text; /* the answer */
    _Alignas(max_align_t) char copy[ROWS_COPY_BYTES];
};

static void rows_lock(const struct rows_job *j)
{
    if (j->sources[j->at].lock)
        pthread_mutex_lock(j->sources[j->at].lock);
}

static void rows_unlock(const struct rows_job *j)
{
    if (j->sources[j->at].lock)
        pthread_mutex_unlock(j->sources[j->at].lock);
}

static void rows_end(struct rows_job *j)
{
    rows_lock(j);
    safe_iter_end(&j->walk);
    rows_unlock(j);
}

static void rows_kept_fini(struct rows_kept *k)
{
    json_decref((json_t *)k->key.value);
    free(k->text);
}

static void rows_free(struct rows_job *j)
{
    rows_end(j);
    list_del(&j->link);
    loop_unslice(&j->slice);
    page_fini(&j->page);
    for (size_t i = j->n_written; i < j->n_kept; i++)
        rows_kept_fini(&j->kept[i]);
    rows_kept_fini(&j->first);
    rows_kept_fini(&j->last);
    free(j->kept);
    buf_fini(&j->text);
    free(j);
}

static void rows_fail(struct rows_job *j)
{
    request_fail(j->request, -ERR_NOMEM, NULL, NULL);
    rows_free(j);
}

/* ---- second: in order ---- */

/* The last of the list is on top: it makes room, and goes to the end first. */
static bool rows_is_later(const void *x, const void *y, const void *arg)
{
    const struct rows_kept *a = x, *b = y;
    (void)arg;
    return table_key_order(&a->key, &b->key) > 0;
}

static struct heap rows_heap(const struct rows_job *j, size_t n)
{
    return (struct heap){.v = j->kept, .n = n, .size = sizeof(*j->kept), .is_above = rows_is_later};
}

static void on_rows_write(struct loop_slice *s);
static void on_rows_slice(struct loop_slice *s);
static void rows_begin(struct rows_job *j);

/* Only the keys are known so far. */
static bool rows_is_of_keys(const struct rows_job *j)
{
    return j->sort && j->page.offset > 0 && !j->is_second;
}

/* Forgets the keys but those of the page's ends, and begins the second walk. */
static void on_rows_narrow(struct loop_slice *s)
{
    struct rows_job *j = CONTAINER_OF(s, struct rows_job, slice);
    for (int i = 0; i < ROWS_FORGOTTEN && j->n_kept > 0; i++) {
        struct rows_kept k = j->kept[--j->n_kept];
        bool is_last = !j->last.key.position, is_first = j->n_kept == j->page.offset;
        if (is_last)
            j->last = k;
        if (is_first)
            j->first = k;
        if (is_last && is_first)
            json_incref((json_t *)k.key.value);
        if (!is_last && !is_first)
            rows_kept_fini(&k);
    }
    if (j->n_kept > 0)
        return;
    j->is_second = true;
    if (!j->first.key.position) { /* the list ends before the page */
        s->step = on_rows_write;
        return;
    }
    rows_end(j);
    j->page.seen = j->page.matched = j->at = 0;
    s->step = on_rows_slice;
    rows_begin(j);
}

static void on_rows_sort(struct loop_slice *s)
{
    struct rows_job *j = CONTAINER_OF(s, struct rows_job, slice);
    for (int i = 0; i < ROWS_SORTED && j->n_sorted > 1; i++) {
        const struct heap h = rows_heap(j, --j->n_sorted);
        heap_swap(&h, 0, j->n_sorted);
        heap_sift_down(&h, 0);
    }
    if (j->n_sorted <= 1)
        s->step = rows_is_of_keys(j) ? on_rows_narrow : on_rows_write;
}

/* ---- third: written ---- */

static void on_rows_write(struct loop_slice *s)
{
    struct rows_job *j = CONTAINER_OF(s, struct rows_job, slice);
    int err = 0;
    if (j->text.len == 0) /* room for all at once: growing a large buffer takes long */
        err = buf_reserve(&j->text, j->n_kept * ROWS_BYTES);
    if (err == 0 && j->text.len == 0)
        err = page_begin(&j->text);
    for (int i = 0; i < ROWS_PIECE && j->n_written < j->n_kept && err == 0; i++) {
        struct rows_kept *k = &j->kept[j->n_written];
        if (j->n_written > 0)
            err = buf_append_char(&j->text, ',');
        if (err == 0)
            err = buf_append_c(&j->text, k->text);
        rows_kept_fini(k);
        j->n_written++;
    }
    if (err == 0 && j->n_written < j->n_kept)
        return;
    if (err == 0)
        err = page_end(&j->page, &j->text, NULL);
    if (err < 0) {
        rows_fail(j);
        return;
    }
    request_answer_text(j->request, buf_str(&j->text));
    rows_free(j);
}

/* ---- first: found ---- */

static int rows_kept_init(struct rows_kept *k, const struct table_key *key, const json_t *row)
{
    AUTO_BUF text = BUF_INIT;
    int err = row ? json_text_value(&text, row) : 0;
    char *copy = row && err == 0 ? str_dup(buf_str(&text)) : NULL;
    if (row && !copy)
        return -ERR_NOMEM;
    *k = (struct rows_kept){.key = *key, .text = copy};
    k->key.row = NULL;
    json_incref((json_t *)k->key.value);
    return 0;
}

static int rows_keep(struct rows_job *j, json_t *row)
{
    struct table_key key = {.row = row};
    struct rows_kept kept;
    size_t most = rows_is_of_keys(j) ? j->page.offset + j->page.limit : j->page.limit;
    bool is_full = j->n_kept == most;
    bool is_before_page = !j->sort && j->page.matched <= j->page.offset;
    if (is_before_page || (is_full && !j->sort))
        return 0;
    if (j->sort) {
        key = table_key_of(row, j->sort, j->page.matched);
        bool is_outside = j->is_second && (table_key_order(&key, &j->first.key) < 0 ||
                                           table_key_order(&key, &j->last.key) > 0);
        if (is_outside || (is_full && table_key_order(&key, &j->kept[0].key) >= 0))
            return 0;
    }
    if ((!is_full && !ARRAY_ROOM(j->kept, j->n_kept, j->cap)) ||
        rows_kept_init(&kept, &key, rows_is_of_keys(j) ? NULL : row) < 0)
        return -ERR_NOMEM;
    if (is_full) {
        rows_kept_fini(&j->kept[0]);
        j->kept[0] = kept;
        const struct heap full = rows_heap(j, j->n_kept);
        heap_sift_down(&full, 0);
        return 0;
    }
    j->kept[j->n_kept++] = kept;
    const struct heap h = rows_heap(j, j->n_kept);
    if (j->sort)
        heap_sift_up(&h, j->n_kept - 1);
    return 0;
}

static void rows_begin(struct rows_job *j)
{
    const struct rows_source *s = &j->sources[j->at];
    rows_lock(j);
    safe_iter_begin(&j->walk, s->walks, s->head);
    rows_unlock(j);
}

static void on_rows_slice(struct loop_slice *s)
{
    struct rows_job *j = CONTAINER_OF(s, struct rows_job, slice);
    for (int i = 0; i < ROWS_PIECE; i++) {
        /* The next node; with a lock what it was copied to is in j->copy. */
        rows_lock(j);
        struct list *node = safe_iter_next(&j->walk);
        if (node && j->sources[j->at].copy)
            j->sources[j->at].copy(node, j->copy);
        rows_unlock(j);
        if (!node && j->at + 1 == j->n) {
            j->n_sorted = j->sort ? j->n_kept : 0;
            s->step = on_rows_sort;
            return;
        }
        if (!node) {
            rows_end(j);
            j->at++;
            rows_begin(j);
            continue;
        }
        const struct rows_source *source = &j->sources[j->at];
        json_t *row =
            source->copy ? source->copied(source->arg, j->copy) : source->row(source->arg, node);
        int err = row && page_match(&j->page, row) ? rows_keep(j, row) : 0;
        json_decref(row);
        if (err < 0) {
            rows_fail(j);
            return;
        }
    }
}

void rows_answer(struct request *r, struct list *jobs, const struct rows_source *sources, size_t n)
{
    struct page page;
    if (page_init(&page, r, ROWS_DEFAULT, ROWS_MAX) < 0)
        return;
    struct rows_job *j = calloc(1, sizeof(*j));
    if (!j) {
        page_fini(&page);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    j->request = r;
    j->page = page;
    if (j->page.offset > ROWS_OFFSET_MAX)
        j->page.offset = ROWS_OFFSET_MAX;
    j->sort = request_text(r, "sort");
    j->n = n;
    memcpy(j->sources, sources, n * sizeof(*sources));
    list_add_tail(jobs, &j->link);
    list_init(&j->slice.link);
    j->slice.step = on_rows_slice;
    rows_begin(j);
    loop_slice(r->rpc->loop, &j->slice);
}

void rows_drop(struct list *jobs)
{
    LIST_FOREACH_SAFE (it, jobs) {
        struct rows_job *j = LIST_ITEM(it, struct rows_job, link);
        request_abandon(j->request);
        rows_free(j);
    }
}
