/* SPDX-License-Identifier: ISC */
/* Commands of this node that are to hold at all: kept in its own store, also over a restart, until
 * they have come back from the fleet's and each node that was known then has taken them. The
 * fleet's store may lose what it has (its data is flushed, a replica that lacks the last writes is
 * promoted), without anybody noticing: whoever has not said that it took a command has it sent
 * again, with the same number, and takes it once. */
#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/commands/fleet_order.h"
#include "fleet/commands/fleet_run_priv.h"
#include "rpc/json_text.h"
#include "rpc/work.h"
#include "runtime/state.h"

#define QUEUE_KIND "fleet-queue"
#define QUEUE_MAX 1000                            /* commands */
#define QUEUE_BYTES_MAX (8 * 1024 * 1024)         /* of all their texts */
#define QUEUE_TEXT_MAX (FLEET_MESSAGE_MAX - 4096) /* of one: what is added fits, too */
#define QUEUE_AT_ONCE 64                          /* are sent in a turn */
#define QUEUE_RETRY_MS 1000                       /* after the store has refused one */
#define QUEUE_LOOK_MS 500                         /* how often is looked for those that got lost */
#define QUEUE_AGAIN_MIN_MS 1500                   /* a node that is there takes one in so long */
#define QUEUE_AGAIN_MAX_MS 60000                  /* between two times that they are sent again */
#define QUEUE_LIFE_MS (7 * 24 * 3600 * UINT64_C(1000)) /* a node that is away longer misses it */

struct queued {
    struct list link; /* of runs.queue: by their numbers */
    struct fleet_runs *runs;
    char row[24]; /* its name in the store of this node: by their order, too */
    json_t *m;    /* "for": the nodes that have not said yet that they took it */
    size_t bytes;
    redis_fn *cb; /* who wants to know what became of the first try; NULL */
    void *arg;
    bool is_sent;  /* the fleet's store has it, or is asked to take it */
    bool has_come; /* back from there */
    bool has_run;  /* here, and nothing that others say of the same came before it */
    bool is_over;
    bool is_dirty; /* its row is being written, or taken away */
    unsigned pending;
    uint64_t sent_ms; /* monotonic; 0 = not yet */
};

/* Freed once nothing refers to it. */
static void queued_check(struct queued *q)
{
    if (!q->is_over || q->pending > 0)
        return;
    q->runs->n_queue--;
    q->runs->queued_bytes -= q->bytes;
    list_del(&q->link);
    json_decref(q->m);
    free(q);
}

static struct queued *queued_new(struct fleet_runs *f, const char *row, json_t *m, size_t bytes)
{
    struct queued *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    *q = (struct queued){.runs = f, .m = json_incref(m), .bytes = bytes};
    (void)str_copy(q->row, sizeof(q->row), str_of(row));
    struct list *at = f->queue.prev; /* behind those of smaller numbers */
    while (at != &f->queue && fleet_message_number_of(LIST_ITEM(at, struct queued, link)->m) >
                                  fleet_message_number_of(m))
        at = at->prev;
    list_add_head(at, &q->link);
    f->n_queue++;
    f->queued_bytes += bytes;
    return q;
}

/* The nodes that have not taken it yet. */
static json_t *queued_for(const struct queued *q)
{
    return json_object_get(q->m, "for");
}

/* ---- in the store of this node ---- */

struct queued_work {
    struct work work;
    struct queued *queued;
    struct store *store;
    char row[24];
    char *json;   /* NULL: it is taken away */
    redis_fn *cb; /* who wants to know that it is kept; NULL */
    void *arg;
};

static char *queued_text(const struct queued *q)
{
    return json_text_take(
        json_pack("{s:O, s:b, s:b}", "m", q->m, "ran", (int)q->has_run, "came", (int)q->has_come));
}

static int queued_run(struct work *w)
{
    struct queued_work *x = CONTAINER_OF(w, struct queued_work, work);
    return store_runtime_set(x->store, QUEUE_KIND, x->row, x->json);
}

static void queued_done(struct work *w)
{
    struct queued_work *x = CONTAINER_OF(w, struct queued_work, work);
    struct queued *q = x->queued;
    if (w->err < 0) /* it is kept here, and may be lost with this engine */
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-command-not-stored", KV_ERR("error", w->err));
    if (x->cb) {
        const struct redis_result r = {
            .err = w->err < 0 ? w->err : -ERR_UNREACHABLE,
            .error = w->err < 0 ? NULL : "the store of the fleet is not reachable"};
        x->cb(x->arg, &r);
    }
    q->pending--;
    q->is_dirty = q->pending > 0;
    queued_check(q);
}

