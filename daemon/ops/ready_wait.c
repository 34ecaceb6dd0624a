/* SPDX-License-Identifier: ISC */
/* Waits until backends that were made ready are up. */
#include "ops/ready_wait.h"

#include "runtime/state.h"

#define READY_TICK_MS 200

struct ready_wait {
    struct control *control;
    struct op *op;
    struct backend **backends; /* a reference of each */
    size_t n;
    struct loop_timer tick;
};

static void ready_free(void *arg)
{
    struct ready_wait *w = arg;
    loop_timer_cancel(w->control->host->loop, &w->tick);
    for (size_t i = 0; i < w->n; i++)
        backend_unref(w->backends[i]);
    free(w->backends);
    free(w);
}

/* The first that is not up yet, NULL = all are. */
static const struct backend *ready_missing(const struct ready_wait *w, size_t *ret_n)
{
    const struct backend *first = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct backend *b = w->backends[i];
        if (!atomic_load(&b->is_checked) || atomic_load(&b->health) == BACKEND_UP)
            continue;
        first = first ? first : b;
        ++*ret_n;
    }
    return first;
}

static void ready_refresh(void *arg)
{
    struct ready_wait *w = arg;
    char reason[BACKEND_REASON_MAX] = "";
    size_t n;
    const struct backend *b = ready_missing(w, &n);
    w->op->total = w->n;
    w->op->done = w->n - n;
    if (!b)
        return;
    backend_reason(b, reason);
    op_say(w->op, "%s is %s%s%s", b->name, backend_health_name(atomic_load(&b->health)),
           *reason ? ": " : "", reason);
}

static void ready_finish(struct ready_wait *w, enum op_state state, const char *text)
{
    op_end(w->op, state, "%s", text);
    ready_free(w);
}

static void ready_cancel(void *arg)
{
    ready_finish(arg, OP_CANCELLED, "cancelled; the backends stay ready");
}

static const struct op_kind ready_kind = {
    .name = "ready", .cancel = ready_cancel, .refresh = ready_refresh, .drop = ready_free};

static void on_ready_tick(struct loop_timer *t)
{
    struct ready_wait *w = CONTAINER_OF(t, struct ready_wait, tick);
    size_t n;
    for (size_t i = 0; i < w->n; i++)
        if (atomic_load(&w->backends[i]->admin) != BACKEND_READY) {
            ready_finish(w, OP_CANCELLED, "a backend was given another state");
            return;
        }
    if (ready_missing(w, &n))
        loop_timer_set(w->control->host->loop, &w->tick, READY_TICK_MS);
    else
        ready_finish(w, OP_DONE, w->n > 1 ? "all are up" : "up");
}

void ready_wait_start(struct request *r, const struct op_backends *ready)
{
    struct control *c = request_control(r);
    if (!request_bool(r, "until_up")) {
        request_done(r, ready->n_changed, ready->n_changed > 0, NULL);
        return;
    }
    AUTO_FREE char *target = op_target(ready->v, ready->n);
    struct ready_wait *w = calloc(1, sizeof(*w));
    if (w)
        w->backends = calloc(ready->n, sizeof(struct backend *));
    if (!w || !w->backends || !target ||
        op_begin(c, &ready_kind, target, &r->peer, w, &w->op) < 0) {
        if (w)
            free(w->backends);
        free(w);
        request_fail(r, -ERR_NOMEM, NULL, "they are ready, but not waited for");
        return;
    }
    w->control = c;
    for (; w->n < ready->n; w->n++)
        w->backends[w->n] = backend_ref(ready->v[w->n]);
    loop_timer_init(&w->tick, on_ready_tick);
    op_start(w->op);
    loop_timer_set(c->host->loop, &w->tick, 1);
    op_answer(w->op, r, w->n, ready->n_changed > 0, NULL);
}
