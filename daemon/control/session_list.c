/* SPDX-License-Identifier: ISC */
/* Lists of sessions, page by page. Unsorted ones are fetched chunk by chunk, one worker after
 * another. Of sorted ones the workers first tell the keys of a window, which are merged to ids;
 * then they are asked for the rows of a page. Pages are written in slices. */
#include "peers/ask.h"
#include "peers/peers.h"
#include "peers/session_json.h"
#include "peers/workers.h"

#include "rpc/client.h"
#include "rpc/handlers.h"
#include "rpc/page.h"
#include "runtime/state.h"

#define LISTING_IDLE_MS 60000
#define LISTING_WAIT_MS 30000
#define LISTING_PAGE_MAX 1000
#define LISTING_MAX 32       /* open lists of one client */
#define LISTING_ROWS 32      /* written in one step */
#define LISTING_MERGED 256   /* keys merged in one step */
#define LISTING_WINDOW 10000 /* ids that are kept of a sorted list */

struct listing {
    struct ask ask;
    struct client_link owner; /* who reads it */
    struct request *waiting;  /* for the next page; one reference is its own until answered */
    struct filter *filter;
    size_t page; /* rows of this answer */
    uint64_t seen, matched;
    struct loop_slice slice; /* makes the answer */
    struct buf rows;         /* of the answer */
    size_t n_rows;
    /* unsorted */
    size_t worker; /* being asked */
    bool is_asked; /* its walk has begun */
    struct session_chunk *chunk;
    size_t at; /* next row of chunk */
    uint64_t seen_before, matched_before;
    /* sorted */
    bool is_sorted;
    struct session_order order;
    size_t offset, left;           /* rows to pass over yet, rows that may come yet */
    struct session_chunk **chunks; /* of keys, or of the rows of a page */
    size_t *chunk_at;              /* next of each chunk */
    size_t n_chunks;
    uint64_t *ids; /* of the window, in order */
    size_t n_ids, n_done;
    size_t n_merged;         /* keys so far */
    size_t page_end;         /* the page being written ends here in ids */
    bool has_more;           /* after the window */
    struct session_key last; /* of the window; its text is owned */
};

static struct loop *listing_loop(const struct listing *l)
{
    return l->ask.control->host->loop;
}

static void listing_drop_chunks(struct listing *l)
{
    for (size_t i = 0; i < l->n_chunks; i++)
        session_chunk_free(l->chunks[i]);
    free(l->chunks);
    free(l->chunk_at);
    l->chunks = NULL;
    l->chunk_at = NULL;
    l->n_chunks = 0;
}

static void listing_free(struct listing *l)
{
    loop_unslice(&l->slice);
    ask_end(&l->ask);
    client_detach(&l->owner);
    filter_unref(l->filter);
    session_chunk_free(l->chunk);
    listing_drop_chunks(l);
    buf_fini(&l->rows);
    free((char *)l->last.v.text.p);
    free(l->ids);
    free(l);
}

static void listing_cancel(struct listing *l)
{
    if (l->is_asked)
        (void)!worker_query_next(l->ask.control, l->worker, l->ask.number, true);
    listing_free(l);
}

static void listing_fail(struct listing *l, int err)
{
    struct request *r = STEAL(l->waiting);
    listing_cancel(l);
    if (r)
        request_fail(r, err, NULL, NULL);
}

static void on_listing_over(struct ask *a, int err)
{
    listing_fail(CONTAINER_OF(a, struct listing, ask), err);
}

static struct listing *listing_find(struct control *c, uint64_t number)
{
    struct ask *a = ask_find(c, number);
    return a && a->on_over == on_listing_over ? CONTAINER_OF(a, struct listing, ask) : NULL;
}

static void on_listing_owner_gone(struct client_link *owner)
{
    listing_fail(CONTAINER_OF(owner, struct listing, owner), -ERR_CLOSED);
}

/* ---- the answer ---- */

/* Of a single engine there is nothing to be told. */
static uint64_t row_skip(const struct control *c)
{
    return peers_is_any(c) ? 0 : SESSION_FIELD_BIT(SESSION_FIELD_ENGINE);
}

static int listing_write(struct listing *l, const struct session_row *row)
{
    int err = l->rows.len == 0 ? page_begin(&l->rows) : 0;
    if (err == 0 && l->n_rows > 0)
        err = buf_append_char(&l->rows, ',');
    if (err == 0)
        err = session_row_append(&l->rows, row, row_skip(l->ask.control));
    l->n_rows += err == 0;
    return err;
}

