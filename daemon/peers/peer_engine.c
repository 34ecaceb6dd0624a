/* SPDX-License-Identifier: ISC */
/* What is awaited of another engine, and what comes instead when it does not answer. */
#include "peers/peer_engine.h"

#include "base/log/log.h"

bool peer_engine_is_up(const struct peer_engine *e)
{
    return e->pipe && e->is_greeted && !e->is_silent;
}

size_t peer_engine_worker(const struct peer_engine *e, unsigned worker)
{
    return PEER_ENGINE_WORKERS_MAX * (e->slot + 1) + worker;
}

int peer_ask_begin(struct peer_engine *e, const struct peer_ask *ask)
{
    if (e->n_asks >= PEER_ENGINE_ASKS_MAX)
        return -ERR_TOO_MANY;
    struct peer_ask *a = malloc(sizeof(*a));
    if (!a)
        return -ERR_NOMEM;
    *a = *ask;
    a->since_ms = loop_now_ms(e->loop);
    list_add_tail(&e->asks, &a->link);
    e->n_asks++;
    return 0;
}

struct peer_ask *peer_ask_find(struct peer_engine *e, enum peer_ask_kind kind, uint64_t number,
                               unsigned worker)
{
    LIST_FOREACH (it, &e->asks) {
        struct peer_ask *a = LIST_ITEM(it, struct peer_ask, link);
        if (a->kind == kind && a->number == number && a->worker == worker)
            return a;
    }
    return NULL;
}

void peer_ask_wait(struct peer_engine *e, struct peer_ask *a)
{
    a->is_idle = false;
    a->since_ms = loop_now_ms(e->loop);
}

void peer_ask_free(struct peer_engine *e, struct peer_ask *a)
{
    list_del(&a->link);
    e->n_asks--;
    free(a);
}

/* ---- ends without an answer ---- */

/* Without memory there is no answer, and who waits for it gives up in time. */
void peer_ask_fail(enum peer_ask_kind kind, uint64_t number, size_t worker, struct mailbox *reply,
                   void (*deliver)(struct mail *m, void *owner))
{
    if (!reply)
        return;
    struct session_chunk *c = kind == PEER_ASK_QUERY ? session_chunk_new(0, 0) : NULL;
    struct session_killed *k = kind == PEER_ASK_QUERY ? NULL : calloc(1, sizeof(*k));
    if (c) {
        c->mail.fn = deliver;
        c->number = number;
        c->worker = (unsigned)worker;
        c->is_last = true;
        mailbox_post(reply, &c->mail);
    }
    if (k) {
        k->mail.fn = deliver;
        k->number = number;
        k->worker = (unsigned)worker;
        k->is_told = k->is_last = true;
        mailbox_post(reply, &k->mail);
    }
}

void peer_engine_fail(struct peer_engine *e)
{
    LIST_FOREACH_SAFE (it, &e->asks) {
        struct peer_ask *a = LIST_ITEM(it, struct peer_ask, link);
        peer_ask_fail(a->kind, a->number, peer_engine_worker(e, a->worker), a->reply, a->deliver);
        peer_ask_free(e, a);
    }
}

bool peer_engine_is_late(const struct peer_engine *e)
{
    uint64_t now = loop_now_ms(e->loop);
    uint64_t heard = e->pipe ? json_pipe_heard_ms(e->pipe) : e->linked_ms;
    LIST_FOREACH (it, &e->asks) {
        const struct peer_ask *a = LIST_ITEM(it, struct peer_ask, link);
        uint64_t since = a->since_ms > heard ? a->since_ms : heard;
        if (!a->is_idle && now >= since + PEER_ENGINE_SILENT_MS)
            return true;
    }
    return false;
}
