/* SPDX-License-Identifier: ISC */
/* Commands that wait for the store of the fleet, also over a restart: in the store of this node,
 * until they have come back from the fleet's. */
#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/fleet_run_priv.h"
#include "rpc/work.h"
#include "runtime/state.h"

#define QUEUE_KIND "fleet-queue"
#define QUEUE_MAX 1000                    /* commands */
#define QUEUE_BYTES_MAX (8 * 1024 * 1024) /* of all their texts */
#define QUEUE_RETRY_MS 1000               /* after the store has refused one */

struct queued {
    struct list link; /* of runs.queue: in their order */
    struct fleet_runs *runs;
    char row[24]; /* its name in the store of this node: by their order, too */
    json_t *m;
    size_t bytes;
    bool is_sent;  /* the fleet's store has it, or is asked to take it */
    bool has_run;  /* here, and nothing that others say of the same came before it */
    bool is_over;  /* it came back */
    bool is_dirty; /* its row is being written, or taken away */
    unsigned pending;
};

/* Freed once nothing refers to it. */
static void queued_check(struct queued *q)
{
    if (!q->is_over || q->pending > 0)
        return;
    q->runs->n_queued--;
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
    list_add_tail(&f->queue, &q->link);
    f->n_queued++;
    f->queued_bytes += bytes;
    return q;
}

static uint64_t message_number(const json_t *m)
{
    json_int_t n = json_integer_value(json_object_get(m, "number"));
    return n > 0 ? (uint64_t)n : 0;
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
    json_t *v = json_pack("{s:O, s:b}", "m", q->m, "ran", (int)q->has_run);
    char *json = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return json;
}

static int queued_run(struct work *w)
{
    struct queued_work *x = CONTAINER_OF(w, struct queued_work, work);
    if (x->json)
        return store_runtime_put(x->store, QUEUE_KIND, x->row, x->json, clock_wall_ms());
    int err = store_runtime_remove(x->store, QUEUE_KIND, x->row);
    return err == -ERR_NOT_FOUND ? 0 : err;
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
    struct queued *q =
        json_is_object(m) && message_number(m) > 0 ? queued_new(f, name, m, strlen(json)) : NULL;
    if (q)
        q->has_run = json_is_true(json_object_get(v, "ran"));
    if (q && message_number(m) > f->number)
        f->number = message_number(m);
    json_decref(v);
    return true;
}

int fleet_queue_load(struct fleet_runs *f)
{
    return store_runtime_each(f->control->host->store, queue_load_row, f);
}

/* ---- to the fleet's store ---- */

static void on_flushed(void *arg, const struct redis_result *r)
{
    struct queued *q = arg;
    struct fleet_runs *f = q->runs;
    q->pending--;
    if (r->err == -ERR_REFUSED) /* who sends another one meanwhile has a greater number */
        request_put_number(q->m, "number", fleet_number(f));
    if (r->err < 0 && !q->is_over) {
        q->is_sent = false;
        loop_timer_set(f->loop, &f->retry, QUEUE_RETRY_MS);
    }
    queued_check(q);
}

void fleet_runs_flush(struct fleet_runs *f)
{
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_sent || q->is_over)
            continue;
        int err = fleet_stream_send(fleet_redis(f->fleet), f->secret, f->commands, q->m, 0,
                                    on_flushed, q);
        if (err < 0) {
            if (err != -ERR_UNREACHABLE)
                loop_timer_set(f->loop, &f->retry, QUEUE_RETRY_MS);
            return;
        }
        q->is_sent = true;
        q->pending++;
    }
}

static void on_retry(struct loop_timer *t)
{
    fleet_runs_flush(CONTAINER_OF(t, struct fleet_runs, retry));
}

/* ---- their life ---- */

