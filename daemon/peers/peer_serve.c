/* SPDX-License-Identifier: ISC */
/* Questions of another engine, posted to the own workers under numbers of the own. */
#include "peers/peer_serve.h"

#include "runtime/state.h"

#define PEER_SERVE_MAX 4096 /* questions under way */

enum served_kind { SERVED_QUERY, SERVED_KILL, SERVED_HOLD, SERVED_TRACE };

struct served {
    struct list link;
    enum served_kind kind;
    struct peer_engine *engine; /* that asks */
    uint64_t number, theirs;    /* for the workers; for the asker */
    unsigned worker;
};

struct peer_serve {
    struct control *control;
    struct list all;
    struct map by_number;
    size_t n;
};

static struct mailbox *served_mailbox(const struct peer_serve *s, unsigned worker)
{
    return s->control->host->workers[worker].mailbox;
}

static void served_free(struct peer_serve *s, struct served *v)
{
    (void)map_del(&s->by_number, map_key_u64(&v->number));
    list_del(&v->link);
    s->n--;
    free(v);
}

static struct served *served_of(struct control *c, uint64_t number)
{
    return c && c->peer_serve ? map_get(&c->peer_serve->by_number, map_key_u64(&number)) : NULL;
}

/* ---- answers of workers ---- */

static void served_send(const struct served *v, const char *method, int err, struct buf *text)
{
    if (err < 0)
        json_pipe_send(v->engine->pipe, method, NULL);
    else
        json_pipe_send_text(v->engine->pipe, method, buf_str(text));
}

static void on_served_chunk(struct mail *m, void *owner)
{
    struct session_chunk *chunk = CONTAINER_OF(m, struct session_chunk, mail);
    struct control *c = control_of(owner);
    struct served *v = served_of(c, chunk->number);
    AUTO_BUF text = BUF_INIT;
    if (v) {
        int err = session_chunk_append(&text, chunk, v->theirs);
        served_send(v, "rows", err, &text);
        if (chunk->is_last)
            served_free(c->peer_serve, v);
    }
    session_chunk_free(chunk);
}

static void on_served_killed(struct mail *m, void *owner)
{
    struct session_killed *killed = CONTAINER_OF(m, struct session_killed, mail);
    struct control *c = control_of(owner);
    struct served *v = served_of(c, killed->number);
    AUTO_BUF text = BUF_INIT;
    if (v) {
        int err = session_killed_append(&text, killed, v->theirs);
        served_send(v, v->kind == SERVED_HOLD ? "held" : "killed", err, &text);
        if (killed->is_last)
            served_free(c->peer_serve, v);
    }
    free(killed);
}

static void on_served_event(struct mail *m, void *owner)
{
    struct session_trace_event *e = CONTAINER_OF(m, struct session_trace_event, mail);
    struct control *c = control_of(owner);
    struct served *v = served_of(c, e->number);
    AUTO_BUF text = BUF_INIT;
    if (v)
        served_send(v, "traced", session_trace_event_append(&text, e, v->theirs), &text);
    free(e);
}

/* ---- questions ---- */

