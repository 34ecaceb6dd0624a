/* SPDX-License-Identifier: ISC */
/* Own workers get mail; those of other engines get it over the connection. */
#include "peers/workers.h"

#include "peers/peer_engine.h"
#include "runtime/state.h"

/* The engine whose workers have these numbers; NULL = this one, or none. */
static struct peer_engine *worker_engine(const struct control *c, size_t w)
{
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->role == PEER_ENGINE_OLD && w / PEER_ENGINE_WORKERS_MAX == e->slot + 1)
            return e;
    }
    return NULL;
}

static unsigned worker_there(size_t w)
{
    return (unsigned)(w % PEER_ENGINE_WORKERS_MAX);
}

static struct mailbox *worker_mail(const struct control *c, size_t w)
{
    return w < c->host->n_workers ? c->host->workers[w].mailbox : NULL;
}

/* One that is asked: of silent engines nobody. */
static bool worker_is_there(const struct control *c, size_t w)
{
    if (worker_mail(c, w))
        return true;
    const struct peer_engine *e = worker_engine(c, w);
    return e && peer_engine_is_up(e) && worker_there(w) < e->n_workers;
}

size_t worker_room(const struct control *c)
{
    (void)c;
    return PEER_ENGINE_WORKERS_MAX * (PEER_ENGINES_MAX + 1);
}

bool worker_next(const struct control *c, size_t *w)
{
    size_t room = list_is_empty(&c->peer_engines) ? c->host->n_workers : worker_room(c);
    while (*w < room && !worker_is_there(c, *w))
        ++*w;
    return *w < room;
}

bool worker_has(const struct control *c, size_t w, uint64_t id)
{
    if (worker_there(w) != session_id_worker(id))
        return false;
    const struct peer_engine *e = worker_engine(c, w);
    return session_id_start(id) == (e ? e->start : c->host->start);
}

/* ---- other engines ---- */

static void peer_send(struct peer_engine *e, size_t w, const char *method, json_t *params)
{
    if (params && json_object_set_new(params, "w", json_integer(worker_there(w))) != 0) {
        json_decref(params);
        params = NULL;
    }
    json_pipe_send(e->pipe, method, params);
}

/* Asks a worker of another engine. Who is not there, or silent, has answered: nothing. */
static int peer_question(struct control *c, size_t w, const struct peer_ask *ask,
                         const char *method, json_t *params)
{
    struct peer_engine *e = worker_engine(c, w);
    if (!e || !peer_engine_is_up(e)) {
        json_decref(params);
        peer_ask_fail(ask->kind, ask->number, w, ask->reply, ask->deliver);
        return 0;
    }
    int err = ask->reply ? peer_ask_begin(e, ask) : 0;
    if (err < 0) {
        json_decref(params);
        return err;
    }
    peer_send(e, w, method, params);
    return 0;
}

/* Tells one without waiting for an answer. */
static int peer_tell(const struct control *c, size_t w, const char *method, json_t *params)
{
    struct peer_engine *e = worker_engine(c, w);
    if (e && peer_engine_is_up(e))
        peer_send(e, w, method, params);
    else
        json_decref(params);
    return 0;
}

/* ---- questions ---- */

int worker_query(struct control *c, size_t w, const struct session_query_spec *spec)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_query_post(own, spec);
    const struct peer_ask a = {.kind = PEER_ASK_QUERY,
                               .number = spec->number,
                               .worker = worker_there(w),
                               .reply = spec->reply,
                               .deliver = spec->deliver};
    return peer_question(c, w, &a, "query", session_query_json(spec));
}

int worker_query_next(struct control *c, size_t w, uint64_t number, bool is_cancelled)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_query_next(own, number, is_cancelled);
    struct peer_engine *e = worker_engine(c, w);
    struct peer_ask *a = e ? peer_ask_find(e, PEER_ASK_QUERY, number, worker_there(w)) : NULL;
    if (!a) /* it went, or fell silent, and whoever waited has been told */
        return 0;
    peer_send(e, w, "next",
              json_pack("{s:I, s:b}", "n", (json_int_t)number, "cancel", (int)is_cancelled));
    if (is_cancelled)
        peer_ask_free(e, a);
    else
        peer_ask_wait(e, a);
    return 0;
}

int worker_kill(struct control *c, size_t w, const struct session_kill_spec *spec)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_kill_post(own, spec);
    const struct peer_ask a = {.kind = PEER_ASK_KILL,
                               .n_ids = spec->n,
                               .number = spec->number,
                               .worker = worker_there(w),
                               .reply = spec->reply,
                               .deliver = spec->deliver};
    return peer_question(c, w, &a, "kill", session_kill_json(spec));
}

int worker_hold(struct control *c, size_t w, const struct session_hold_spec *spec)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_hold_post(own, spec);
    const struct peer_ask a = {.kind = PEER_ASK_HOLD,
                               .number = spec->number,
                               .worker = worker_there(w),
                               .reply = spec->reply,
                               .deliver = spec->deliver};
    return peer_question(c, w, &a, "hold", session_hold_json(spec));
}

int worker_wake(struct control *c, size_t w, const char *user)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_wake_held_post(own, user);
    return peer_tell(c, w, "wake", user ? json_pack("{s:s}", "user", user) : json_object());
}

int worker_trace(struct control *c, size_t w, const struct session_trace_spec *spec)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_trace_post(own, spec);
    return peer_tell(c, w, "trace", session_trace_json(spec));
}

int worker_trace_end(struct control *c, size_t w, uint64_t number)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_trace_end_post(own, number);
    return peer_tell(c, w, "trace_end", json_pack("{s:I}", "n", (json_int_t)number));
}

int worker_trace_seen(struct control *c, size_t w, uint64_t number, size_t weight)
{
    struct mailbox *own = worker_mail(c, w);
    if (own)
        return session_trace_seen_post(own, number, weight);
    return peer_tell(
        c, w, "trace_seen",
        json_pack("{s:I, s:I}", "n", (json_int_t)number, "weight", (json_int_t)weight));
}