int fleet_queue_add(struct fleet_runs *f, json_t *m, redis_fn *cb, void *arg)
{
    char row[24];
    char *text = json_dumps(m, JSON_COMPACT);
    size_t bytes = text ? strlen(text) : 0;
    free(text);
    if (!text)
        return -ERR_NOMEM;
    if (f->n_queued >= QUEUE_MAX || f->queued_bytes + bytes > QUEUE_BYTES_MAX)
        return -ERR_TOO_MANY;
    (void)snprintf(row, sizeof(row), "%020llu", (unsigned long long)message_number(m));
    struct queued *q = queued_new(f, row, m, bytes);
    if (!q)
        return -ERR_NOMEM;
    int err = queued_write(q, cb, arg);
    if (err < 0) {
        q->is_over = true;
        queued_check(q);
    }
    return err;
}

void fleet_queue_ran(struct fleet_runs *f, const char *id)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || !str_eq_c(json_string_value(json_object_get(q->m, "id")), id))
            continue;
        q->has_run = true;
        (void)!queued_write(q, NULL, NULL);
        return;
    }
}

bool fleet_queue_came(struct fleet_runs *f, uint64_t number)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || message_number(q->m) != number)
            continue;
        bool has_run = q->has_run;
        q->is_over = true;
        if (queued_write(q, NULL, NULL) < 0) /* its row is passed over when it is read again */
            queued_check(q);
        return has_run;
    }
    return false;
}

/* A value, or one of a list. */
static bool names_have(const json_t *names, const char *name)
{
    size_t i;
    json_t *v;
    if (json_is_string(names))
        return strcmp(json_string_value(names), name) == 0;
    json_array_foreach ((json_t *)names, i, v)
        if (str_eq_c(json_string_value(v), name))
            return true;
    return false;
}

/* Are both about the same thing? Who does not name what it is about may be. */
static bool messages_meet(const json_t *a, const json_t *b)
{
    size_t i;
    json_t *v;
    const char *x = json_string_value(json_object_get(a, "method"));
    const char *y = json_string_value(json_object_get(b, "method"));
    struct str rest_x = str_of(x), rest_y = str_of(y);
    if (!str_eq(str_cut(&rest_x, '.'), str_cut(&rest_y, '.')))
        return false;
    const json_t *of_a = json_object_get(json_object_get(a, "params"), "name");
    const json_t *of_b = json_object_get(json_object_get(b, "params"), "name");
    if (!of_a || !of_b)
        return true;
    if (json_is_string(of_a))
        return names_have(of_b, json_string_value(of_a));
    json_array_foreach ((json_t *)of_a, i, v)
        if (json_is_string(v) && names_have(of_b, json_string_value(v)))
            return true;
    return false;
}

void fleet_queue_other_came(struct fleet_runs *f, const json_t *m)
{
    LIST_FOREACH (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_over || !q->has_run || !messages_meet(q->m, m))
            continue;
        q->has_run = false;
        (void)!queued_write(q, NULL, NULL);
    }
}

void fleet_queue_init(struct fleet_runs *f)
{
    list_init(&f->queue);
    loop_timer_init(&f->retry, on_retry);
}

/* Works that have not had their turn do not have it any more. */
static void queued_store(const struct queued *q, struct store *store)
{
    AUTO_FREE char *json = q->is_over ? NULL : queued_text(q);
    int err = json         ? store_runtime_put(store, QUEUE_KIND, q->row, json, clock_wall_ms())
              : q->is_over ? store_runtime_remove(store, QUEUE_KIND, q->row)
                           : -ERR_NOMEM;
    if (err < 0 && err != -ERR_NOT_FOUND)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-command-not-stored", KV_ERR("error", err));
}

void fleet_queue_fini(struct fleet_runs *f)
{
    loop_timer_cancel(f->loop, &f->retry);
    LIST_FOREACH_SAFE (it, &f->queue) {
        struct queued *q = LIST_ITEM(it, struct queued, link);
        if (q->is_dirty)
            queued_store(q, f->control->host->store);
        list_del(&q->link);
        json_decref(q->m);
        free(q);
    }
}