static void queued_work_fini(struct work *w)
{
    free(CONTAINER_OF(w, struct queued_work, work)->json);
}

/* Its row as it is now. cb: told when that is done; -ERR_NOMEM: it will not be. */
static int queued_write(struct queued *q, redis_fn *cb, void *arg)
{
    struct control *c = q->runs->control;
    char *json = q->is_over ? NULL : queued_text(q);
    struct queued_work *x = json || q->is_over ? work_new(&c->rpc, NULL, sizeof(*x), queued_run,
                                                          queued_done, queued_work_fini)
                                               : NULL;
    if (!x) {
        free(json);
        return -ERR_NOMEM;
    }
    x->queued = q;
    x->store = c->host->store;
    memcpy(x->row, q->row, sizeof(x->row));
    x->json = json;
    x->cb = cb;
    x->arg = arg;
    q->is_dirty = true;
    q->pending++;
    work_post(&x->work, &c->rule_queue);
    return 0;
}

static bool queue_load_row(void *arg, const char *kind, const char *name, const char *json,
                           uint64_t at_ms)
{
    struct fleet_runs *f = arg;
    (void)at_ms;
    if (strcmp(kind, QUEUE_KIND) != 0)
        return strcmp(kind, QUEUE_KIND) < 0;
    json_t *v = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    json_t *m = json_object_get(v, "m");
    struct queued *q = json_is_object(m) && fleet_message_number_of(m) > 0
                           ? queued_new(f, name, m, strlen(json))
                           : NULL;
    if (q) {
        q->has_run = json_is_true(json_object_get(v, "ran"));
        q->has_come = json_is_true(json_object_get(v, "came"));
    }
    if (q && fleet_message_number_of(m) > f->number)
        f->number = fleet_message_number_of(m);
    json_decref(v);
    return true;
}

int fleet_queue_load(struct fleet_runs *f)
{
    int err = store_runtime_each(f->control->host->store, queue_load_row, f);
    if (!list_is_empty(&f->queue))
        loop_timer_set(f->loop, &f->look, QUEUE_LOOK_MS);
    return err;
}

/* ---- their end ---- */

/* Its row goes, and it with it. */
static void queued_over(struct queued *q)
{
    q->is_over = true;
    if (queued_write(q, NULL, NULL) < 0) /* it is sent once more when its row is read again */
        queued_check(q);
}

/* Nodes that have not taken it will not: that is said. */
static void queued_give_up(struct queued *q, const char *why)
{
    const char *method = json_string_value(json_object_get(q->m, "method"));
    const json_t *about = fleet_order_about(q->m); /* no more of it: parameters may be secrets */
    AUTO_FREE char *names = about ? json_dumps(about, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    AUTO_FREE char *nodes = json_dumps(queued_for(q), JSON_COMPACT);
    AUTO_FREE char *text =
        str_printf("%.64s %.200s is not sent any more to nodes that have not taken it (%.200s): %s",
                   method ? method : "", names ? names : "", nodes ? nodes : "", why);
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-command-given-up", KV_STR("method", method),
              KV_STR("nodes", nodes), KV_STR("reason", why));
    control_event(q->runs->control, "fleet", NULL, NULL, NULL, NULL, NULL, text);
    queued_over(q);
}

/* ---- to the fleet's store ---- */

bool fleet_queue_keeps(int err)
{
    return err == -ERR_UNREACHABLE || err == -ERR_CLOSED || err == -ERR_TIMEOUT;
}

static void on_flushed(void *arg, const struct redis_result *r)
{
    struct queued *q = arg;
    struct fleet_runs *f = q->runs;
    redis_fn *cb = STEAL(q->cb);
    bool is_failed = r->err < 0 && !q->is_over;
    bool is_refused = is_failed && cb && !fleet_queue_keeps(r->err);
    if (is_failed) {
        q->is_sent = false;
        loop_timer_set(f->loop, &f->retry, QUEUE_RETRY_MS);
    }
    q->is_over |= is_refused; /* who asked is told so */
    if (cb)
        cb(q->arg, r);
    q->pending--;
    if (is_refused)
        queued_over(q);
    else
        queued_check(q);
}

