/* SPDX-License-Identifier: ISC */
/* Walks over a worker's sessions: a piece at a time, a chunk at a time. */
#include "session/admin/query.h"

#include "session/admin/groups.h"
#include "session/admin/top_keys.h"
#include "session/fields.h"

#define QUERY_PIECE 64 /* sessions of one step: well under 100 µs, also when rows are made */

struct query;
/* Does a piece; true: the stage is over. Or sends something and waits, or fails: -ERR_x. */
typedef int (*query_stage)(struct query *q, bool *ret_is_over);

struct query {
    struct mail mail; /* on its way to the worker */
    struct list link; /* of env->queries */
    struct session_env *env;
    struct session_query_spec spec; /* ids and after are owned */
    struct session_key after;
    struct loop_slice slice;
    struct list turn;         /* of env->sorting */
    const query_stage *stage; /* the one under way; NULL at the end of the list of stages */
    struct safe_iter walk;
    size_t at;                   /* next of ids, or of the keys whose rows are made */
    struct session_chunk *chunk; /* being filled */
    struct top_keys top;
    struct session_groups *groups; /* NULL: none so far */
    uint64_t seen, matched, passed, given;
    bool is_waiting; /* for session_query_next */
};

/* ---- chunks ---- */

void session_chunk_free(struct session_chunk *c)
{
    if (!c)
        return;
    free(c->rows);
    free(c->keys);
    session_groups_free(c->groups);
    buf_fini(&c->texts);
    free(c);
}

static void chunk_drop(struct mail *m)
{
    session_chunk_free(CONTAINER_OF(m, struct session_chunk, mail));
}

struct session_chunk *session_chunk_new(size_t n_rows, size_t n_keys)
{
    struct session_chunk *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->mail.drop = chunk_drop;
    c->rows = n_rows > 0 ? malloc(n_rows * sizeof(*c->rows)) : NULL;
    c->keys = n_keys > 0 ? malloc(n_keys * sizeof(*c->keys)) : NULL;
    if ((n_rows > 0 && !c->rows) || (n_keys > 0 && !c->keys)) {
        session_chunk_free(c);
        return NULL;
    }
    return c;
}

static void query_send(struct query *q, struct session_chunk *c, bool is_last)
{
    c->mail.fn = q->spec.deliver;
    c->number = q->spec.number;
    c->worker = q->env->worker;
    c->is_last = is_last;
    c->seen = q->seen;
    c->matched = q->matched;
    c->passed = q->passed;
    for (size_t i = 0; i < c->n; i++)
        session_row_fix(&c->rows[i], &c->texts);
    for (size_t i = 0; i < c->n_keys; i++)
        if (c->keys[i].v.text.n > 0)
            c->keys[i].v.text.p = c->texts.data + c->texts.start + c->keys[i].v.number;
    mailbox_post(q->spec.reply, &c->mail);
}

/* ---- life ---- */

static void query_free(struct query *q)
{
    /* The next one sorts. */
    if (!list_is_empty(&q->turn)) {
        struct session_env *env = q->env;
        list_del(&q->turn);
        if (!list_is_empty(&env->sorting))
            loop_slice(env->loop, &LIST_ITEM(env->sorting.next, struct query, turn)->slice);
    }
    list_del(&q->link);
    safe_iter_end(&q->walk);
    loop_unslice(&q->slice);
    filter_unref(q->spec.filter);
    session_chunk_free(q->chunk);
    top_keys_fini(&q->top);
    session_groups_free(q->groups);
    top_keys_key_fini(&q->after);
    free((uint64_t *)q->spec.ids);
    free(q);
}

/* Without memory the answer ends early, but it does end. */
static void session_query_finish(struct query *q)
{
    struct session_chunk *c = STEAL(q->chunk);
    if (!c)
        c = session_chunk_new(0, 0);
    if (c) {
        c->groups = STEAL(q->groups); /* whoever gets them frees them: there may be many */
        query_send(q, c, true);
    }
    query_free(q);
}

/* ---- the walk ---- */

static bool query_is_at_end(const struct query *q)
{
    return q->spec.ids ? q->at == q->spec.n_ids : safe_iter_is_over(&q->walk);
}

static int query_add_row(struct query *q, const struct session *s)
{
    size_t left = q->spec.ids ? q->spec.n_ids : SESSION_CHUNK_ROWS;
    if (!q->chunk &&
        !(q->chunk = session_chunk_new(left < SESSION_CHUNK_ROWS ? left : SESSION_CHUNK_ROWS, 0)))
        return -ERR_NOMEM;
    int err = session_row_fill(&q->chunk->rows[q->chunk->n], &q->chunk->texts, s, q->spec.fields);
    q->chunk->n += err == 0;
    q->given += err == 0;
    return err;
}

