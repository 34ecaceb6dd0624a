/* SPDX-License-Identifier: ISC */
/* Connections to other engines: who they are, and commands that wait for them. */
#include <unistd.h>

#include "base/log/log.h"
#include "peers/peer_conflicts.h"
#include "peers/peer_counts.h"
#include "peers/peer_limits.h"
#include "peers/peer_serve.h"
#include "peers/peer_state.h"
#include "peers/peers_priv.h"

#define PEERS_TICK_MS 250
#define PEERS_GREETING_MS 2000 /* commands wait so long for the greeting of an engine */

/* A change whose answer waits until others have taken it in. */
struct peers_sync {
    struct list link;
    struct peers *peers;
    struct request *request;
    uint64_t number;
    size_t n_waiting;
};

static void on_pipe_message(void *arg, const json_t *m);
static void on_pipe_closed(void *arg, const char *why);
static const struct json_pipe_ops pipe_ops = {.message = on_pipe_message, .closed = on_pipe_closed};

/* ---- who is there ---- */

bool peers_is_any(const struct control *c)
{
    LIST_FOREACH (it, &c->peer_engines)
        if (peer_engine_is_old(LIST_ITEM(it, struct peer_engine, link)))
            return true;
    return false;
}

char *peers_silent(const struct control *c)
{
    AUTO_BUF text = BUF_INIT;
    LIST_FOREACH (it, &c->peer_engines) {
        const struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (peer_engine_is_old(e) && !peer_engine_is_up(e))
            (void)!buf_printf(&text, "%s%u", text.len ? ", " : "", e->pid);
    }
    return text.len ? buf_steal(&text) : NULL;
}

/* The same as an array of objects for an answer; NULL. */
static json_t *peers_silent_json(const struct control *c)
{
    json_t *list = NULL;
    LIST_FOREACH (it, &c->peer_engines) {
        const struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (!peer_engine_is_old(e) || peer_engine_is_up(e))
            continue;
        AUTO_FREE char *name = str_printf("engine %u", e->pid);
        const char *why = !e->pipe        ? "there is no connection to it"
                          : e->is_greeted ? "it does not answer"
                                          : "it has not greeted";
        list = list ? list : json_array();
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:I, s:s}", "name", name ? name : "engine",
                                              "sessions", (json_int_t)e->sessions, "text", why));
    }
    return list;
}

json_t *peers_unreached(struct rpc *rpc, const struct request *r)
{
    if (commands_reach(r->command) <= COMMAND_REACH_HERE)
        return NULL;
    return peers_silent_json(rpc_control(rpc));
}

/* ---- commands that wait ---- */

/* Just after an upgrade the engine that was replaced takes a moment to greet; of one that is gone
 * the supervisor takes a moment to hear. */
static bool peers_are_settling(const struct peers *p)
{
    const struct engine_api *h = p->control->host;
    if (p->is_retired)
        return false;
    if (h->is_successor && !p->is_listed &&
        loop_now_ms(h->loop) < h->started_ms + PEERS_GREETING_MS)
        return true;
    LIST_FOREACH (it, &p->control->peer_engines) {
        const struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (peer_engine_is_old(e) && !e->is_greeted &&
            loop_now_ms(e->loop) < e->linked_ms + PEERS_GREETING_MS)
            return true;
    }
    return false;
}

static void peers_run_waiting(struct peers *p)
{
    struct list ready;
    if (peers_are_settling(p))
        return;
    list_init(&ready);
    list_splice_tail(&ready, &p->waiting);
    while (!list_is_empty(&ready)) {
        struct request *r = LIST_ITEM(ready.next, struct request, wait);
        list_del(&r->wait);
        request_run(r);
    }
}

static void peers_turn(struct peers *p);

/* ---- places of backends with a limit ---- */

void peers_claim_places(struct control *c)
{
    if (c->host->is_successor && !c->peers->claim)
        c->peers->claim = peer_counts_claim(c->host);
    peers_turn(c->peers);
}