/* Answers with a page; frees the listing when nothing is left. */
static void listing_answer(struct listing *l, bool has_more)
{
    char cursor[24];
    const struct page page = {.seen = l->seen, .matched = l->matched};
    (void)snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)l->ask.number);
    int err = l->rows.len == 0 ? page_begin(&l->rows) : 0;
    if (err == 0)
        err = page_end(&page, &l->rows, has_more ? cursor : NULL);
    if (err < 0) {
        listing_fail(l, err);
        return;
    }
    AUTO_BUF result = l->rows;
    struct request *r = STEAL(l->waiting);
    l->rows = BUF_INIT;
    l->n_rows = 0;
    if (has_more)
        ask_wait(&l->ask, LISTING_IDLE_MS);
    else
        listing_free(l);
    request_answer_text(r, buf_str(&result));
}

/* ---- unsorted ---- */

static void listing_fetch(struct listing *l)
{
    const struct engine_api *h = l->ask.control->host;
    const struct session_query_spec q = {.number = l->ask.number,
                                         .reply = loop_mailbox(h->loop),
                                         .deliver = ask_deliver_chunk,
                                         .filter = l->filter};
    int err = l->is_asked ? worker_query_next(l->ask.control, l->worker, l->ask.number, false)
                          : worker_query(l->ask.control, l->worker, &q);
    l->is_asked = true;
    if (err < 0)
        listing_fail(l, err);
    else
        ask_wait(&l->ask, LISTING_WAIT_MS);
}

/* Writes rows until the page is full or there are no more of the chunk; then it answers when there
 * are rows or nothing is left, else it asks for more. */
static void listing_step(struct listing *l)
{
    struct session_chunk *c = l->chunk;
    for (int i = 0; c && i < LISTING_ROWS && l->at < c->n && l->n_rows < l->page; i++) {
        int err = listing_write(l, &c->rows[l->at++]);
        if (err < 0) {
            listing_fail(l, err);
            return;
        }
    }
    if (c && l->at < c->n && l->n_rows < l->page)
        return;
    loop_unslice(&l->slice);
    if (c && l->at == c->n) {
        if (c->is_last) {
            l->seen_before = l->seen;
            l->matched_before = l->matched;
            l->worker++;
            l->is_asked = false;
        }
        session_chunk_free(STEAL(l->chunk));
    }
    bool is_over = !l->chunk && !l->is_asked && !worker_next(l->ask.control, &l->worker);
    if (is_over || l->n_rows > 0)
        listing_answer(l, !is_over);
    else
        listing_fetch(l);
}

static void on_listing_step(struct loop_slice *s)
{
    listing_step(CONTAINER_OF(s, struct listing, slice));
}

static void on_listing_chunk(struct ask *a, struct session_chunk *chunk)
{
    struct listing *l = CONTAINER_OF(a, struct listing, ask);
    /* The engine is gone: what it has told already is all. */
    if (l->chunk && chunk->is_last && chunk->n == 0) {
        l->chunk->is_last = true;
        session_chunk_free(chunk);
        return;
    }
    session_chunk_free(l->chunk);
    l->chunk = chunk;
    l->at = 0;
    l->seen = l->seen_before + chunk->seen;
    l->matched = l->matched_before + chunk->matched;
    if (l->waiting)
        loop_slice(listing_loop(l), &l->slice);
}

/* ---- sorted: asking all workers ---- */

static void on_listing_rows(struct loop_slice *s);

/* Collects for a listing that may be gone by then: it is found by its number. */
struct sorted {
    struct control *control;
    uint64_t number;
    void (*step)(struct loop_slice *s); /* what follows */
};

static struct listing *sorted_listing(const struct sorted *s)
{
    return listing_find(s->control, s->number);
}

static bool sorted_chunk(void *arg, struct session_chunk *chunk)
{
    struct listing *l = sorted_listing(arg);
    size_t n = l ? l->n_chunks + 1 : 0;
    struct session_chunk **chunks = l ? realloc(l->chunks, n * sizeof(*chunks)) : NULL;
    if (!chunks) {
        session_chunk_free(chunk);
        return false;
    }
    l->chunks = chunks;
    l->chunks[l->n_chunks++] = chunk;
    return true;
}