static int query_group(struct query *q, const struct session *s)
{
    char scratch[ADDR_TEXT_MAX > 64 ? ADDR_TEXT_MAX : 64];
    if (!q->groups && !(q->groups = calloc(1, sizeof(*q->groups))))
        return -ERR_NOMEM;
    uint64_t age_ms = loop_now_ms(s->env->loop) - s->started_ms;
    const struct session_group one = {.sessions = 1,
                                      .young = age_ms < SESSION_YOUNG_MS,
                                      .in_bytes = s->client.in_bytes,
                                      .out_bytes = s->client.out_bytes,
                                      .oldest_ms = age_ms};
    if (q->spec.is_by_net) {
        session_group_net(scratch, &s->peer);
        return session_groups_add(q->groups, str_of(scratch), &one);
    }
    struct session_key k = session_key_of(s, q->spec.group_by, scratch);
    return session_groups_add(q->groups, k.v.text, &one);
}

static int query_take(struct query *q, struct session *s)
{
    char scratch[64];
    q->matched++;
    if (q->spec.is_grouped)
        return query_group(q, s);
    /* Of what is only compared by other fields the rates are not looked at. */
    enum session_field by = q->spec.order.by;
    if (!q->spec.is_sorted || by == SESSION_FIELD_IN_RATE || by == SESSION_FIELD_OUT_RATE)
        session_sample(s);
    if (!q->spec.is_sorted)
        return q->spec.limit && q->given >= q->spec.limit ? 0 : query_add_row(q, s);
    struct session_key k = session_key_of(s, q->spec.order.by, scratch);
    if (q->spec.after && session_key_order(&k, q->spec.after, &q->spec.order) <= 0) {
        q->passed++;
        return 0;
    }
    return top_keys_add(&q->top, k);
}

static int query_walk(struct query *q, bool *ret_is_over)
{
    int err = 0;
    for (int i = 0; i < QUERY_PIECE && err == 0 && !query_is_at_end(q); i++) {
        struct session *s = q->spec.ids ? session_find(q->env, q->spec.ids[q->at++])
                                        : session_of_link(safe_iter_next(&q->walk));
        struct session_match_view look = {.s = s};
        q->seen += s != NULL; /* an id may be gone */
        if (s && (!q->spec.filter || filter_match(q->spec.filter, session_filter_get, &look)))
            err = query_take(q, s);
        if (q->chunk && q->chunk->n == SESSION_CHUNK_ROWS && !query_is_at_end(q)) {
            q->is_waiting = true;
            loop_unslice(&q->slice);
            query_send(q, STEAL(q->chunk), false);
            return 0;
        }
    }
    *ret_is_over = query_is_at_end(q);
    return err;
}

/* ---- sorted ---- */

/* The worst comes out first: keys are filled from the end. */
static int query_sort(struct query *q, bool *ret_is_over)
{
    if (!q->chunk) {
        q->chunk = session_chunk_new(q->spec.is_keys ? 0 : q->top.n, q->top.n);
        if (!q->chunk)
            return -ERR_NOMEM;
        q->chunk->n_keys = q->top.n;
    }
    for (int i = 0; i < QUERY_PIECE && q->top.n > 0; i++) {
        struct session_key k = top_keys_pop(&q->top);
        struct buf *texts = &q->chunk->texts;
        int err = 0;
        if (k.v.text.n > 0) {
            k.v.number = texts->len;
            err = buf_append_str(texts, k.v.text);
        }
        top_keys_key_fini(&k);
        q->chunk->keys[q->top.n] = k;
        if (err < 0) {
            q->chunk->n_keys = 0; /* those before are missing */
            return err;
        }
    }
    *ret_is_over = q->top.n == 0;
    return 0;
}

/* Those that ended during the walk are left out. */
static int query_make_rows(struct query *q, bool *ret_is_over)
{
    struct session_chunk *c = q->chunk;
    for (int i = 0; i < QUERY_PIECE && q->at < c->n_keys; i++) {
        const struct session *s = session_find(q->env, c->keys[q->at++].id);
        int err = s ? session_row_fill(&c->rows[c->n], &c->texts, s, q->spec.fields) : 0;
        if (err < 0)
            return err;
        c->n += s != NULL;
    }
    *ret_is_over = q->at == c->n_keys;
    return 0;
}