/* Over when every engine before this one has told, or will not. */
static void peers_end_claim(struct peers *p)
{
    bool is_over = !peers_are_settling(p);
    LIST_FOREACH (it, &p->control->peer_engines) {
        const struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        is_over = is_over && (!peer_engine_is_old(e) || !peer_engine_is_up(e) || e->counts);
    }
    if (is_over && p->claim)
        peer_counts_unclaim(p->control->host, STEAL(p->claim));
}

bool peers_hold_back(struct rpc *rpc, struct request *r)
{
    struct peers *p = rpc_control(rpc)->peers;
    if (commands_reach(r->command) <= COMMAND_REACH_HERE || !peers_are_settling(p))
        return false;
    list_add_tail(&p->waiting, &r->wait);
    peers_turn(p);
    return true;
}

/* ---- changes that others take in ---- */

/* An engine has taken it in, or will not: it is named in the answer then. */
static void on_synced(struct mail *m, void *owner)
{
    struct session_killed *k = CONTAINER_OF(m, struct session_killed, mail);
    struct control *c = control_of(owner);
    uint64_t number = k->number;
    free(k);
    if (!c || !c->peers)
        return;
    LIST_FOREACH (it, &c->peers->syncs) {
        struct peers_sync *s = LIST_ITEM(it, struct peers_sync, link);
        if (s->number != number)
            continue;
        if (--s->n_waiting == 0) {
            struct request *r = s->request;
            list_del(&s->link);
            free(s);
            request_release(r);
        }
        return;
    }
}

bool peers_spread(struct rpc *rpc, struct request *r)
{
    struct control *c = rpc_control(rpc);
    struct peers *p = c->peers;
    if (commands_reach(r->command) < COMMAND_REACH_USERS || !peers_is_any(c))
        return false;
    struct peers_sync *s = calloc(1, sizeof(*s)); /* NULL: they are told, and not waited for */
    if (s)
        *s = (struct peers_sync){.peers = p, .request = r, .number = rpc_next_number(&c->rpc)};
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (!peer_engine_is_old(e) || !peer_engine_is_up(e))
            continue;
        peer_state_tell(e, commands_reach(r->command), r);
        if (s) {
            /* Asks it to say when it has taken in all that it was told. */
            const struct peer_ask ask = {.kind = PEER_ASK_SYNC,
                                         .number = s->number,
                                         .reply = loop_mailbox(e->loop),
                                         .deliver = on_synced};
            if (peer_ask_begin(e, &ask) >= 0) {
                json_pipe_send(e->pipe, "sync", json_pack("{s:I}", "n", (json_int_t)s->number));
                s->n_waiting++;
            }
        }
    }
    if (!s || s->n_waiting == 0) {
        free(s);
        return false;
    }
    list_add_tail(&p->syncs, &s->link);
    return true;
}

/* ---- what they say ---- */

static void peer_lose(struct peers *p, struct peer_engine *e, const char *why);

static void on_pipe_message(void *arg, const json_t *m)
{
    struct peer_engine *e = arg;
    struct peers *p = ((struct control *)e->owner)->peers;
    if (e->is_silent) {
        e->is_silent = false;
        LOG_EVENT(LOG_LEVEL_NOTICE, "engine-answers", KV_U64("pid", e->pid));
        if (e->is_greeted && peer_engine_is_old(e)) { /* what it missed is told now */
            peer_state_tell_all(e);
            p->hooks->on_answers(p->control, e->pid);
        }
    }
    int err = peers_hear(p, e, json_string_value(json_object_get(m, "method")),
                         json_object_get(m, "params"));
    if (err < 0) {
        peer_lose(p, e, err_text(err));
        return;
    }
    peers_run_waiting(p);
    peers_end_claim(p);
}

/* ---- links ---- */

static void peer_free(struct peers *p, struct peer_engine *e)
{
    if (e->role == PEER_ENGINE_OLD)
        p->hooks->on_gone(p->control, e->pid);
    peer_serve_forget(p->control->peer_serve, e);
    peer_counts_drop(p->control->host, e);
    peer_limits_drop(p->control->limit_service, e);
    peer_engine_fail(e);
    json_pipe_free(e->pipe);
    json_decref(e->conflicts);
    list_del(&e->link);
    free(e);
}

