/* SPDX-License-Identifier: ISC */
/* What operators want of a backend: drain, ready, disable, hold, release. */
#include "base/clock.h"
#include "control/backend/backend_list.h"
#include "ops/drains.h"
#include "ops/kill.h"
#include "ops/ready_wait.h"
#include "ops/timed_holds.h"
#include "rpc/handlers.h"

#define DRAIN_RATE 50

static int edit_hold(struct backend_change *ch, struct runtime_edit *e)
{
    return change_set_admin(ch, e, BACKEND_HOLD);
}

static int edit_release(struct backend_change *ch, struct runtime_edit *e)
{
    bool is_held = strcmp(e->edit.admin, backend_admin_name(BACKEND_HOLD)) == 0;
    return is_held ? change_set_admin(ch, e, BACKEND_READY) : 0;
}

/* ---- one state for several backends, one after another ---- */

struct state_order {
    struct request *request;
    struct targets targets;
    size_t i, n_changed;
    enum backend_admin admin;            /* that they get */
    bool is_removed;                     /* each is taken out once it is empty */
    void (*then)(struct state_order *o); /* when all have it; answers */
};

static void state_order_free(void *arg)
{
    struct state_order *o = arg;
    targets_fini(&o->targets);
    free(o);
}

static void state_order_next(struct backend_change *ch)
{
    struct state_order *o = ch->arg;
    o->n_changed += ch->is_changed;
    if (++o->i < o->targets.n) {
        change_post_admin(o->request, &o->targets.v[o->i], o->admin, state_order_next, o,
                          state_order_free);
        return;
    }
    o->then(o);
    state_order_free(o);
}

/* NULL: the request was answered. All are found before the first is changed. */
static struct state_order *state_order_new(struct request *r, enum backend_admin admin,
                                           void (*then)(struct state_order *o))
{
    struct targets targets;
    if (targets_find(r, &targets) < 0)
        return NULL;
    struct state_order *o = calloc(1, sizeof(*o));
    if (!o) {
        targets_fini(&targets);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return NULL;
    }
    *o = (struct state_order){.request = r, .targets = targets, .admin = admin, .then = then};
    return o;
}

static void state_order_go(struct state_order *o)
{
    change_post_admin(o->request, &o->targets.v[0], o->admin, state_order_next, o,
                      state_order_free);
}

/* Borrowed by what is made of it; free the array. */
static struct backend **state_order_backends(const struct state_order *o)
{
    struct backend **v = calloc(o->targets.n, sizeof(struct backend *));
    for (size_t i = 0; v && i < o->targets.n; i++)
        v[i] = o->targets.v[i].backend;
    return v;
}

/* ---- ready, hold, release ---- */

static void ready_then(struct state_order *o)
{
    struct request *r = o->request;
    AUTO_FREE struct backend **backends = state_order_backends(o);
    if (!request_bool(r, "until_up"))
        request_done(r, o->n_changed, o->n_changed > 0, NULL);
    else if (backends)
        ready_wait_start(r, backends, o->targets.n, o->n_changed > 0);
    else
        request_fail(r, -ERR_NOMEM, NULL, "they are ready, but not waited for");
}

void command_backend_ready(struct request *r)
{
    struct state_order *o = state_order_new(r, BACKEND_READY, ready_then);
    if (o)
        state_order_go(o);
}

static void hold_then(struct backend_change *ch)
{
    struct request *r = ch->work.request;
    uint64_t for_ms = request_number(r, "for", 0);
    if (for_ms > 0) {
        uint64_t end_ms = request_until_ms(r, for_ms), now_ms = clock_wall_ms();
        timed_hold_start(r, ch->backend, end_ms > now_ms ? end_ms - now_ms : 1, ch->is_changed);
        return;
    }
    timed_hold_stop(request_control(r), ch->backend, "the hold has no end any more");
    request_done(r, ch->is_changed, ch->is_changed, NULL);
}