static void sorted_done(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct sorted *s = arg;
    struct listing *l = sorted_listing(s);
    void (*step)(struct loop_slice *) = s->step;
    free(s);
    if (!l)
        return;
    if (step != on_listing_rows) {
        l->seen = seen;
        l->matched = matched;
    }
    l->chunk_at = calloc(l->n_chunks + 1, sizeof(*l->chunk_at));
    if (err == 0 && !l->chunk_at)
        err = -ERR_NOMEM;
    if (err < 0) {
        listing_fail(l, err);
        return;
    }
    l->slice.step = step;
    loop_slice(listing_loop(l), &l->slice);
}

static void listing_collect(struct listing *l, struct collect_spec *spec,
                            void (*step)(struct loop_slice *s))
{
    struct sorted *s = calloc(1, sizeof(*s));
    int err = s ? 0 : -ERR_NOMEM;
    listing_drop_chunks(l);
    if (s)
        *s = (struct sorted){l->ask.control, l->ask.number, step};
    spec->chunk = sorted_chunk;
    spec->done = sorted_done;
    spec->arg = s;
    if (err == 0)
        err = collect_start(l->ask.control, spec);
    if (err == 0) {
        ask_wait(&l->ask, LISTING_WAIT_MS);
        return;
    }
    free(s);
    listing_fail(l, err);
}

/* ---- sorted: a page ---- */

/* The row of an id, which the chunks have in the order of ids; NULL when its session is gone. */
static const struct session_row *listing_row(struct listing *l, uint64_t id)
{
    for (size_t i = 0; i < l->n_chunks; i++) {
        const struct session_chunk *c = l->chunks[i];
        if (l->chunk_at[i] < c->n && c->rows[l->chunk_at[i]].id == id)
            return &c->rows[l->chunk_at[i]++];
    }
    return NULL;
}

static void on_listing_rows(struct loop_slice *s)
{
    struct listing *l = CONTAINER_OF(s, struct listing, slice);
    for (int i = 0; i < LISTING_ROWS && l->n_done < l->page_end; i++) {
        const struct session_row *row = listing_row(l, l->ids[l->n_done++]);
        int err = row ? listing_write(l, row) : 0;
        if (err < 0) {
            listing_fail(l, err);
            return;
        }
    }
    if (l->n_done < l->page_end)
        return;
    loop_unslice(s);
    listing_drop_chunks(l);
    listing_answer(l, l->n_done < l->n_ids || (l->has_more && l->left > 0));
}

static void listing_ask_rows(struct listing *l)
{
    size_t left = l->n_ids - l->n_done, n = left < l->page ? left : l->page;
    struct collect_spec spec = {.query.ids = l->ids + l->n_done, .query.n_ids = n};
    l->page_end = l->n_done + n;
    listing_collect(l, &spec, on_listing_rows);
}

/* ---- sorted: a window ---- */

/* The chunk whose next key is the first of all; NULL when there is none. */
static const struct session_key *listing_merge_next(struct listing *l)
{
    const struct session_key *best = NULL;
    size_t from = 0;
    for (size_t i = 0; i < l->n_chunks; i++) {
        const struct session_chunk *c = l->chunks[i];
        const struct session_key *k = l->chunk_at[i] < c->n_keys ? &c->keys[l->chunk_at[i]] : NULL;
        if (!k || (best && session_key_order(k, best, &l->order) > 0))
            continue;
        best = k;
        from = i;
    }
    l->chunk_at[from] += best != NULL;
    return best;
}

/* Keys of the window, and of what is passed over before it. */
static size_t listing_window(const struct listing *l)
{
    return l->offset + (l->left < LISTING_WINDOW ? l->left : LISTING_WINDOW);
}

static void on_listing_merge(struct loop_slice *s)
{
    struct listing *l = CONTAINER_OF(s, struct listing, slice);
    size_t most = listing_window(l);
    const struct session_key *k = NULL;
    for (int i = 0; i < LISTING_MERGED && l->n_merged < most; i++) {
        const struct session_key *next = listing_merge_next(l);
        if (!next)
            most = l->n_merged;
        else if (l->n_merged++ >= l->offset)
            l->ids[l->n_ids++] = next->id;
        k = next ? next : k;
    }
    char *text = k ? str_dup(k->v.text) : NULL;
    if (text) { /* the next page goes on behind it */
        free((char *)l->last.v.text.p);
        l->last = *k;
        l->last.v.text.p = text;
    }
    bool is_good = text || !k;
    if (is_good && l->n_merged < most)
        return;
    loop_unslice(s);
    if (!is_good) {
        listing_fail(l, -ERR_NOMEM);
        return;
    }
    uint64_t n_after = 0; /* sessions that come after what the workers said */
    for (size_t i = 0; i < l->n_chunks; i++)
        n_after += l->chunks[i]->matched - l->chunks[i]->passed;
    l->has_more = !l->order.is_from_end && n_after > l->n_merged;
    l->left -= l->n_ids;
    l->offset = 0;
    if (l->order.is_from_end) /* they come in the order of the list again */
        for (size_t i = 0, n = l->n_ids; i + 1 < n; i++) {
            uint64_t id = l->ids[--n];
            l->ids[n] = l->ids[i];
            l->ids[i] = id;
        }
    listing_ask_rows(l);
}

