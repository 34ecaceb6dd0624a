/* SPDX-License-Identifier: ISC */
/* What engines of a machine say to each other, message by message. */
#include "base/log/log.h"
#include "peers/peer_conflicts.h"
#include "peers/peer_counts.h"
#include "peers/peer_limits.h"
#include "peers/peer_serve.h"
#include "peers/peer_state.h"
#include "peers/peers_priv.h"
#include "runtime/events.h"

/* ---- telling ---- */

void peers_forget_user(struct control *c, const char *user)
{
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (peer_engine_is_old(e) && peer_engine_is_up(e))
            json_pipe_send(e->pipe, "forget",
                           user ? json_pack("{s:s}", "user", user) : json_object());
    }
}

void peers_tell_event(struct control *c, const struct event_view *v)
{
    json_t *texts = NULL;
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->role != PEER_ENGINE_NEW || !e->pipe || !e->is_greeted)
            continue;
        texts = json_array();
        for (size_t i = 0; i < EVENT_ENGINE; i++)
            (void)json_array_append_new(texts, request_json(str_of(v->texts[i])));
        json_pipe_send(e->pipe, "event",
                       json_pack("{s:I, s:b, s:I, s:I, s:I, s:o}", "time", (json_int_t)v->time_ms,
                                 "end", (int)v->is_end, "age", (json_int_t)v->age_ms, "in",
                                 (json_int_t)v->in_bytes, "out", (json_int_t)v->out_bytes, "texts",
                                 texts));
    }
}

static void peer_tell_watched(struct peer_engine *e, bool is_watched)
{
    json_pipe_send(e->pipe, "watch", json_pack("{s:b}", "on", (int)is_watched));
}

void peers_tell_watched(struct control *c, bool is_watched)
{
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (peer_engine_is_old(e) && peer_engine_is_up(e))
            peer_tell_watched(e, is_watched);
    }
}

void peers_tell_ban(struct control *c, const struct rule *ban)
{
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (!e->has_ended && peer_engine_is_up(e))
            peer_state_tell_ban(e, ban);
    }
}

void peer_tell_ops(const struct peers *p, struct peer_engine *e, bool is_anew)
{
    json_t *rows = p->hooks->ops(p->control, is_anew);
    if (rows)
        json_pipe_send(e->pipe, "ops", json_pack("{s:o}", "rows", rows));
}

/* ---- hearing ---- */

static int hear_hello(struct peers *p, struct peer_engine *e, const json_t *m)
{
    const char *version = json_string_value(json_object_get(m, "version"));
    uint64_t workers = json_number(m, "workers");
    if (json_number(m, "protocol") != PEERS_PROTOCOL || workers == 0 ||
        workers > PEER_ENGINE_WORKERS_MAX || json_number(m, "pid") != e->pid)
        return -ERR_PROTOCOL;
    e->start = (unsigned)json_number(m, "start");
    e->n_workers = (size_t)workers;
    (void)str_copy(e->version, sizeof(e->version), str_of(version ? version : ""));
    e->is_greeted = true;
    LOG_EVENT(LOG_LEVEL_NOTICE, "engine-linked", KV_U64("pid", e->pid),
              KV_STR("role", peer_engine_is_old(e) ? "old" : "new"), KV_STR("version", e->version));
    if (!peer_engine_is_old(e)) {
        peer_counts_send(p->control->host, e);
        peer_limits_send(p->control->limit_service, e);
        peer_tell_ops(p, e, true);
    } else if (events_are_watched(p->control->events)) {
        peer_tell_watched(e, true);
    }
    return 0;
}