void command_backend_hold(struct request *r)
{
    if (request_has(r, "for") && request_number(r, "for", 0) == 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "for is longer than 0; without it there is no end");
    else if (!request_is_over(r, request_number(r, "for", 0)))
        change_start(r, false, edit_hold, hold_then);
}

void command_backend_release(struct request *r)
{
    change_start(r, false, edit_release, NULL);
}

/* ---- drain and disable ---- */

/* Does it end sessions, and not only wait for their end? */
static bool drain_is_kicking(const struct state_order *o)
{
    return o->admin == BACKEND_DISABLED || request_bool(o->request, "kick") ||
           request_has(o->request, "deadline");
}

static void drain_then(struct state_order *o)
{
    struct request *r = o->request;
    bool is_disable = o->admin == BACKEND_DISABLED;
    AUTO_FREE struct backend **backends = state_order_backends(o);
    const struct drain_spec spec = {
        .backends = backends,
        .n = o->targets.n,
        .admin = o->admin,
        .is_kicking = is_disable || request_bool(r, "kick"),
        .deadline_ms = request_number(r, "deadline", 0),
        .rate = is_disable ? 0 : request_number(r, "rate", DRAIN_RATE),
        .rate_per = request_number(r, "rate_per", 1),
        .grace_ms = kill_grace_ms(r),
        .text = request_text(r, "text"),
        .is_removed = o->is_removed,
    };
    if (backends)
        drain_start(r, &spec, o->n_changed > 0);
    else
        request_fail(r, -ERR_NOMEM, NULL, "the state is set, but the sessions are not followed");
}

/* The guards of dry_run and max: the sessions that are there. */
static void on_drain_looked(void *arg, const struct kill_result *result)
{
    struct state_order *o = arg;
    struct request *r = o->request;
    bool is_over = result->err < 0 || request_bool(r, "dry_run");
    if (!is_over) {
        state_order_go(o);
        return;
    }
    if (result->err < 0)
        kill_answer(r, result);
    else
        kill_answer_found(r, result->tally, result->rows,
                          drain_is_kicking(o) ? "would end"
                                              : "would stay until they end by themselves");
    state_order_free(o);
}

static int drain_look(struct state_order *o)
{
    const struct request *r = o->request;
    AUTO_FREE struct backend **backends = state_order_backends(o);
    AUTO_BUF text = BUF_INIT;
    struct kill_spec spec = {.terms = &text,
                             .is_dry = true,
                             .has_max = request_has(r, "max") && drain_is_kicking(o),
                             .max = request_number(r, "max", 0),
                             .has_rows = true,
                             .done = on_drain_looked,
                             .arg = o};
    int err = backends ? drain_terms(&text, backends, o->targets.n) : -ERR_NOMEM;
    return err < 0 ? err : kill_start(request_control(r), &spec);
}

/* NULL: the request was answered. */
static struct state_order *drain_order(struct request *r)
{
    if (request_number(r, "rate", DRAIN_RATE) == 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "rate is 1 at least");
        return NULL;
    }
    return state_order_new(r, request_bool(r, "hold") ? BACKEND_HOLD : BACKEND_DRAIN, drain_then);
}

/* At once, or after a look where the command only looks or has a limit. */
static void drain_begin(struct state_order *o)
{
    struct request *r = o->request;
    if (!request_bool(r, "dry_run") && !(request_has(r, "max") && drain_is_kicking(o))) {
        state_order_go(o);
        return;
    }
    int err = drain_look(o);
    if (err == 0)
        return;
    state_order_free(o);
    request_fail(r, err, NULL, NULL);
}

void command_backend_drain(struct request *r)
{
    struct state_order *o = drain_order(r);
    if (o)
        drain_begin(o);
}

void command_backend_disable(struct request *r)
{
    struct state_order *o = state_order_new(r, BACKEND_DISABLED, drain_then);
    if (o)
        drain_begin(o);
}

void backend_drain_out(struct request *r)
{
    struct state_order *o = drain_order(r);
    if (!o)
        return;
    o->is_removed = true;
    state_order_go(o);
}
