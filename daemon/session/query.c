/* SPDX-License-Identifier: ISC */
/* Walks over a worker's sessions: a slice a turn, a chunk at a time. */
#include "session/query.h"

#include "session/session_priv.h"

#define QUERY_SLICE 500 /* sessions looked at in one turn: well under a millisecond */

const struct filter_field session_filter_fields[SESSION_FIELD_COUNT] = {
#define F(id, name, alias, type, unit, shown, title, text)                                         \
    [SESSION_FIELD_##id] = {name, alias, FILTER_##type, SESSION_FIELD_##id},
#include "session/fields.def"
#undef F
};

static const struct {
    const char *title, *help;
} session_field_rows[SESSION_FIELD_COUNT] = {
#define F(id, name, alias, type, unit, shown, title, text) [SESSION_FIELD_##id] = {title, text},
#include "session/fields.def"
#undef F
};

const char *session_field_title(enum session_field f)
{
    return session_field_rows[f].title;
}

const char *session_field_help(enum session_field f)
{
    return session_field_rows[f].help;
}

int session_field_find(struct str name, enum session_field *ret)
{
    for (size_t i = 0; i < SESSION_FIELD_COUNT; i++) {
        const struct filter_field *f = &session_filter_fields[i];
        if (str_eq(name, str_of(f->name)) || (f->alias && str_eq(name, str_of(f->alias)))) {
            *ret = (enum session_field)i;
            return 0;
        }
    }
    return -ERR_NO_PARAM;
}

/* ---- values ---- */

static const char *field_version(const char *version)
{
    return version[0] ? version : "no";
}

static const char *field_text(const struct session *s, enum session_field f, char scratch[64])
{
    bool is_relay = s->watch != NULL;
    switch (f) {
    case SESSION_FIELD_ID:
        return session_id_text(s, scratch);
    case SESSION_FIELD_LISTENER:
        return s->listener->config->name;
    case SESSION_FIELD_PROTO:
        return s->proto->name;
    case SESSION_FIELD_STATE:
        return session_state_name(s->state);
    case SESSION_FIELD_PHASE:
        return !is_relay ? NULL : s->kill ? "ending" : watch_phase_name(s->watch->phase);
    case SESSION_FIELD_VERB:
        return is_relay && s->watch->verb[0] ? s->watch->verb : NULL;
    case SESSION_FIELD_USER:
        return s->user;
    case SESSION_FIELD_TLS:
        return field_version(s->client_tls);
    case SESSION_FIELD_POOL:
        return s->backend ? s->backend->pool : NULL;
    case SESSION_FIELD_BACKEND:
        return s->backend ? s->backend->name : NULL;
    case SESSION_FIELD_SERVER:
        addr_format(scratch, &s->server_addr);
        return s->server_addr.family ? scratch : NULL;
    case SESSION_FIELD_SERVER_TLS:
        return s->relay_ms ? field_version(s->server_tls) : NULL;
    case SESSION_FIELD_MECHANISM:
        return s->attempts ? sasl_method(s->mech) : NULL;
    case SESSION_FIELD_AUTH:
        return s->auth_source;
    case SESSION_FIELD_CLIENT:
        return s->client_name;
    case SESSION_FIELD_ROUTE:
        return s->route_reason;
    default:
        return NULL;
    }
}

static uint64_t field_number(const struct session *s, enum session_field f)
{
    uint64_t now = loop_now_ms(s->env->loop);
    switch (f) {
    case SESSION_FIELD_PORT:
        return s->peer.port;
    case SESSION_FIELD_STARTED:
        return s->started_wall_ms;
    case SESSION_FIELD_AGE:
        return now - s->started_ms;
    case SESSION_FIELD_IDLE:
        return now - s->active_ms;
    case SESSION_FIELD_IN:
        return s->client.in_bytes;
    case SESSION_FIELD_OUT:
        return s->client.out_bytes;
    case SESSION_FIELD_IN_RATE:
        return s->rate.in;
    case SESSION_FIELD_OUT_RATE:
        return s->rate.out;
    case SESSION_FIELD_WORKER:
        return s->env->worker;
    case SESSION_FIELD_ATTEMPTS:
        return s->attempts;
    default:
        return 0;
    }
}

struct query_row { /* what the filter sees */
    const struct session *s;
    char scratch[64];
};

static bool query_get(const void *row, int id, struct filter_value *ret)
{
    struct query_row *r = (struct query_row *)row;
    enum filter_type type = session_filter_fields[id].type;
    if (type == FILTER_IP) {
        ret->addr = &r->s->peer;
        return true;
    }
    if (type != FILTER_TEXT) {
        ret->number = field_number(r->s, id);
        return true;
    }
    const char *text = field_text(r->s, id, r->scratch);
    ret->text = str_of(text);
    return text != NULL;
}

/* Rates are measured between two looks at a session, at least a second apart; before that over its
 * whole life. */
static void query_sample(struct session *s)
{
    struct session_rate *r = &s->rate;
    uint64_t now = loop_now_ms(s->env->loop);
    uint64_t since = r->at_ms ? r->at_ms : s->started_ms;
    if (now - since < 1000)
        return;
    r->in = (uint32_t)((s->client.in_bytes - r->in_base) * 1000 / (now - since));
    r->out = (uint32_t)((s->client.out_bytes - r->out_base) * 1000 / (now - since));
    r->at_ms = now;
    r->in_base = s->client.in_bytes;
    r->out_base = s->client.out_bytes;
}

/* ---- rows ---- */

void session_chunk_free(struct session_chunk *c)
{
    if (!c)
        return;
    free(c->rows);
    buf_fini(&c->texts);
    free(c);
}

static void chunk_drop(struct mail *m)
{
    session_chunk_free(CONTAINER_OF(m, struct session_chunk, mail));
}

/* Texts are offsets into texts (p) until the chunk is finished: the buffer may still move. */
static int row_fill(struct session_row *row, struct buf *texts, const struct session *s)
{
    char scratch[64];
    *row = (struct session_row){.id = s->id};
    for (int f = 0; f < SESSION_FIELD_COUNT; f++) {
        enum filter_type type = session_filter_fields[f].type;
        if (type != FILTER_TEXT && type != FILTER_IP) {
            row->v[f].number = field_number(s, f);
            continue;
        }
        const char *text = type == FILTER_IP ? scratch : field_text(s, f, scratch);
        if (type == FILTER_IP)
            addr_format_ip(scratch, &s->peer);
        if (!text)
            continue;
        row->v[f].number = texts->len;
        row->v[f].text.n = strlen(text);
        if (buf_append_c(texts, text) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

static void row_fix(struct session_row *row, const struct buf *texts)
{
    for (int f = 0; f < SESSION_FIELD_COUNT; f++)
        if (row->v[f].text.n > 0)
            row->v[f].text.p = texts->data + texts->start + row->v[f].number;
}

/* Numbers by value, texts without regard to case. */
static int value_compare(enum session_field by, const struct session_value *x,
                         const struct session_value *y)
{
    enum filter_type type = session_filter_fields[by].type;
    if (type != FILTER_TEXT && type != FILTER_IP)
        return x->number < y->number ? -1 : x->number > y->number;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = n ? strncasecmp(x->text.p, y->text.p, n) : 0;
    if (order != 0)
        return order;
    return x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

/* One value of a session, to sort by. */
struct session_key {
    uint64_t id;
    struct session_value v;
};

static int key_order(const struct session_key *a, const struct session_key *b,
                     enum session_field by, bool is_descending, bool is_from_end)
{
    int order = by == SESSION_FIELD_ID ? (a->id < b->id ? -1 : a->id > b->id)
                                       : value_compare(by, &a->v, &b->v);
    if (order == 0)
        order = a->id < b->id ? -1 : a->id > b->id;
    else if (is_descending)
        order = -order;
    return is_from_end ? -order : order;
}

int session_row_order(const struct session_row *a, const struct session_row *b,
                      enum session_field by, bool is_descending, bool is_from_end)
{
    const struct session_key x = {a->id, a->v[by]}, y = {b->id, b->v[by]};
    return key_order(&x, &y, by, is_descending, is_from_end);
}

/* ---- walks ---- */

struct query {
    struct list link; /* of env->queries */
    struct session_env *env;
    struct session_query_spec spec;
    struct list *next; /* session to look at next; the head = end */
    struct loop_deferred slice;
    struct session_chunk *chunk; /* being filled, unsorted */
    struct session_key *best;    /* the best so far, sorted; their texts are owned */
    size_t n_best;
    uint64_t seen, matched, given;
    bool is_waiting; /* for session_query_next */
};

static void key_fini(struct session_key *k)
{
    free((char *)k->v.text.p);
}

static void query_free(struct query *q)
{
    list_del(&q->link);
    loop_undefer(&q->slice);
    filter_unref(q->spec.filter);
    session_chunk_free(q->chunk);
    for (size_t i = 0; i < q->n_best; i++)
        key_fini(&q->best[i]);
    free(q->best);
    free(q);
}

static struct session_chunk *query_chunk_new(const struct query *q, size_t rows)
{
    struct session_chunk *c = calloc(1, sizeof(*c));
    struct session_row *v = calloc(rows + 1, sizeof(*v));
    if (!c || !v) {
        free(c);
        free(v);
        return NULL;
    }
    c->mail.fn = q->spec.deliver;
    c->mail.drop = chunk_drop;
    c->rows = v;
    c->number = q->spec.number;
    c->worker = q->env->worker;
    return c;
}

static void query_send(struct query *q, struct session_chunk *c, bool is_last)
{
    c->is_last = is_last;
    c->seen = q->seen;
    c->matched = q->matched;
    for (size_t i = 0; i < c->n; i++)
        row_fix(&c->rows[i], &c->texts);
    mailbox_post(q->spec.reply, &c->mail);
}

/* ---- sorted: a heap of the best, the worst of them on top ---- */

static bool best_is_worse(const struct query *q, const struct session_key *a,
                          const struct session_key *b)
{
    return key_order(a, b, q->spec.sort, q->spec.is_descending, q->spec.is_from_end) > 0;
}

static void best_swap(struct session_key *a, struct session_key *b)
{
    struct session_key t = *a;
    *a = *b;
    *b = t;
}

static void best_sift_down(const struct query *q, size_t i, size_t n)
{
    for (;;) {
        size_t worst = i, left = 2 * i + 1;
        if (left < n && best_is_worse(q, &q->best[left], &q->best[worst]))
            worst = left;
        if (left + 1 < n && best_is_worse(q, &q->best[left + 1], &q->best[worst]))
            worst = left + 1;
        if (worst == i)
            return;
        best_swap(&q->best[i], &q->best[worst]);
        i = worst;
    }
}

static void best_sift_up(const struct query *q, size_t i)
{
    while (i > 0 && best_is_worse(q, &q->best[i], &q->best[(i - 1) / 2])) {
        best_swap(&q->best[i], &q->best[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

/* Borrows the text of the session, or of scratch. */
static struct session_key best_key(const struct query *q, const struct session *s, char scratch[64])
{
    enum session_field f = q->spec.sort;
    enum filter_type type = session_filter_fields[f].type;
    struct session_key k = {.id = s->id};
    if (type == FILTER_IP)
        addr_format_ip(scratch, &s->peer);
    if (type != FILTER_TEXT && type != FILTER_IP)
        k.v.number = field_number(s, f);
    else if (f != SESSION_FIELD_ID)
        k.v.text = str_of(type == FILTER_IP ? scratch : field_text(s, f, scratch));
    return k;
}

/* A row is made of those that are left at the end; most sessions never are. */
static int best_add(struct query *q, const struct session *s)
{
    char scratch[64];
    struct session_key k = best_key(q, s, scratch);
    bool is_full = q->n_best == q->spec.limit;
    if (is_full && (q->n_best == 0 || !best_is_worse(q, &q->best[0], &k)))
        return 0;
    if (k.v.text.n > 0) {
        k.v.text.p = str_dup(k.v.text);
        if (!k.v.text.p)
            return -ERR_NOMEM;
    } else {
        k.v.text = STR_NULL;
    }
    if (is_full) {
        key_fini(&q->best[0]);
        q->best[0] = k;
        best_sift_down(q, 0, q->n_best);
    } else {
        q->best[q->n_best] = k;
        best_sift_up(q, q->n_best++);
    }
    return 0;
}

/* Those that ended during the walk are left out. */
static int best_send(struct query *q)
{
    struct session_chunk *c = query_chunk_new(q, q->n_best);
    int err = c ? 0 : -ERR_NOMEM;
    for (size_t n = q->n_best; n > 1; n--) {
        best_swap(&q->best[0], &q->best[n - 1]);
        best_sift_down(q, 0, n - 1);
    }
    for (size_t i = 0; i < q->n_best && err == 0; i++) {
        const struct session *s = session_find(q->env, q->best[i].id);
        if (s)
            err = row_fill(&c->rows[c->n], &c->texts, s);
        c->n += s && err == 0;
    }
    if (err == 0)
        query_send(q, c, true);
    else
        session_chunk_free(c);
    return err;
}

/* ---- a slice ---- */

/* Without memory the answer ends early, but it does end. */
static void query_finish(struct query *q)
{
    struct session_chunk *c = STEAL(q->chunk);
    if (!q->spec.is_sorted || best_send(q) < 0) {
        if (!c)
            c = query_chunk_new(q, 0);
        if (c)
            query_send(q, c, true);
    }
    query_free(q);
}

static int query_take(struct query *q, struct session *s)
{
    q->matched++;
    query_sample(s);
    if (q->spec.is_sorted)
        return best_add(q, s);
    if (q->spec.limit && q->given >= q->spec.limit)
        return 0;
    if (!q->chunk && !(q->chunk = query_chunk_new(q, SESSION_CHUNK_ROWS)))
        return -ERR_NOMEM;
    int err = row_fill(&q->chunk->rows[q->chunk->n], &q->chunk->texts, s);
    if (err == 0) {
        q->chunk->n++;
        q->given++;
    }
    return err;
}

static int query_look(struct query *q, struct session *s)
{
    struct query_row row = {.s = s};
    q->seen++;
    if (q->spec.filter && !filter_match(q->spec.filter, query_get, &row))
        return 0;
    return query_take(q, s);
}

static void on_slice(struct loop_deferred *d)
{
    struct query *q = CONTAINER_OF(d, struct query, slice);
    struct list *head = &q->env->sessions;
    for (int i = 0; i < QUERY_SLICE && q->next != head; i++) {
        struct session *s = LIST_ITEM(q->next, struct session, link);
        q->next = q->next->next;
        if (query_look(q, s) < 0) {
            q->next = head;
            break;
        }
        if (q->chunk && q->chunk->n == SESSION_CHUNK_ROWS && q->next != head) {
            q->is_waiting = true;
            query_send(q, STEAL(q->chunk), false);
            return;
        }
    }
    if (q->next == head)
        query_finish(q);
    else
        loop_again(q->env->loop, &q->slice);
}

void session_query_forget(struct session_env *env, struct list *link)
{
    LIST_FOREACH (it, &env->queries) {
        struct query *q = LIST_ITEM(it, struct query, link);
        if (q->next == link)
            q->next = link->next;
    }
}

/* ---- mail ---- */

struct query_mail {
    struct mail mail;
    struct session_query_spec spec;
};

static void query_mail_drop(struct mail *m)
{
    struct query_mail *q = CONTAINER_OF(m, struct query_mail, mail);
    filter_unref(q->spec.filter);
    free(q);
}

static void query_one(struct query *q)
{
    struct session *s = session_find(q->env, q->spec.id);
    if (s)
        (void)!query_look(q, s);
    q->spec.is_sorted = false;
    query_finish(q);
}

static void on_query(struct mail *m, void *owner)
{
    struct query_mail *qm = CONTAINER_OF(m, struct query_mail, mail);
    struct session_env *env = owner;
    struct query *q = calloc(1, sizeof(*q));
    if (!q) {
        query_mail_drop(m);
        return;
    }
    q->env = env;
    q->spec = qm->spec;
    free(qm);
    list_init(&q->slice.link);
    q->slice.fn = on_slice;
    q->next = env->sessions.next;
    list_add_tail(&env->queries, &q->link);
    if (q->spec.id) {
        q->spec.is_sorted = false;
        query_one(q);
        return;
    }
    if (q->spec.is_sorted) {
        if (q->spec.limit == 0 || q->spec.limit > SESSION_SORT_MAX)
            q->spec.limit = SESSION_SORT_MAX;
        size_t most = q->spec.limit < env->count + 64 ? q->spec.limit : env->count + 64;
        q->spec.limit = most;
        q->best = calloc(most + 1, sizeof(*q->best));
        if (!q->best)
            q->next = &env->sessions;
    }
    on_slice(&q->slice);
}

int session_query_post(struct mailbox *worker, const struct session_query_spec *spec)
{
    struct query_mail *m = calloc(1, sizeof(*m));
    if (!m)
        return -ERR_NOMEM;
    m->mail.fn = on_query;
    m->mail.drop = query_mail_drop;
    m->spec = *spec;
    if (m->spec.filter)
        filter_ref(m->spec.filter);
    mailbox_post(worker, &m->mail);
    return 0;
}

struct next_mail {
    struct mail mail;
    uint64_t number;
    bool is_cancelled;
};

static void on_next(struct mail *m, void *owner)
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
            on_slice(&q->slice);
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
    *m = (struct next_mail){.mail.fn = on_next, .number = number, .is_cancelled = is_cancelled};
    mailbox_post(worker, &m->mail);
    return 0;
}

void session_queries_end(struct session_env *env)
{
    LIST_FOREACH_SAFE (it, &env->queries)
        query_free(LIST_ITEM(it, struct query, link));
}
