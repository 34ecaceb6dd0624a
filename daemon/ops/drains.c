/* SPDX-License-Identifier: ISC */
/* The drain of one backend: counts what is left, ends the idle ones first at a rate, at the
 * boundaries of responses. */
#include "ops/drains.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/token_bucket.h"
#include "ops/kill.h"
#include "ops/ops.h"
#include "peers/peers.h"
#include "runtime/state.h"

#define DRAIN_TICK_MS 200 /* so that no tick of the loop is passed over */

struct drain {
    struct control *control;
    struct op *op;
    struct backend *backend; /* one reference */
    enum backend_admin admin;
    char *text;
    struct loop_timer tick;
    uint64_t deadline_ms; /* monotonic, 0 = none */
    uint64_t grace_ms;
    struct token_bucket pace;
    struct kill_tally *tally;
    bool is_kicking, is_removed, is_asking;
    const char *stop; /* why it ends before its aim; static */
};

static void drain_free(struct drain *d)
{
    loop_timer_cancel(d->control->host->loop, &d->tick);
    backend_unref(d->backend);
    kill_tally_unref(d->tally);
    free(d->text);
    free(d);
}

static uint64_t drain_left(const struct drain *d)
{
    return backend_sessions(d->backend);
}

/* ---- progress ---- */

static uint64_t drain_eta(const struct drain *d, uint64_t left)
{
    uint64_t now = loop_now_ms(d->control->host->loop);
    uint64_t kicking = token_bucket_time(&d->pace, left);
    uint64_t elapsed = clock_wall_ms() - d->op->started_ms;
    if (d->is_kicking)
        return kicking;
    if (d->deadline_ms)
        return (d->deadline_ms > now ? d->deadline_ms - now : 0) + kicking;
    return d->op->done > 0 ? elapsed * left / d->op->done : 0;
}

static void drain_refresh(void *arg)
{
    struct drain *d = arg;
    uint64_t left = drain_left(d);
    if (left > d->op->total)
        d->op->total = left;
    d->op->done = d->op->total - left;
    d->op->eta_ms = drain_eta(d, left);
    AUTO_FREE char *text = kill_tally_text(d->tally);
    op_say(d->op, "%" PRIu64 " left, %" PRIu64 " told to end; %s", left, d->tally->told,
           text ? text : "");
}

/* ---- the end ---- */

static void drain_finish(struct drain *d, enum op_state state, const char *text)
{
    AUTO_FREE char *ends = d->tally->told > 0 ? kill_tally_text(d->tally) : NULL;
    op_end(d->op, state, "%s%s%s", text, ends ? "; " : "", ends ? ends : "");
    drain_free(d);
}

static void on_drain_removed(void *arg, const char *error)
{
    struct drain *d = arg;
    d->is_asking = false;
    drain_finish(d, error ? OP_FAILED : OP_DONE, error ? error : "no sessions left: removed");
}

static void drain_remove(struct drain *d)
{
    AUTO_FREE char *name = str_printf("%s/%s", d->backend->pool, d->backend->name);
    d->is_asking = true;
    int err = name ? request_start_own(&d->control->rpc, &d->op->peer, "backend.remove",
                                       json_pack("{s:s}", "name", name), on_drain_removed, d)
                   : -ERR_NOMEM;
    if (err < 0)
        drain_finish(d, OP_FAILED, err_text(err));
}

static void drain_empty(struct drain *d)
{
    AUTO_FREE char *silent = peers_silent(d->control);
    AUTO_FREE char *text =
        silent ? str_printf("no sessions left here, but engine %s does not answer", silent) : NULL;
    if (silent)
        drain_finish(d, OP_PARTIAL, text ? text : "an engine does not answer");
    else if (d->is_removed)
        drain_remove(d);
    else
        drain_finish(d, OP_DONE, "no sessions left");
}

static void drain_stop(struct drain *d, const char *why)
{
    d->stop = why;
    if (!d->is_asking)
        drain_finish(d, OP_CANCELLED, why);
}

static void drain_cancel(void *arg)
{
    drain_stop(arg, "cancelled; the backend stays as it is");
}

static void drain_drop(void *arg)
{
    drain_free(arg);
}

static const struct op_kind drain_kind = {
    .name = "drain", .cancel = drain_cancel, .refresh = drain_refresh, .drop = drain_drop};

/* ---- work ---- */

static void drain_again(struct drain *d)
{
    loop_timer_set(d->control->host->loop, &d->tick, DRAIN_TICK_MS);
}

/* Those in the midst of a login are not counted by the backend yet: asked for when it has none. */
static void on_drain_counted(void *arg, const struct kill_result *result)
{
    struct drain *d = arg;
    d->is_asking = false;
    if (result->err == -ERR_SHUTDOWN)
        return;
    if (d->stop)
        drain_finish(d, OP_CANCELLED, d->stop);
    else if (result->err == 0 && result->matched == 0)
        drain_empty(d);
    else
        drain_again(d);
}

static void on_drain_kicked(void *arg, int err, uint64_t n)
{
    struct drain *d = arg;
    (void)n;
    d->is_asking = false;
    if (err == -ERR_SHUTDOWN)
        return;
    if (d->stop)
        drain_finish(d, OP_CANCELLED, d->stop);
    else
        drain_again(d);
}