/* The connection is gone. The engine may be there still: then it is named, in a moment. */
static void peer_lose(struct peers *p, struct peer_engine *e, const char *why)
{
    LOG_EVENT(e->is_listed ? LOG_LEVEL_WARN : LOG_LEVEL_NOTICE, "engine-unlinked",
              KV_U64("pid", e->pid), KV_STR("reason", why));
    if (!e->is_listed || e->role == PEER_ENGINE_NEW) {
        peer_free(p, e);
    } else {
        peer_serve_forget(p->control->peer_serve, e);
        peer_counts_drop(p->control->host, e);
        peer_limits_drop(p->control->limit_service, e);
        peer_engine_fail(e);
        json_pipe_free(STEAL(e->pipe));
        json_decref(STEAL(e->conflicts));
        e->conflicts_told = 0;
        e->is_greeted = false;
        e->linked_ms =
            loop_now_ms(e->loop); /* the supervisor may just be about to say that it ended */
    }
    peers_run_waiting(p);
}

static void on_pipe_closed(void *arg, const char *why)
{
    struct peer_engine *e = arg;
    peer_lose(((struct control *)e->owner)->peers, e, why);
}

static struct peer_engine *peers_find(const struct control *c, uint32_t pid)
{
    LIST_FOREACH (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->pid == pid)
            return e;
    }
    return NULL;
}

/* NULL: no memory, or too many. */
static struct peer_engine *peers_add(struct control *c, uint32_t pid, enum peer_engine_role role)
{
    size_t slot = 0;
    for (; slot < PEER_ENGINES_MAX; slot++) {
        bool is_free = true;
        LIST_FOREACH (it, &c->peer_engines)
            is_free = is_free && LIST_ITEM(it, struct peer_engine, link)->slot != slot;
        if (is_free)
            break;
    }
    struct peer_engine *e = slot < PEER_ENGINES_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    *e = (struct peer_engine){.loop = c->host->loop,
                              .owner = c,
                              .role = role,
                              .pid = pid,
                              .slot = slot,
                              .linked_ms = loop_now_ms(c->host->loop)};
    list_init(&e->asks);
    list_add_tail(&c->peer_engines, &e->link);
    return e;
}

static void peers_forget_role(struct control *c, enum peer_engine_role role)
{
    LIST_FOREACH_SAFE (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->role == role)
            peer_free(c->peers, e);
    }
}

void peers_link(struct control *c, int fd, uint32_t pid, bool is_successor)
{
    struct peers *p = c->peers;
    if (is_successor)
        peers_forget_role(c, PEER_ENGINE_NEW);
    struct peer_engine *e = peers_find(c, pid);
    if (e && e->pipe)
        peer_lose(p, e, "there is a new connection");
    e = peers_find(c, pid); /* losing it may have been its end */
    if (!e)
        e = peers_add(c, pid, is_successor ? PEER_ENGINE_NEW : PEER_ENGINE_OLD);
    int err = e ? json_pipe_new(c->host->loop, fd, &pipe_ops, e, &e->pipe) : -ERR_NOMEM;
    if (err < 0) {
        close(fd);
        LOG_EVENT(LOG_LEVEL_ERROR, "engine-not-linked", KV_U64("pid", pid), KV_ERR("error", err));
        return;
    }
    e->is_silent = false;
    e->linked_ms = loop_now_ms(c->host->loop);
    json_pipe_send(e->pipe, "hello",
                   json_pack("{s:i, s:s, s:i, s:i, s:i}", "protocol", PEERS_PROTOCOL, "version",
                             MAILPROXY_VERSION, "pid", (int)getpid(), "start", (int)c->host->start,
                             "workers", (int)c->host->n_workers));
    peers_turn(p);
}

