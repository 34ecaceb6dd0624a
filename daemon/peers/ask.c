/* SPDX-License-Identifier: ISC */
/* Questions to all workers, and their answers. */
#include "peers/ask.h"

#include "base/log/log.h"
#include "peers/workers.h"
#include "runtime/state.h"

#define COLLECT_TIMEOUT_MS 30000

struct sessions {
    struct control *control;
    struct map by_number; /* struct ask */
    struct list asks;
};

static void ask_over(struct ask *a, int err)
{
    ask_end(a);
    a->on_over(a, err);
}

int sessions_new(struct control *c, struct sessions **ret)
{
    struct sessions *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->control = c;
    list_init(&s->asks);
    *ret = s;
    return 0;
}

void sessions_free(struct sessions *s)
{
    if (!s)
        return;
    while (!list_is_empty(&s->asks))
        ask_over(LIST_ITEM(s->asks.next, struct ask, link), -ERR_SHUTDOWN);
    map_fini(&s->by_number);
    free(s);
}

static void on_ask_timeout(struct loop_timer *t)
{
    ask_over(CONTAINER_OF(t, struct ask, timer), -ERR_TIMEOUT);
}

int ask_begin(struct control *c, struct ask *a)
{
    a->control = c;
    a->number = rpc_next_number(&c->rpc);
    list_init(&a->link);
    loop_timer_init(&a->timer, on_ask_timeout);
    int err = map_put(&c->sessions->by_number, map_key_u64(&a->number), a, NULL);
    if (err == 0)
        list_add_tail(&c->sessions->asks, &a->link);
    return err;
}

void ask_wait(struct ask *a, uint64_t ms)
{
    loop_timer_set(a->control->host->loop, &a->timer, ms);
}

struct ask *ask_find(struct control *c, uint64_t number)
{
    return map_get(&c->sessions->by_number, map_key_u64(&number));
}

struct ask *ask_first(struct control *c)
{
    struct list *first = c->sessions->asks.next;
    return first == &c->sessions->asks ? NULL : LIST_ITEM(first, struct ask, link);
}

struct ask *ask_after(struct control *c, struct ask *a)
{
    return a->link.next == &c->sessions->asks ? NULL : LIST_ITEM(a->link.next, struct ask, link);
}

void ask_end(struct ask *a)
{
    loop_timer_cancel(a->control->host->loop, &a->timer);
    list_del(&a->link);
    (void)map_del(&a->control->sessions->by_number, map_key_u64(&a->number));
}

void ask_deliver_chunk(struct mail *m, void *owner)
{
    struct session_chunk *chunk = CONTAINER_OF(m, struct session_chunk, mail);
    struct control *c = control_of(owner);
    struct ask *a = ask_find(c, chunk->number);
    if (a && a->on_chunk)
        a->on_chunk(a, chunk);
    else
        session_chunk_free(chunk);
}

void ask_deliver_killed(struct mail *m, void *owner)
{
    struct session_killed *killed = CONTAINER_OF(m, struct session_killed, mail);
    struct control *c = control_of(owner);
    struct ask *a = ask_find(c, killed->number);
    if (a && a->on_killed)
        a->on_killed(a, killed);
    if (a && killed->is_last && --a->n_waiting == 0)
        ask_over(a, 0);
    free(killed);
}

void sessions_wake(struct control *c, const char *user)
{
    for (size_t w = 0; worker_next(c, &w); w++)
        if (worker_wake(c, w, user) < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "wake-failed", KV_U64("worker", w));
}

/* ---- collecting from all workers at once ---- */

struct ask_collect {
    struct ask ask;
    bool (*chunk)(void *arg, struct session_chunk *chunk);
    void (*done)(void *arg, int err, uint64_t seen, uint64_t matched);
    void *arg;
    struct loop_deferred soon;
    uint64_t seen, matched;
};

static void collect_finish(struct ask_collect *c, int err)
{
    loop_undefer(&c->soon);
    ask_end(&c->ask);
    c->done(c->arg, err, c->seen, c->matched);
    free(c);
}

/* Workers that still walk are told to stop. */
static void collect_abort(struct ask_collect *c, int err)
{
    for (size_t w = 0; worker_next(c->ask.control, &w); w++)
        (void)!worker_query_next(c->ask.control, w, c->ask.number, true);
    collect_finish(c, err);
}

static void on_collect_chunk(struct ask *a, struct session_chunk *chunk)
{
    struct ask_collect *c = CONTAINER_OF(a, struct ask_collect, ask);
    unsigned worker = chunk->worker;
    bool is_last = chunk->is_last;
    if (is_last) {
        c->seen += chunk->seen;
        c->matched += chunk->matched;
        a->n_waiting--;
    }
    bool is_going_on = c->chunk(c->arg, chunk);
    if (!is_going_on)
        collect_abort(c, 0);
    else if (a->n_waiting == 0)
        collect_finish(c, 0);
    else if (!is_last && worker_query_next(a->control, worker, a->number, false) < 0)
        collect_abort(c, -ERR_NOMEM);
}

static void on_collect_soon(struct loop_deferred *d)
{
    collect_finish(CONTAINER_OF(d, struct ask_collect, soon), 0);
}

static void on_collect_over(struct ask *a, int err)
{
    struct ask_collect *c = CONTAINER_OF(a, struct ask_collect, ask);
    if (err == -ERR_TIMEOUT)
        collect_abort(c, err);
    else
        collect_finish(c, err);
}

static int collect_post(struct ask_collect *c, const struct session_query_spec *asked)
{
    AUTO_FREE uint64_t *ids = asked->ids ? calloc(asked->n_ids + 1, sizeof(*ids)) : NULL;
    struct session_query_spec q = *asked;
    q.number = c->ask.number;
    q.reply = loop_mailbox(c->ask.control->host->loop);
    q.deliver = ask_deliver_chunk;
    q.ids = ids;
    if (asked->ids && !ids)
        return -ERR_NOMEM;
    for (size_t w = 0; worker_next(c->ask.control, &w); w++) {
        q.n_ids = 0; /* those of this worker */
        for (size_t i = 0; ids && i < asked->n_ids; i++)
            if (worker_has(c->ask.control, w, asked->ids[i]))
                ids[q.n_ids++] = asked->ids[i];
        if (ids && q.n_ids == 0)
            continue;
        int err = worker_query(c->ask.control, w, &q);
        if (err < 0)
            return err;
        c->ask.n_waiting++;
    }
    return 0;
}

int collect_start(struct control *control, const struct collect_spec *spec)
{
    struct ask_collect *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->ask = (struct ask){.on_chunk = on_collect_chunk, .on_over = on_collect_over};
    c->chunk = spec->chunk;
    c->done = spec->done;
    c->arg = spec->arg;
    list_init(&c->soon.link);
    c->soon.fn = on_collect_soon;
    if (ask_begin(control, &c->ask) < 0) {
        free(c);
        return -ERR_NOMEM;
    }
    if (collect_post(c, &spec->query) < 0) {
        /* Answers of the workers that were asked find nobody. */
        ask_end(&c->ask);
        free(c);
        return -ERR_NOMEM;
    }
    if (c->ask.n_waiting == 0)
        loop_again(control->host->loop, &c->soon);
    else
        ask_wait(&c->ask, COLLECT_TIMEOUT_MS);
    return 0;
}