static int queued_send(struct queued *q)
{
    struct fleet_runs *f = q->runs;
    /* What this node has to say before it: a node that lacks that waits for it. */
    uint64_t before = 0;
    for (const struct list *it = q->link.prev; it != &f->queue && before == 0; it = it->prev)
        if (!LIST_ITEM(it, struct queued, link)->is_over)
            before = fleet_message_number_of(LIST_ITEM(it, struct queued, link)->m);
    request_put_number(q->m, "prev", before);
    request_set_text(q->m, "reply", f->inbox);
    if (q->has_come || q->sent_ms > 0)
        (void)json_object_set_new(q->m, "again", json_true());
    int err =
        fleet_stream_send(fleet_redis(f->fleet), f->secret, f->commands, q->m, 0, on_flushed, q);
    if (err < 0)
        return err;
    q->is_sent = true;
    q->sent_ms = loop_now_ms(f->loop);
    q->pending++;
    return 0;
}

void fleet_runs_flush(struct fleet_runs *f)
{
    unsigned n = 0;
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_sent || q->is_over)
            continue;
        int err = n++ < QUEUE_AT_ONCE ? queued_send(q) : -ERR_BUSY;
        if (err == -ERR_UNREACHABLE)
            return;
        if (err < 0) {
            loop_timer_set(f->loop, &f->retry, n > QUEUE_AT_ONCE ? 1 : QUEUE_RETRY_MS);
            return;
        }
    }
}

static void on_queue_retry(struct loop_timer *t)
{
    fleet_runs_flush(CONTAINER_OF(t, struct fleet_runs, retry));
}

/* ---- once more ---- */

void fleet_queue_again(struct fleet_runs *f)
{
    LIST_FOREACH (it, &f->queue)
        LIST_ITEM(it, struct queued, link)->is_sent = false;
    fleet_runs_flush(f);
}

void fleet_queue_patience(struct fleet_runs *f)
{
    f->heard_ms = loop_now_ms(f->loop);
    f->again_ms = QUEUE_AGAIN_MIN_MS;
}

/* It was sent long enough ago, and has not come back, or a node that is there does not have it. */
static bool queued_is_missed(const struct queued *q, const json_t *alive)
{
    const struct fleet_runs *f = q->runs;
    uint64_t since = q->sent_ms > f->heard_ms ? q->sent_ms : f->heard_ms;
    size_t i;
    json_t *name;
    if (!q->is_sent || q->is_over || loop_now_ms(f->loop) < since + f->again_ms)
        return false;
    json_array_foreach (queued_for(q), i, name)
        if (json_object_get(alive, json_string_value(name)))
            return true;
    return !q->has_come;
}

static void on_queue_look(struct loop_timer *t)
{
    struct fleet_runs *f = CONTAINER_OF(t, struct fleet_runs, look);
    uint64_t wall_ms = clock_wall_ms();
    const struct fleet_nodes *nodes = fleet_nodes(f->fleet);
    json_t *alive = json_object(); /* names of the other nodes that are there */
    bool is_missed = false;
    for (size_t i = 0; alive && i < nodes->n; i++)
        if (fleet_nodes_is_first(nodes, i) && fleet_is_alive(f->fleet, &nodes->v[i]))
            (void)json_object_set_new(alive, nodes->v[i].name, json_true());
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (f->is_retired || q->is_over)
            continue;
        if (fleet_message_number_of(q->m) / 1000 + QUEUE_LIFE_MS < wall_ms)
            queued_give_up(q, "they were away for a week");
        else
            is_missed = is_missed || queued_is_missed(q, alive);
    }
    json_decref(alive);
    if (is_missed) {
        LOG_EVENT(LOG_LEVEL_NOTICE, "fleet-commands-again", KV_U64("commands", f->n_queue));
        fleet_queue_again(f);
        f->again_ms = 2 * f->again_ms < QUEUE_AGAIN_MAX_MS ? 2 * f->again_ms : QUEUE_AGAIN_MAX_MS;
    }
    if (!list_is_empty(&f->queue))
        loop_timer_set(f->loop, &f->look, QUEUE_LOOK_MS);
}

/* ---- their life ---- */

