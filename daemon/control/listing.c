/* SPDX-License-Identifier: ISC */
/* Lists of sessions: unsorted ones are fetched chunk by chunk, one worker after another; sorted
 * ones are merged from the best rows of each worker. */
#include "control/listing.h"

#include "control/control_priv.h"
#include "control/handlers.h"

#define LISTING_IDLE_MS 60000
#define LISTING_WAIT_MS 30000
#define LISTING_PAGE_MAX 1000
#define LISTING_MAX 32 /* open lists of one client */

struct listing {
    struct ask ask;
    const struct client *client;
    struct request *waiting; /* for the next page; one reference is its own until answered */
    struct filter *filter;
    struct loop_timer timer;
    size_t page; /* rows of this answer */
    /* unsorted */
    size_t worker; /* being asked */
    bool is_asked; /* its walk has begun */
    struct session_chunk *chunk;
    size_t at; /* next row of chunk */
    uint64_t seen, matched, seen_before, matched_before;
    /* sorted */
    bool is_sorted, is_descending, is_from_end;
    enum session_field sort;
    size_t offset, limit;
    struct session_chunk **chunks;
    size_t n_chunks;
    const struct session_row **rows; /* of all chunks, in order */
    size_t n_rows;
};

static void listing_free(struct listing *l)
{
    loop_timer_cancel(l->ask.control->host->loop, &l->timer);
    ask_end(&l->ask);
    filter_unref(l->filter);
    session_chunk_free(l->chunk);
    for (size_t i = 0; i < l->n_chunks; i++)
        session_chunk_free(l->chunks[i]);
    free(l->chunks);
    free(l->rows);
    free(l);
}

static void listing_cancel(struct listing *l)
{
    const struct control_host *h = l->ask.control->host;
    if (l->is_asked && l->worker < h->n_workers)
        (void)!session_query_next(h->workers[l->worker].mailbox, l->ask.number, true);
    listing_free(l);
}

static void listing_fail(struct listing *l, int err)
{
    struct request *r = STEAL(l->waiting);
    listing_cancel(l);
    if (r)
        request_fail(r, err, NULL, NULL);
}

static void on_listing_timer(struct loop_timer *t)
{
    listing_fail(CONTAINER_OF(t, struct listing, timer), -ERR_TIMEOUT);
}

static void on_listing_end(struct ask *a)
{
    listing_fail(CONTAINER_OF(a, struct listing, ask), -ERR_SHUTDOWN);
}

/* Answers with a page; frees the listing when nothing is left. */
static void listing_answer(struct listing *l, json_t *rows, bool has_more)
{
    char cursor[32];
    struct request *r = STEAL(l->waiting);
    (void)snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)l->ask.number);
    json_t *result = json_pack("{s:o, s:b, s:I, s:I}", "rows", rows, "more", (int)has_more, "seen",
                               (json_int_t)l->seen, "matched", (json_int_t)l->matched);
    if (result && has_more)
        request_set_text(result, "cursor", cursor);
    if (has_more)
        loop_timer_set(l->ask.control->host->loop, &l->timer, LISTING_IDLE_MS);
    else
        listing_free(l);
    request_answer(r, result);
}

static struct listing *listing_find(struct control *c, uint64_t number)
{
    struct ask *a = ask_find(c, number);
    return a && a->on_end == on_listing_end ? CONTAINER_OF(a, struct listing, ask) : NULL;
}

void listing_forget(struct ask *a, const struct client *client)
{
    struct listing *l = CONTAINER_OF(a, struct listing, ask);
    if (a->on_end == on_listing_end && l->client == client)
        listing_fail(l, -ERR_CLOSED);
}

/* ---- unsorted ---- */

/* Moves rows of the chunk to the page. */
static void listing_take(struct listing *l, json_t *rows)
{
    struct session_chunk *c = l->chunk;
    if (!c)
        return;
    l->seen = l->seen_before + c->seen;
    l->matched = l->matched_before + c->matched;
    while (l->at < c->n && json_array_size(rows) < l->page)
        (void)json_array_append_new(rows, session_row_json(&c->rows[l->at++]));
    if (l->at < c->n)
        return;
    if (c->is_last) {
        l->seen_before = l->seen;
        l->matched_before = l->matched;
        l->worker++;
        l->is_asked = false;
    }
    session_chunk_free(STEAL(l->chunk));
}