/* A sorted one that has its turn. */
static int query_sort_begin(struct query *q, bool *ret_is_over)
{
    struct session_query_spec *spec = &q->spec;
    /* A few more may come during the walk. */
    size_t most = spec->limit < q->env->count + 64 ? spec->limit : q->env->count + 64;
    *ret_is_over = true;
    return top_keys_init(&q->top, most, &spec->order);
}

static const query_stage query_listed[] = {query_walk, NULL};
static const query_stage query_keys[] = {query_sort_begin, query_walk, query_sort, NULL};
static const query_stage query_sorted[] = {query_sort_begin, query_walk, query_sort,
                                           query_make_rows, NULL};

static void on_query_step(struct loop_slice *s)
{
    struct query *q = CONTAINER_OF(s, struct query, slice);
    bool is_over = false;
    if ((*q->stage)(q, &is_over) < 0)
        session_query_finish(q);
    else if (is_over && !*++q->stage)
        session_query_finish(q);
}

/* ---- mail ---- */

static void query_drop(struct mail *m)
{
    query_free(CONTAINER_OF(m, struct query, mail));
}

static void on_query(struct mail *m, void *owner)
{
    struct query *q = CONTAINER_OF(m, struct query, mail);
    struct session_env *env = owner;
    q->env = env;
    list_add_tail(&env->queries, &q->link);
    safe_iter_begin(&q->walk, &env->walks, &env->sessions);
    if (q->spec.is_sorted)
        list_add_tail(&env->sorting, &q->turn);
    if (!q->spec.is_sorted || env->sorting.next == &q->turn)
        loop_slice(env->loop, &q->slice);
}

static int query_copy(struct query *q, const struct session_query_spec *spec)
{
    q->spec = *spec;
    q->spec.ids = NULL;
    q->spec.fields = spec->fields ? spec->fields : SESSION_FIELDS_ALL;
    if (spec->is_sorted && (spec->limit == 0 || spec->limit > SESSION_SORT_MAX))
        q->spec.limit = SESSION_SORT_MAX;
    if (spec->filter)
        filter_ref(spec->filter);
    if (spec->ids) {
        uint64_t *ids = calloc(spec->n_ids + 1, sizeof(*ids));
        if (!ids)
            return -ERR_NOMEM;
        memcpy(ids, spec->ids, spec->n_ids * sizeof(*ids));
        q->spec.ids = ids;
    }
    if (spec->after) {
        q->after = *spec->after;
        q->after.v.text.p = str_dup(spec->after->v.text);
        q->spec.after = &q->after;
        if (!q->after.v.text.p)
            return -ERR_NOMEM;
    }
    return 0;
}

int session_query_post(struct mailbox *worker, const struct session_query_spec *spec)
{
    struct query *q = calloc(1, sizeof(*q));
    if (!q)
        return -ERR_NOMEM;
    q->mail = (struct mail){.fn = on_query, .drop = query_drop};
    list_init(&q->link);
    list_init(&q->walk.link);
    list_init(&q->slice.link);
    list_init(&q->turn);
    q->slice.step = on_query_step;
    q->stage = !spec->is_sorted ? query_listed : spec->is_keys ? query_keys : query_sorted;
    if (query_copy(q, spec) < 0) {
        query_free(q);
        return -ERR_NOMEM;
    }
    mailbox_post(worker, &q->mail);
    return 0;
}

struct next_mail {
    struct mail mail;
    uint64_t number;
    bool is_cancelled;
};

static void on_query_next(struct mail *m, void *owner)
{
    struct next_mail *n = CONTAINER_OF(m, struct next_mail, mail);
    struct session_env *env = owner;
    LIST_FOREACH (it, &env->queries) {
        struct query *q = LIST_ITEM(it, struct query, link);
        if (q->spec.number != n->number)
            continue;
        if (n->is_cancelled)
            query_free(q);
        else if (q->is_waiting) {
            q->is_waiting = false;
            loop_slice(env->loop, &q->slice);
        }
        break;
    }
    free(n);
}

int session_query_next(struct mailbox *worker, uint64_t number, bool is_cancelled)
{
    struct next_mail *m = calloc(1, sizeof(*m));
    if (!m)
        return -ERR_NOMEM;
    *m = (struct next_mail){
        .mail.fn = on_query_next, .number = number, .is_cancelled = is_cancelled};
    mailbox_post(worker, &m->mail);
    return 0;
}

void session_queries_end(struct session_env *env)
{
    LIST_FOREACH_SAFE (it, &env->queries)
        query_free(LIST_ITEM(it, struct query, link));
}