int fleet_queue_add(struct fleet_runs *f, json_t *m, redis_fn *cb, void *arg)
{
    char row[24];
    bool is_up = redis_is_up(fleet_redis(f->fleet));
    size_t bytes = json_dumpb(m, NULL, 0, JSON_COMPACT);
    if (bytes == 0)
        return -ERR_NOMEM;
    if (bytes > QUEUE_TEXT_MAX)
        return -ERR_TOO_LONG;
    /* The oldest of those that only wait for nodes that are away make room. */
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *old = LIST_ITEM(it, struct queued, link);
        if (f->n_queue < QUEUE_MAX && f->queued_bytes + bytes <= QUEUE_BYTES_MAX)
            break;
        if (old->has_come && !old->is_over)
            queued_give_up(old, "too many are kept for them");
    }
    if (f->n_queue >= QUEUE_MAX || f->queued_bytes + bytes > QUEUE_BYTES_MAX)
        return -ERR_TOO_MANY;
    (void)snprintf(row, sizeof(row), "%020llu", (unsigned long long)fleet_message_number_of(m));
    struct queued *q = queued_new(f, row, m, bytes);
    if (!q)
        return -ERR_NOMEM;
    q->cb = is_up ? cb : NULL;
    q->arg = arg;
    fleet_runs_flush(f);
    int err = queued_write(q, is_up ? NULL : cb, arg);
    if (err < 0 && !is_up) {
        q->is_over = true;
        queued_check(q);
        return err;
    }
    loop_timer_set(f->loop, &f->look, QUEUE_LOOK_MS);
    return 0;
}

void fleet_queue_ran(struct fleet_runs *f, const char *id)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || !str_eq_c(json_string_value(json_object_get(q->m, "id")), id))
            continue;
        q->has_run = true;
        if (!q->has_come)
            (void)!queued_write(q, NULL, NULL);
        return;
    }
}

bool fleet_queue_came(struct fleet_runs *f, uint64_t number, const char *position)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || fleet_message_number_of(q->m) != number)
            continue;
        bool has_run = q->has_run;
        if (!q->has_come)
            request_set_text(q->m, "was", position);
        if (json_array_size(queued_for(q)) == 0)
            queued_over(q);
        else if (!q->has_come) {
            q->has_come = true;
            (void)!queued_write(q, NULL, NULL);
        }
        return has_run;
    }
    return false;
}

void fleet_queue_taken(struct fleet_runs *f, const char *node, uint64_t number)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        int i =
            fleet_message_number_of(q->m) == number ? fleet_message_find(queued_for(q), node) : -1;
        if (i < 0 || q->is_over)
            continue;
        (void)json_array_remove(queued_for(q), (size_t)i);
        fleet_queue_patience(f);
        if (json_array_size(queued_for(q)) == 0 && q->has_come)
            queued_over(q);
        return;
    }
}

void fleet_queue_other_came(struct fleet_runs *f, const json_t *m)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || q->has_come || !q->has_run || !fleet_order_meets(q->m, m))
            continue;
        q->has_run = false;
        (void)!queued_write(q, NULL, NULL);
    }
}

void fleet_queue_look(const struct fleet_runs *f, size_t *ret_waiting, size_t *ret_kept)
{
    *ret_waiting = *ret_kept = 0;
    LIST_FOREACH (it, &f->queue) {
        const struct queued *q = LIST_ITEM(it, struct queued, link);
        *ret_waiting += !q->is_over && !q->has_come && !q->is_sent;
        *ret_kept += !q->is_over && (q->has_come || q->is_sent);
    }
}

void fleet_queue_init(struct fleet_runs *f)
{
    list_init(&f->queue);
    loop_timer_init(&f->retry, on_queue_retry);
    loop_timer_init(&f->look, on_queue_look);
    fleet_queue_patience(f);
}

void fleet_queue_fini(struct fleet_runs *f)
{
    struct store *store = f->control->host->store;
    loop_timer_cancel(f->loop, &f->retry);
    loop_timer_cancel(f->loop, &f->look);
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_dirty) { /* its work has not had its turn, and will not have it */
            AUTO_FREE char *json = q->is_over ? NULL : queued_text(q);
            int err = json || q->is_over ? store_runtime_set(store, QUEUE_KIND, q->row, json)
                                         : -ERR_NOMEM;
            if (err < 0)
                LOG_EVENT(LOG_LEVEL_ERROR, "fleet-command-not-stored", KV_ERR("error", err));
        }
        list_del(&q->link);
        json_decref(q->m);
        free(q);
    }
}
