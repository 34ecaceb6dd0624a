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
    while (!list_is_empty(&s->asks)) {
        struct ask *a = LIST_ITEM(s->asks.next, struct ask, link);
        a->on_end(a);
    }
    map_fini(&s->by_number);
    free(s);
}

int ask_begin(struct control *c, struct ask *a)
{
    a->control = c;
    a->number = rpc_next_number(&c->rpc);
    list_init(&a->link);
    int err = map_put(&c->sessions->by_number, map_key_u64(&a->number), a, NULL);
    if (err == 0)
        list_add_tail(&c->sessions->asks, &a->link);
    return err;
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
    struct collect_spec spec;
    struct loop_timer timer;
    struct loop_deferred soon;
    size_t n_waiting; /* workers that have not finished */
    uint64_t seen, matched;
};

static void collect_finish(struct ask_collect *c, int err)
{
    struct loop *l = c->ask.control->host->loop;
    loop_timer_cancel(l, &c->timer);
    loop_undefer(&c->soon);
    ask_end(&c->ask);
    c->spec.done(c->spec.arg, err, c->seen, c->matched);
    filter_unref(c->spec.filter);
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
        c->n_waiting--;
    }
    bool is_going_on = c->spec.chunk(c->spec.arg, chunk);
    if (!is_going_on)
        collect_abort(c, 0);
    else if (c->n_waiting == 0)
        collect_finish(c, 0);
    else if (!is_last && worker_query_next(a->control, worker, a->number, false) < 0)
        collect_abort(c, -ERR_NOMEM);
}

static void on_collect_timeout(struct loop_timer *t)
{
    collect_abort(CONTAINER_OF(t, struct ask_collect, timer), -ERR_TIMEOUT);
}

static void on_collect_soon(struct loop_deferred *d)
{
    collect_finish(CONTAINER_OF(d, struct ask_collect, soon), 0);
}

static void on_collect_end(struct ask *a)
{
    collect_finish(CONTAINER_OF(a, struct ask_collect, ask), -ERR_SHUTDOWN);
}

static int collect_post(struct ask_collect *c, const struct collect_spec *spec)
{
    const struct engine_api *h = c->ask.control->host;
    AUTO_FREE uint64_t *ids = spec->ids ? calloc(spec->n_ids + 1, sizeof(*ids)) : NULL;
    struct session_query_spec q = {.number = c->ask.number,
                                   .reply = loop_mailbox(h->loop),
                                   .deliver = ask_deliver_chunk,
                                   .filter = spec->filter,
                                   .ids = ids,
                                   .fields = spec->fields,
                                   .is_grouped = spec->is_grouped,
                                   .is_by_net = spec->is_by_net,
                                   .group_by = spec->group_by,
                                   .is_sorted = spec->is_sorted,
                                   .is_keys = spec->is_keys,
                                   .order = spec->order,
                                   .after = spec->after,
                                   .limit = spec->limit};
    if (spec->ids && !ids)
        return -ERR_NOMEM;
    for (size_t w = 0; worker_next(c->ask.control, &w); w++) {
        q.n_ids = 0; /* those of this worker */
        for (size_t i = 0; ids && i < spec->n_ids; i++)
            if (worker_has(c->ask.control, w, spec->ids[i]))
                ids[q.n_ids++] = spec->ids[i];
        if (ids && q.n_ids == 0)
            continue;
        int err = worker_query(c->ask.control, w, &q);
        if (err < 0)
            return err;
        c->n_waiting++;
    }
    return 0;
}

int collect_start(struct control *control, const struct collect_spec *spec)
{
    struct ask_collect *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->spec = *spec;
    c->spec.ids = NULL; /* theirs, as after */
    c->spec.after = NULL;
    c->ask = (struct ask){.on_chunk = on_collect_chunk, .on_end = on_collect_end};
    loop_timer_init(&c->timer, on_collect_timeout);
    list_init(&c->soon.link);
    c->soon.fn = on_collect_soon;
    if (ask_begin(control, &c->ask) < 0) {
        free(c);
        return -ERR_NOMEM;
    }
    if (c->spec.filter)
        filter_ref(c->spec.filter);
    if (collect_post(c, spec) < 0) {
        /* Answers of the workers that were asked find nobody. */
        ask_end(&c->ask);
        filter_unref(c->spec.filter);
        free(c);
        return -ERR_NOMEM;
    }
    if (c->n_waiting == 0)
        loop_again(control->host->loop, &c->soon);
    else
        loop_timer_set(control->host->loop, &c->timer, COLLECT_TIMEOUT_MS);
    return 0;
}