static int drain_ask(struct drain *d, const char *terms, struct kill_spec *spec)
{
    AUTO_BUF text = BUF_INIT;
    struct filter *filter = NULL;
    int err = buf_append_c(&text, terms);
    if (err == 0)
        err = kill_term(&text, SESSION_FIELD_BACKEND, d->backend->name);
    if (err == 0)
        err = kill_term(&text, SESSION_FIELD_POOL, d->backend->pool);
    if (err == 0)
        err = kill_parse(&text, &filter);
    spec->filter = filter;
    spec->exact[0] = (struct kill_exact){SESSION_FIELD_BACKEND, d->backend->name};
    spec->exact[1] = (struct kill_exact){SESSION_FIELD_POOL, d->backend->pool};
    spec->arg = d;
    if (err == 0)
        err = kill_start(d->control, spec);
    filter_unref(filter);
    d->is_asking = err == 0;
    return err;
}

static int drain_count(struct drain *d)
{
    struct kill_spec spec = {.is_dry = true, .done = on_drain_counted};
    return drain_ask(d, "!state=closing,held", &spec);
}

/* Only relayed ones: who logs in at this moment is not disturbed, and told a moment later. */
static int drain_kick(struct drain *d, size_t n)
{
    struct kill_spec spec = {.first_idle = n,
                             .kind = REPLY_KICKED,
                             .text = d->text,
                             .grace_ms = d->grace_ms,
                             .tally = d->tally,
                             .told = on_drain_kicked};
    return drain_ask(d, "state=relay !phase=ending", &spec);
}

static void drain_watch_deadline(struct drain *d)
{
    uint64_t now = loop_now_ms(d->control->host->loop);
    if (d->deadline_ms == 0 || now < d->deadline_ms)
        return;
    d->deadline_ms = 0;
    if (!d->is_kicking)
        d->pace.at_ms = now - DRAIN_TICK_MS;
    d->is_kicking = true;
}

static void on_drain_tick(struct loop_timer *t)
{
    struct drain *d = CONTAINER_OF(t, struct drain, tick);
    size_t n = 0;
    int err = 0;
    drain_watch_deadline(d);
    uint64_t left = drain_left(d);
    if (left == 0 && d->tally->n_running == 0)
        err = drain_count(d);
    else if (left > 0 && d->is_kicking &&
             (n = token_bucket_take(&d->pace, loop_now_ms(d->control->host->loop))) > 0)
        err = drain_kick(d, n);
    if (!d->is_asking || err < 0)
        drain_again(d);
}

/* ---- the beginning ---- */

static void drain_follow(struct drain *d, const struct drain_spec *spec)
{
    uint64_t now = loop_now_ms(d->control->host->loop);
    d->admin = spec->admin;
    if (spec->is_kicking && !d->is_kicking) {
        d->is_kicking = true;
        d->pace.at_ms = now;
    }
    if (spec->deadline_ms)
        d->deadline_ms = now + spec->deadline_ms;
    d->pace.rate = spec->rate;
    d->grace_ms = spec->grace_ms;
    d->is_removed = d->is_removed || spec->is_removed;
    if (!spec->text)
        return;
    free(d->text);
    d->text = str_dup_c(spec->text);
}

static struct drain *drain_new(struct control *c, const struct peer *peer, struct backend *b)
{
    struct drain *d = calloc(1, sizeof(*d));
    AUTO_FREE char *target = str_printf("%s/%s", b->pool, b->name);
    if (d)
        d->tally = kill_tally_new();
    if (!d || !d->tally || !target || op_begin(c, &drain_kind, target, peer, d, &d->op) < 0) {
        if (d)
            kill_tally_unref(d->tally);
        free(d);
        return NULL;
    }
    d->control = c;
    d->backend = backend_ref(b);
    d->op->total = drain_left(d);
    op_start(d->op);
    loop_timer_init(&d->tick, on_drain_tick);
    drain_again(d);
    return d;
}

static struct drain *drain_find(struct control *c, const struct backend *b)
{
    AUTO_FREE char *target = str_printf("%s/%s", b->pool, b->name);
    const struct op *op = target ? op_find(c, &drain_kind, target) : NULL;
    return op ? op->arg : NULL;
}

/* What the operator may not have meant: nobody is left who takes the logins. Owned; NULL = fine. */
static char *drain_note(struct control *c, const struct drain_spec *spec)
{
    const struct pool *p = pools_find(control_setup(c)->pools, spec->backend->pool);
    if (!p || spec->admin == BACKEND_HOLD)
        return NULL;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct backend *b = p->members[i].backend;
        if (p->members[i].weight > 0 && atomic_load(&b->admin) == BACKEND_READY &&
            atomic_load(&b->health) != BACKEND_DOWN)
            return NULL;
    }
    return str_printf("no backend of pool %s takes logins now", p->config->name);
}

void drain_start(struct request *r, const struct drain_spec *spec, bool is_changed)
{
    struct drain *d = drain_find(request_control(r), spec->backend);
    uint64_t left = backend_sessions(spec->backend);
    AUTO_FREE char *note = drain_note(request_control(r), spec);
    if (!d && !is_changed && left == 0 && !spec->is_removed) {
        if (note)
            request_done(r, 0, false, "%s", note);
        else
            request_done(r, 0, false, NULL);
        return;
    }
    is_changed = is_changed || !d;
    if (!d)
        d = drain_new(request_control(r), &r->peer, spec->backend);
    if (!d) {
        request_fail(r, -ERR_NOMEM, NULL, "the state is set, but the sessions are not followed");
        return;
    }
    drain_follow(d, spec);
    op_answer(d->op, r, left, is_changed, note);
}

void drains_notice(struct control *c, const struct backend *b)
{
    struct drain *d = drain_find(c, b);
    if (d && !d->stop && atomic_load(&b->admin) != d->admin)
        drain_stop(d, "the backend was given another state");
}