static void listing_ask_keys(struct listing *l, bool is_first)
{
    size_t most = listing_window(l);
    struct collect_spec spec = {.query.filter = l->filter,
                                .query.is_sorted = true,
                                .query.is_keys = true,
                                .query.order = l->order,
                                .query.after = is_first ? NULL : &l->last,
                                .query.limit = most};
    free(l->ids);
    l->ids = calloc(most - l->offset + 1, sizeof(*l->ids));
    l->n_ids = l->n_done = l->n_merged = 0;
    if (!l->ids)
        listing_fail(l, -ERR_NOMEM);
    else
        listing_collect(l, &spec, on_listing_merge);
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
        l = listing_find(request_control(r), number);
    if (!l || l->owner.client != r->client || l->waiting) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "this cursor is of no open list (any more)");
        return;
    }
    l->waiting = r;
    l->page = listing_page(r);
    if (!l->is_sorted)
        loop_slice(listing_loop(l), &l->slice);
    else if (l->n_done < l->n_ids)
        listing_ask_rows(l);
    else
        listing_ask_keys(l, false);
}

/* From the end a list is no longer than a window. */
static void listing_sort_by(struct listing *l, const struct request *r)
{
    const char *sort = request_text(r, "sort");
    uint64_t limit = request_number(r, "limit", 0);
    if (!sort)
        return;
    l->order.is_descending = sort[0] == '-';
    l->order.is_from_end = request_bool(r, "from_end");
    l->is_sorted = session_field_find(str_of(sort + l->order.is_descending), &l->order.by) == 0;
    l->offset = (size_t)request_number(r, "offset", 0);
    size_t room = l->order.is_from_end ? LISTING_WINDOW : UINT32_MAX;
    l->left = limit == 0 || limit > room ? room : (size_t)limit;
}

/* Rows are only passed over in a list whose order is known. */
static bool listing_check_offset(struct request *r)
{
    uint64_t offset = request_number(r, "offset", 0);
    if ((offset > 0 || request_bool(r, "from_end")) && !request_text(r, "sort"))
        request_fail(r, -ERR_BAD_PARAM, "sort", "offset and from_end need an order");
    else if (offset >= SESSION_SORT_MAX)
        request_fail(r, -ERR_BAD_PARAM, NULL,
                     "no list begins after %d rows; a filter makes it shorter, the cursor goes on "
                     "to its end",
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
    l->ask = (struct ask){.on_chunk = on_listing_chunk, .on_over = on_listing_over};
    if (ask_begin(request_control(r), &l->ask) < 0) {
        free(l);
        return NULL;
    }
    l->owner.gone = on_listing_owner_gone;
    if (r->client)
        client_attach(r->client, &l->owner);
    l->waiting = r;
    l->filter = filter;
    l->page = listing_page(r);
    list_init(&l->slice.link);
    l->slice.step = on_listing_step;
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
        if (a->on_over != on_listing_over || l->owner.client != client || l->waiting)
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
    listing_make_room(request_control(r), r->client);
    struct listing *l = listing_new(r, filter);
    if (!l) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    if (l->is_sorted)
        listing_ask_keys(l, true);
    else
        listing_fetch(l);
}

static bool show_chunk(void *arg, struct session_chunk *chunk)
{
    struct request *r = arg;
    AUTO_BUF row = BUF_INIT;
    uint64_t skip = row_skip(request_control(r));
    if (chunk->n > 0 && !r->is_answered && session_row_append(&row, &chunk->rows[0], skip) == 0) {
        request_ref(r);
        request_answer_text(r, buf_str(&row));
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
    uint64_t id;
    const struct collect_spec spec = {
        .query.ids = &id, .query.n_ids = 1, .chunk = show_chunk, .done = show_done, .arg = r};
    int err = session_id_parse(str_of(request_text(r, "id")), &id);
    if (err == 0)
        err = collect_start(request_control(r), &spec);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
}