static int listing_fetch(struct listing *l)
{
    const struct control_host *h = l->ask.control->host;
    struct mailbox *worker = h->workers[l->worker].mailbox;
    if (l->is_asked)
        return session_query_next(worker, l->ask.number, false);
    const struct session_query_spec q = {.number = l->ask.number,
                                         .reply = loop_mailbox(h->loop),
                                         .deliver = ask_deliver_chunk,
                                         .filter = l->filter};
    l->is_asked = true;
    return session_query_post(worker, &q);
}

/* Answers when there are rows or nothing is left, else asks for more. */
static void listing_step(struct listing *l)
{
    json_t *rows = json_array();
    listing_take(l, rows);
    bool is_over = !l->chunk && l->worker >= l->ask.control->host->n_workers;
    if (is_over || json_array_size(rows) > 0) {
        listing_answer(l, rows, !is_over);
        return;
    }
    json_decref(rows);
    loop_timer_set(l->ask.control->host->loop, &l->timer, LISTING_WAIT_MS);
    int err = listing_fetch(l);
    if (err < 0)
        listing_fail(l, err);
}

static void on_listing_chunk(struct ask *a, struct session_chunk *chunk)
{
    struct listing *l = CONTAINER_OF(a, struct listing, ask);
    session_chunk_free(l->chunk);
    l->chunk = chunk;
    l->at = 0;
    if (l->waiting)
        listing_step(l);
}

/* ---- sorted ---- */

static void listing_step_sorted(struct listing *l)
{
    json_t *rows = json_array();
    while (l->at < l->n_rows && json_array_size(rows) < l->page)
        (void)json_array_append_new(rows, session_row_json(l->rows[l->at++]));
    listing_answer(l, rows, l->at < l->n_rows);
}

static int listing_compare(const void *x, const void *y, void *arg)
{
    const struct listing *l = arg;
    return session_row_order(*(const struct session_row *const *)x,
                             *(const struct session_row *const *)y, l->sort, l->is_descending,
                             l->is_from_end);
}

/* The rows that were asked for; those from the end come in the order of the list again. */
static void listing_cut(struct listing *l)
{
    size_t most = l->offset + l->limit;
    l->n_rows = l->n_rows < most ? l->n_rows : most;
    l->at = l->offset < l->n_rows ? l->offset : l->n_rows;
    for (size_t i = l->at, k = l->n_rows; l->is_from_end && i + 1 < k; i++) {
        const struct session_row *row = l->rows[--k];
        l->rows[k] = l->rows[i];
        l->rows[i] = row;
    }
}

static int listing_merge(struct listing *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_chunks; i++)
        n += l->chunks[i]->n;
    l->rows = calloc(n + 1, sizeof(*l->rows));
    if (!l->rows)
        return -ERR_NOMEM;
    for (size_t i = 0; i < l->n_chunks; i++)
        for (size_t k = 0; k < l->chunks[i]->n; k++)
            l->rows[l->n_rows++] = &l->chunks[i]->rows[k];
    qsort_r(l->rows, l->n_rows, sizeof(*l->rows), listing_compare, l);
    listing_cut(l);
    return 0;
}

/* Collects for a listing that may be gone by then: it is found by its number. */
struct sorted {
    struct control *control;
    uint64_t number;
};

static struct listing *sorted_listing(const struct sorted *s)
{
    return listing_find(s->control, s->number);
}

static bool sorted_chunk(void *arg, struct session_chunk *chunk)
{
    struct listing *l = sorted_listing(arg);
    struct session_chunk **more = l ? realloc(l->chunks, (l->n_chunks + 1) * sizeof(*more)) : NULL;
    if (!more) {
        session_chunk_free(chunk);
        return false;
    }
    l->chunks = more;
    l->chunks[l->n_chunks++] = chunk;
    return true;
}

static void sorted_done(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct sorted *s = arg;
    struct listing *l = sorted_listing(s);
    free(s);
    if (!l)
        return;
    l->seen = seen;
    l->matched = matched;
    if (err == 0)
        err = listing_merge(l);
    if (err < 0)
        listing_fail(l, err);
    else
        listing_step_sorted(l);
}

static int listing_collect(struct listing *l)
{
    struct sorted *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    *s = (struct sorted){l->ask.control, l->ask.number};
    const struct collect_spec spec = {.filter = l->filter,
                                      .is_sorted = true,
                                      .is_descending = l->is_descending,
                                      .is_from_end = l->is_from_end,
                                      .sort = l->sort,
                                      .limit = l->offset + l->limit,
                                      .chunk = sorted_chunk,
                                      .done = sorted_done,
                                      .arg = s};
    int err = collect_start(l->ask.control, &spec);
    if (err < 0)
        free(s);
    return err;
}

/* ---- commands ---- */