/* Takes a question in: the number and worker of m. */
static int served_begin(struct peer_serve *s, struct peer_engine *e, const json_t *m,
                        enum served_kind kind, struct served **ret)
{
    uint64_t worker = json_number(m, "w"), theirs = json_number(m, "n");
    if (worker >= s->control->host->n_workers || theirs == 0)
        return -ERR_PROTOCOL;
    if (s->n >= PEER_SERVE_MAX)
        return -ERR_TOO_MANY;
    struct served *v = calloc(1, sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    *v = (struct served){.kind = kind,
                         .engine = e,
                         .number = rpc_next_number(&s->control->rpc),
                         .theirs = theirs,
                         .worker = (unsigned)worker};
    if (map_put(&s->by_number, map_key_u64(&v->number), v, NULL) < 0) {
        free(v);
        return -ERR_NOMEM;
    }
    list_add_tail(&s->all, &v->link);
    s->n++;
    *ret = v;
    return 0;
}

static struct served *served_find(const struct peer_serve *s, const struct peer_engine *e,
                                  const json_t *m, enum served_kind kind)
{
    uint64_t worker = json_number(m, "w"), theirs = json_number(m, "n");
    LIST_FOREACH (it, &s->all) {
        struct served *v = LIST_ITEM(it, struct served, link);
        if (v->kind == kind && v->engine == e && v->theirs == theirs && v->worker == worker)
            return v;
    }
    return NULL;
}

int peer_serve_query(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct session_query_spec spec;
    struct session_asked asked;
    struct served *v = NULL;
    int err = session_query_read(m, &spec, &asked);
    if (err == 0)
        err = served_begin(s, e, m, SERVED_QUERY, &v);
    if (err == 0) {
        spec.number = v->number;
        spec.reply = loop_mailbox(s->control->host->loop);
        spec.deliver = on_served_chunk;
        err = session_query_post(served_mailbox(s, v->worker), &spec);
    }
    if (err < 0 && v)
        served_free(s, v);
    session_asked_fini(&asked);
    return err;
}

int peer_serve_next(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct served *v = served_find(s, e, m, SERVED_QUERY);
    bool is_cancelled = json_is_true(json_object_get(m, "cancel"));
    if (!v)
        return 0; /* it has ended meanwhile */
    int err = session_query_next(served_mailbox(s, v->worker), v->number, is_cancelled);
    if (is_cancelled)
        served_free(s, v);
    return err;
}

int peer_serve_kill(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct session_kill_spec spec;
    struct session_asked asked;
    struct served *v = NULL;
    int err = session_kill_read(m, &spec, &asked);
    if (err == 0)
        err = served_begin(s, e, m, SERVED_KILL, &v);
    if (err == 0) {
        spec.number = v->number;
        spec.reply = loop_mailbox(s->control->host->loop);
        spec.deliver = on_served_killed;
        err = session_kill_post(served_mailbox(s, v->worker), &spec);
    }
    if (err < 0 && v)
        served_free(s, v);
    session_asked_fini(&asked);
    return err;
}

/* Of a hold that ends no answer is awaited. */
int peer_serve_hold(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct session_hold_spec spec = {.user = json_string_value(json_object_get(m, "user")),
                                     .is_on = json_is_true(json_object_get(m, "on"))};
    struct served *v = NULL;
    uint64_t worker = json_number(m, "w");
    if (!spec.user || worker >= s->control->host->n_workers)
        return -ERR_PROTOCOL;
    if (json_number(m, "n") == 0)
        return session_hold_post(served_mailbox(s, (unsigned)worker), &spec);
    int err = served_begin(s, e, m, SERVED_HOLD, &v);
    if (err < 0)
        return err;
    spec.number = v->number;
    spec.reply = loop_mailbox(s->control->host->loop);
    spec.deliver = on_served_killed;
    err = session_hold_post(served_mailbox(s, v->worker), &spec);
    if (err < 0)
        served_free(s, v);
    return err;
}

int peer_serve_wake(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    uint64_t worker = json_number(m, "w");
    (void)e;
    if (worker >= s->control->host->n_workers)
        return -ERR_PROTOCOL;
    return session_wake_held_post(served_mailbox(s, (unsigned)worker),
                                  json_string_value(json_object_get(m, "user")));
}

int peer_serve_trace(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct session_trace_spec spec;
    struct session_asked asked;
    struct served *v = NULL;
    int err = session_trace_read(m, &spec, &asked);
    if (err == 0)
        err = served_begin(s, e, m, SERVED_TRACE, &v);
    if (err == 0) {
        spec.number = v->number;
        spec.reply = loop_mailbox(s->control->host->loop);
        spec.deliver = on_served_event;
        err = session_trace_post(served_mailbox(s, v->worker), &spec);
    }
    if (err < 0 && v)
        served_free(s, v);
    session_asked_fini(&asked);
    return err;
}

int peer_serve_trace_end(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    struct served *v = served_find(s, e, m, SERVED_TRACE);
    if (!v)
        return 0;
    int err = session_trace_end_post(served_mailbox(s, v->worker), v->number);
    served_free(s, v);
    return err;
}

int peer_serve_trace_seen(struct peer_serve *s, struct peer_engine *e, const json_t *m)
{
    const struct served *v = served_find(s, e, m, SERVED_TRACE);
    uint64_t weight = json_number(m, "weight");
    if (weight > TRACE_FLIGHT_MAX)
        return -ERR_PROTOCOL;
    return v ? session_trace_seen_post(served_mailbox(s, v->worker), v->number, (size_t)weight) : 0;
}

/* ---- life ---- */

void peer_serve_forget(struct peer_serve *s, const struct peer_engine *e)
{
    LIST_FOREACH_SAFE (it, &s->all) {
        struct served *v = LIST_ITEM(it, struct served, link);
        if (v->engine != e)
            continue;
        if (v->kind == SERVED_QUERY)
            (void)!session_query_next(served_mailbox(s, v->worker), v->number, true);
        else if (v->kind == SERVED_TRACE)
            (void)!session_trace_end_post(served_mailbox(s, v->worker), v->number);
        served_free(s, v);
    }
}

int peer_serve_new(struct control *c, struct peer_serve **ret)
{
    struct peer_serve *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->control = c;
    list_init(&s->all);
    *ret = s;
    return 0;
}

void peer_serve_free(struct peer_serve *s)
{
    if (!s)
        return;
    LIST_FOREACH_SAFE (it, &s->all)
        served_free(s, LIST_ITEM(it, struct served, link));
    map_fini(&s->by_number);
    free(s);
}