void peers_listed(struct control *c)
{
    size_t n;
    struct peers *p = c->peers;
    const struct control_old *olds = c->host->olds(c->host->arg, &n);
    p->is_listed = true;
    LIST_FOREACH (it, &c->peer_engines)
        LIST_ITEM(it, struct peer_engine, link)->is_listed = false;
    for (size_t i = 0; i < n && !p->is_retired; i++) {
        struct peer_engine *e = peers_find(c, olds[i].pid);
        if (!e && !(e = peers_add(c, olds[i].pid, PEER_ENGINE_OLD)))
            continue;
        e->is_listed = true;
        e->since_ms = olds[i].since_ms;
        e->sessions = olds[i].sessions;
    }
    LIST_FOREACH_SAFE (it, &c->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->role == PEER_ENGINE_OLD && !e->is_listed)
            peer_free(p, e);
    }
    peers_turn(p);
    peers_run_waiting(p);
}

void peers_retire(struct control *c)
{
    c->peers->is_retired = true;
    peers_forget_role(c, PEER_ENGINE_OLD);
    peers_run_waiting(c->peers);
}

/* ---- time ---- */

static void on_peers_tick(struct loop_timer *t)
{
    struct peers *p = CONTAINER_OF(t, struct peers, tick);
    LIST_FOREACH (it, &p->control->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        uint64_t now = loop_now_ms(e->loop);
        if (!peer_engine_is_old(e) && e->pipe && e->is_greeted)
            peer_limits_send(p->control->limit_service, e);
        /* Whoever finishes tells what it counts, which is also a sign that it lives. */
        if (!peer_engine_is_old(e) && e->pipe && e->is_greeted &&
            now >= e->counted_ms + PEER_COUNTS_MS) {
            e->counted_ms = now;
            peer_counts_send(p->control->host, e);
            peer_conflicts_send(p->control, e);
            peer_tell_ops(p, e, false);
        }
        if (e->is_silent || !peer_engine_is_late(e))
            continue;
        LOG_EVENT(LOG_LEVEL_WARN, "engine-silent", KV_U64("pid", e->pid));
        e->is_silent = true;
        peer_counts_drop(p->control->host, e); /* nobody knows what is left of it */
        peer_engine_fail(e);
    }
    peers_run_waiting(p);
    peers_end_claim(p);
    peers_turn(p);
}

/* The timer runs while there is anybody. */
static void peers_turn(struct peers *p)
{
    if (!list_is_empty(&p->control->peer_engines) || !list_is_empty(&p->waiting) || p->claim)
        loop_timer_set(p->control->host->loop, &p->tick, PEERS_TICK_MS);
}

/* ---- life ---- */

int peers_new(struct control *c, const struct peers_hooks *hooks, struct peers **ret)
{
    struct peers *p = calloc(1, sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    p->control = c;
    p->hooks = hooks;
    loop_timer_init(&p->tick, on_peers_tick);
    list_init(&p->waiting);
    list_init(&p->syncs);
    *ret = p;
    return 0;
}

void peers_free(struct peers *p)
{
    if (!p)
        return;
    loop_timer_cancel(p->control->host->loop, &p->tick);
    peer_counts_unclaim(p->control->host, STEAL(p->claim));
    LIST_FOREACH_SAFE (it, &p->waiting) {
        struct request *r = LIST_ITEM(it, struct request, wait);
        list_del(&r->wait);
        request_abandon(r);
    }
    LIST_FOREACH_SAFE (it, &p->syncs) {
        struct peers_sync *s = LIST_ITEM(it, struct peers_sync, link);
        list_del(&s->link);
        request_abandon(s->request);
        free(s);
    }
    LIST_FOREACH_SAFE (it, &p->control->peer_engines) {
        struct peer_engine *e = LIST_ITEM(it, struct peer_engine, link);
        if (e->role == PEER_ENGINE_NEW && e->pipe) {
            peer_tell_ops(p, e, false);
            json_pipe_send(e->pipe, "end", json_object());
        }
        peer_free(p, e);
    }
    free(p);
}