static int hear_rows(struct peers *p, struct peer_engine *e, const json_t *m)
{
    unsigned worker = (unsigned)json_number(m, "w");
    struct peer_ask *a = peer_ask_find(e, PEER_ASK_QUERY, json_number(m, "n"), worker);
    struct session_chunk *chunk;
    (void)p;
    if (!a)
        return 0; /* nobody waits for it any more */
    int err = session_chunk_read(m, e->start, &chunk);
    if (err < 0)
        return err;
    chunk->number = a->number;
    chunk->worker = (unsigned)peer_engine_worker(e, worker);
    chunk->mail.fn = a->deliver;
    struct mailbox *reply = a->reply;
    if (chunk->is_last)
        peer_ask_free(e, a);
    else
        a->is_idle = true;
    mailbox_post(reply, &chunk->mail);
    return 0;
}

static int hear_ids(struct peer_engine *e, const json_t *m, enum peer_ask_kind kind)
{
    unsigned worker = (unsigned)json_number(m, "w");
    struct peer_ask *a = peer_ask_find(e, kind, json_number(m, "n"), worker);
    struct session_killed *killed;
    if (!a)
        return 0;
    int err = session_killed_read(m, e->start, a->n_ids, &killed);
    if (err < 0)
        return err;
    a->n_ended += killed->n;
    if (a->n_ended > a->n_ids) {
        free(killed);
        return -ERR_PROTOCOL;
    }
    killed->number = a->number;
    killed->worker = (unsigned)peer_engine_worker(e, worker);
    killed->mail.fn = a->deliver;
    killed->is_last = killed->is_last || kind != PEER_ASK_KILL; /* older engines do not say so */
    struct mailbox *reply = a->reply;
    if (killed->is_last)
        peer_ask_free(e, a);
    mailbox_post(reply, &killed->mail);
    return 0;
}

static int hear_killed(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)p;
    return hear_ids(e, m, PEER_ASK_KILL);
}

static int hear_held(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)p;
    return hear_ids(e, m, PEER_ASK_HOLD);
}

static int hear_synced(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)p;
    return hear_ids(e, m, PEER_ASK_SYNC);
}

static int hear_counts(struct peers *p, struct peer_engine *e, const json_t *m)
{
    return peer_counts_take(p->control->host, e, m);
}

static int hear_conflicts(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)p;
    return peer_conflicts_take(e, m);
}

static int hear_limits(struct peers *p, struct peer_engine *e, const json_t *m)
{
    return peer_limits_take(p->control->limit_service, e, m);
}

static int hear_ops(struct peers *p, struct peer_engine *e, const json_t *m)
{
    p->hooks->on_ops(p->control, e->pid, json_object_get(m, "rows"));
    return 0;
}

static int hear_cancel(struct peers *p, struct peer_engine *e, const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    if (!id)
        return -ERR_PROTOCOL;
    p->hooks->cancel(p->control, id);
    peer_tell_ops(p, e, false);
    return 0;
}

static int hear_event(struct peers *p, struct peer_engine *e, const json_t *m)
{
    const json_t *texts = json_object_get(m, "texts");
    struct event_view v = {.time_ms = json_number(m, "time"),
                           .is_end = json_is_true(json_object_get(m, "end")),
                           .age_ms = json_number(m, "age"),
                           .in_bytes = json_number(m, "in"),
                           .out_bytes = json_number(m, "out")};
    char engine[16];
    (void)snprintf(engine, sizeof(engine), "%u", e->pid);
    /* A program of another age has fewer kinds of texts, or more. */
    for (size_t i = 0; i < EVENT_ENGINE && i < json_array_size(texts); i++)
        v.texts[i] = json_string_value(json_array_get(texts, i));
    v.texts[EVENT_ENGINE] = engine;
    if (!v.texts[EVENT_TYPE])
        return -ERR_PROTOCOL;
    events_take(p->control->events, &v);
    return 0;
}

static int hear_watch(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)e;
    events_watch_elsewhere(p->control->events, json_is_true(json_object_get(m, "on")));
    return 0;
}

/* The last word: its sessions are over. */
static int hear_end(struct peers *p, struct peer_engine *e, const json_t *m)
{
    (void)m;
    e->has_ended = true;
    peer_counts_drop(p->control->host, e);
    peer_limits_drop(p->control->limit_service, e);
    return 0;
}

