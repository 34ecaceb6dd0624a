/* SPDX-License-Identifier: ISC */
/* backend hold with an end. */
#include "ops/timed_holds.h"

#include "base/clock.h"
#include "base/units.h"
#include "runtime/state.h"

struct timed_hold {
    struct control *control;
    struct op *op;
    struct backend *backend; /* one reference */
    struct loop_timer timer;
    uint64_t begun_ms, end_ms; /* monotonic */
    bool is_releasing;
};

static void timed_hold_free(void *arg)
{
    struct timed_hold *h = arg;
    loop_timer_cancel(h->control->host->loop, &h->timer);
    backend_unref(h->backend);
    free(h);
}

static void timed_hold_finish(struct timed_hold *h, enum op_state state, const char *text)
{
    op_end(h->op, state, "%s", text);
    timed_hold_free(h);
}

/* Progress in seconds. */
static void timed_hold_refresh(void *arg)
{
    struct timed_hold *h = arg;
    uint64_t now = loop_now_ms(h->control->host->loop);
    h->op->eta_ms = h->end_ms > now ? h->end_ms - now : 0;
    h->op->total = (h->end_ms - h->begun_ms + 999) / 1000;
    h->op->done = h->op->total - (h->op->eta_ms + 999) / 1000;
}

/* While it is being released the answer ends it. */
static void timed_hold_cancel(void *arg)
{
    struct timed_hold *h = arg;
    if (!h->is_releasing)
        timed_hold_finish(h, OP_CANCELLED, "cancelled; the backend is held until release");
}

static const struct op_kind timed_hold_kind = {.name = "hold",
                                               .cancel = timed_hold_cancel,
                                               .refresh = timed_hold_refresh,
                                               .drop = timed_hold_free};

static void on_released(void *arg, const struct request_outcome *o)
{
    timed_hold_finish(arg, o->error ? OP_FAILED : OP_DONE, o->error ? o->error : "released");
}

static void on_timed_hold(struct loop_timer *t)
{
    struct timed_hold *h = CONTAINER_OF(t, struct timed_hold, timer);
    AUTO_FREE char *name = str_printf("%s/%s", h->backend->pool, h->backend->name);
    h->is_releasing = true;
    int err = name ? request_start_own(&h->control->rpc, &h->op->peer, "backend.release",
                                       json_pack("{s:s}", "name", name), 0, on_released, h)
                   : -ERR_NOMEM;
    if (err < 0)
        timed_hold_finish(h, OP_FAILED, err_text(err));
}

static struct timed_hold *timed_hold_find(struct control *c, const struct backend *b)
{
    AUTO_FREE char *target = str_printf("%s/%s", b->pool, b->name);
    const struct op *op = target ? op_find(c, &timed_hold_kind, target) : NULL;
    return op ? op->arg : NULL;
}

static struct timed_hold *timed_hold_new(struct request *r, struct backend *b)
{
    struct control *c = request_control(r);
    struct timed_hold *h = calloc(1, sizeof(*h));
    AUTO_FREE char *target = str_printf("%s/%s", b->pool, b->name);
    if (!h || !target || op_begin(c, &timed_hold_kind, target, &r->peer, h, &h->op) < 0) {
        free(h);
        return NULL;
    }
    h->control = c;
    h->backend = backend_ref(b);
    h->begun_ms = loop_now_ms(c->host->loop);
    loop_timer_init(&h->timer, on_timed_hold);
    op_start(h->op);
    return h;
}

/* The hold has no end any more, or the backend another state: ends the operation, if there is one.
 */
static void timed_hold_stop(struct control *c, const struct backend *b, const char *why)
{
    struct timed_hold *h = timed_hold_find(c, b);
    if (h && !h->is_releasing)
        timed_hold_finish(h, OP_CANCELLED, why);
}

void timed_hold_start(struct request *r, const struct op_backends *held)
{
    struct backend *b = held->v[0];
    uint64_t for_ms = request_number(r, "for", 0);
    if (for_ms == 0) {
        timed_hold_stop(request_control(r), b, "the hold has no end any more");
        request_done(r, held->n_changed, held->n_changed > 0, NULL);
        return;
    }
    uint64_t end_ms = request_until_ms(r, for_ms), now_ms = clock_wall_ms();
    for_ms = end_ms > now_ms ? end_ms - now_ms : 1;
    struct timed_hold *h = timed_hold_find(request_control(r), b);
    if (!h || h->is_releasing)
        h = timed_hold_new(r, b);
    if (!h) {
        request_fail(r, -ERR_NOMEM, NULL, "the backend is held, but not released by itself");
        return;
    }
    char text[32];
    units_human_duration(text, for_ms);
    op_say(h->op, "released in %s from its last order on", text);
    h->end_ms = loop_now_ms(request_control(r)->host->loop) + for_ms;
    loop_timer_set(request_control(r)->host->loop, &h->timer, for_ms);
    op_answer(h->op, r, 1, held->n_changed > 0, NULL);
}

void timed_holds_notice(struct control *c, const struct backend *b)
{
    if (atomic_load(&b->admin) != BACKEND_HOLD)
        timed_hold_stop(c, b, "the backend was given another state");
}