static size_t listing_page(const struct request *r)
{
    uint64_t limit = request_number(r, "limit", 0);
    return limit == 0 || limit > LISTING_PAGE_MAX ? LISTING_PAGE_MAX : (size_t)limit;
}

static void listing_go_on(struct request *r, const char *cursor)
{
    uint64_t number;
    struct listing *l = NULL;
    if (str_to_u64(str_of(cursor), UINT64_MAX, &number) == 0)
        l = listing_find(r->control, number);
    if (!l || l->client != r->client || l->waiting) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "this cursor is of no open list (any more)");
        return;
    }
    l->waiting = r;
    l->page = listing_page(r);
    if (l->is_sorted)
        listing_step_sorted(l);
    else
        listing_step(l);
}

static void listing_sort_by(struct listing *l, const struct request *r)
{
    const char *sort = request_text(r, "sort");
    uint64_t limit = request_number(r, "limit", 0), room;
    if (!sort)
        return;
    l->is_descending = sort[0] == '-';
    l->is_from_end = request_bool(r, "from_end");
    l->is_sorted = session_field_find(str_of(sort + l->is_descending), &l->sort) == 0;
    l->offset = (size_t)request_number(r, "offset", 0);
    room = SESSION_SORT_MAX - l->offset;
    l->limit = limit == 0 || limit > room ? (size_t)room : (size_t)limit;
}

/* Rows are only passed over in a list whose order is known. */
static bool listing_check_offset(struct request *r)
{
    uint64_t offset = request_number(r, "offset", 0);
    if ((offset > 0 || request_bool(r, "from_end")) && !request_text(r, "sort"))
        request_fail(r, -ERR_BAD_PARAM, "sort", "offset and from_end need an order");
    else if (offset >= SESSION_SORT_MAX)
        request_fail(
            r, -ERR_BAD_PARAM, NULL,
            "a sorted list shows its first and its last %d rows; a filter makes it shorter",
            SESSION_SORT_MAX);
    else
        return true;
    return false;
}

static struct listing *listing_new(struct request *r, struct filter *filter)
{
    struct listing *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->ask = (struct ask){.on_chunk = on_listing_chunk, .on_end = on_listing_end};
    loop_timer_init(&l->timer, on_listing_timer);
    if (ask_begin(r->control, &l->ask) < 0) {
        free(l);
        return NULL;
    }
    l->client = r->client;
    l->waiting = r;
    l->filter = filter;
    l->page = listing_page(r);
    listing_sort_by(l, r);
    return l;
}

/* A client that opens lists and never reads them to their end loses the oldest. */
static void listing_make_room(struct control *c, const struct client *client)
{
    struct listing *oldest = NULL;
    size_t n = 0;
    for (struct ask *a = ask_first(c); a; a = ask_after(c, a)) {
        struct listing *l = CONTAINER_OF(a, struct listing, ask);
        if (a->on_end != on_listing_end || l->client != client || l->waiting)
            continue;
        oldest = oldest ? oldest : l;
        n++;
    }
    if (n >= LISTING_MAX)
        listing_cancel(oldest);
}

void command_session_list(struct request *r)
{
    struct filter *filter = NULL;
    const char *cursor = request_text(r, "cursor");
    if (cursor) {
        listing_go_on(r, cursor);
        return;
    }
    if (!listing_check_offset(r) ||
        request_filter(r, "filter", session_filter_fields, SESSION_FIELD_COUNT, &filter) < 0)
        return;
    listing_make_room(r->control, r->client);
    struct listing *l = listing_new(r, filter);
    if (!l) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    if (!l->is_sorted) {
        listing_step(l);
        return;
    }
    int err = listing_collect(l);
    if (err < 0)
        listing_fail(l, err);
}

static bool show_chunk(void *arg, struct session_chunk *chunk)
{
    struct request *r = arg;
    if (chunk->n > 0 && !r->is_answered) {
        request_ref(r);
        request_answer(r, session_row_json(&chunk->rows[0]));
    }
    session_chunk_free(chunk);
    return true;
}

static void show_done(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct request *r = arg;
    (void)seen;
    (void)matched;
    if (r->is_answered)
        request_unref(r);
    else if (err < 0)
        request_fail(r, err, NULL, NULL);
    else
        request_fail(r, -ERR_NO_SESSION, NULL, "there is no session %s", request_text(r, "id"));
}

void command_session_show(struct request *r)
{
    struct collect_spec spec = {.chunk = show_chunk, .done = show_done, .arg = r};
    int err = session_id_parse(str_of(request_text(r, "id")), &spec.id);
    if (err == 0)
        err = collect_start(r->control, &spec);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
}