static int hear_traced(struct peers *p, struct peer_engine *e, const json_t *m)
{
    struct session_trace_event *event;
    uint64_t worker = json_number(m, "w");
    int err = worker < e->n_workers ? session_trace_event_read(m, e->start, &event) : -ERR_PROTOCOL;
    if (err < 0)
        return err;
    event->number = json_number(m, "n");
    event->worker = (unsigned)peer_engine_worker(e, (unsigned)worker);
    p->hooks->on_traced(p->control, event);
    return 0;
}

#define HEAR_SERVE(what)                                                                           \
    static int hear_##what(struct peers *p, struct peer_engine *e, const json_t *m)                \
    {                                                                                              \
        return peer_serve_##what(p->control->peer_serve, e, m);                                    \
    }
HEAR_SERVE(query)
HEAR_SERVE(next)
HEAR_SERVE(kill)
HEAR_SERVE(hold)
HEAR_SERVE(wake)
HEAR_SERVE(trace)
HEAR_SERVE(trace_end)
HEAR_SERVE(trace_seen)

#define HEAR_STATE(what)                                                                           \
    static int hear_##what(struct peers *p, struct peer_engine *e, const json_t *m)                \
    {                                                                                              \
        return peer_state_##what(p->control, e, m);                                                \
    }
HEAR_STATE(forget)
HEAR_STATE(backends)
HEAR_STATE(rules)
HEAR_STATE(level)
HEAR_STATE(sync)

enum { FROM_OLD = 1, FROM_NEW = 2 };

static const struct {
    const char *method;
    unsigned from;
    int (*hear)(struct peers *p, struct peer_engine *e, const json_t *m);
} methods[] = {
    {"hello", FROM_OLD | FROM_NEW, hear_hello},
    {"rows", FROM_OLD, hear_rows},
    {"killed", FROM_OLD, hear_killed},
    {"held", FROM_OLD, hear_held},
    {"traced", FROM_OLD, hear_traced},
    {"counts", FROM_OLD, hear_counts},
    {"conflicts", FROM_OLD, hear_conflicts},
    {"limits", FROM_OLD, hear_limits},
    {"event", FROM_OLD, hear_event},
    {"ops", FROM_OLD, hear_ops},
    {"end", FROM_OLD, hear_end},
    {"synced", FROM_OLD, hear_synced},
    {"query", FROM_NEW, hear_query},
    {"next", FROM_NEW, hear_next},
    {"kill", FROM_NEW, hear_kill},
    {"hold", FROM_NEW, hear_hold},
    {"wake", FROM_NEW, hear_wake},
    {"trace", FROM_NEW, hear_trace},
    {"trace_end", FROM_NEW, hear_trace_end},
    {"trace_seen", FROM_NEW, hear_trace_seen},
    {"forget", FROM_NEW, hear_forget},
    {"backends", FROM_NEW, hear_backends},
    {"rules", FROM_NEW | FROM_OLD, hear_rules},
    {"level", FROM_NEW, hear_level},
    {"watch", FROM_NEW, hear_watch},
    {"cancel", FROM_NEW, hear_cancel},
    {"sync", FROM_NEW, hear_sync},
};

int peers_hear(struct peers *p, struct peer_engine *e, const char *method, const json_t *params)
{
    unsigned from = e->role == PEER_ENGINE_OLD ? FROM_OLD : FROM_NEW;
    for (size_t i = 0; method && i < ARRAY_LEN(methods); i++) {
        if (strcmp(methods[i].method, method) != 0 || !(methods[i].from & from))
            continue;
        bool is_early = !e->is_greeted && methods[i].hear != hear_hello;
        return is_early || !json_is_object(params) ? -ERR_PROTOCOL : methods[i].hear(p, e, params);
    }
    return 0; /* of what a newer program says, this one need not know all */
}
