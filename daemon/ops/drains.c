/* SPDX-License-Identifier: ISC */
/* The drain of backends: counts what is left, ends the idle ones first at a rate, at the boundaries
 * of responses. */
#include "ops/drains.h"

#include <inttypes.h>

#include "base/token_bucket.h"
#include "peers/peers.h"
#include "runtime/state.h"

#define DRAIN_TICK_MS 200 /* so that no tick of the loop is passed over */

/* What an operator wants of it. */
struct drain_spec {
    bool is_kicking;      /* end the sessions, the longest idle first */
    uint64_t deadline_ms; /* from now on: then end those that are left; 0 = never */
    uint64_t rate;        /* sessions in rate_per seconds; 0 = all at once */
    uint64_t rate_per;
    uint64_t grace_ms; /* for each to reach a moment between two responses */
    const char *text;  /* words for the clients; borrowed; NULL = the usual ones */
    bool is_removed;   /* take the backend, one, out when it is empty */
};

struct drain {
    struct control *control;
    struct op *op;
    struct backend **backends; /* a reference of each */
    size_t n;
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

static void drain_free(void *arg)
{
    struct drain *d = arg;
    loop_timer_cancel(d->control->host->loop, &d->tick);
    for (size_t i = 0; i < d->n; i++)
        backend_unref(d->backends[i]);
    free(d->backends);
    kill_tally_unref(d->tally);
    free(d->text);
    free(d);
}

static uint64_t drain_left(const struct drain *d)
{
    uint64_t left = 0;
    for (size_t i = 0; i < d->n; i++)
        left += backend_sessions(d->backends[i]);
    return left;
}

/* ---- progress ---- */

static void drain_refresh(void *arg)
{
    struct drain *d = arg;
    uint64_t left = drain_left(d);
    if (left > d->op->total)
        d->op->total = left;
    d->op->done = d->op->total - left;
    uint64_t now = loop_now_ms(d->control->host->loop);
    uint64_t kicking_ms = token_bucket_time(&d->pace, left);
    if (d->is_kicking)
        d->op->eta_ms = kicking_ms;
    else if (d->deadline_ms)
        d->op->eta_ms = (d->deadline_ms > now ? d->deadline_ms - now : 0) + kicking_ms;
    else
        d->op->eta_ms = op_time_left(d->op, left);
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

static void on_drain_removed(void *arg, const struct request_outcome *o)
{
    struct drain *d = arg;
    d->is_asking = false;
    drain_finish(d, o->error ? OP_FAILED : OP_DONE,
                 o->error ? o->error : "no sessions left: removed");
}

static void drain_empty(struct drain *d)
{
    AUTO_FREE char *silent = peers_silent(d->control);
    AUTO_FREE char *text =
        silent ? str_printf("no sessions left here, but engine %s does not answer", silent) : NULL;
    if (silent) {
        drain_finish(d, OP_PARTIAL, text ? text : "an engine does not answer");
        return;
    }
    if (!d->is_removed) {
        drain_finish(d, OP_DONE, "no sessions left");
        return;
    }
    AUTO_FREE char *name = str_printf("%s/%s", d->backends[0]->pool, d->backends[0]->name);
    d->is_asking = true;
    int err = name ? request_start_own(&d->control->rpc, &d->op->peer, "backend.remove",
                                       json_pack("{s:s}", "name", name), 0, on_drain_removed, d)
                   : -ERR_NOMEM;
    if (err < 0)
        drain_finish(d, OP_FAILED, err_text(err));
}

static void drain_stop(struct drain *d, const char *why)
{
    d->stop = why;
    if (!d->is_asking)
        drain_finish(d, OP_CANCELLED, why);
}

static void drain_cancel(void *arg)
{
    struct drain *d = arg;
    drain_stop(d, d->n > 1 ? "cancelled; the backends stay as they are"
                           : "cancelled; the backend stays as it is");
}

static const struct op_kind drain_kind = {
    .name = "drain", .cancel = drain_cancel, .refresh = drain_refresh, .drop = drain_free};

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

/* Asks for, or ends, the sessions of backends that these terms (two at most) find, too. */
static int drain_kill_which(struct control *c, struct backend *const *backends, size_t n,
                            const struct filter_is *which, size_t n_which,
                            const struct kill_spec *spec)
{
    AUTO_FREE char **names = calloc(n, sizeof(*names));
    struct filter_is terms[3] = {{.id = SESSION_FIELD_BACKEND}};
    int err = names ? 0 : -ERR_NOMEM;
    size_t n_names = 0;
    for (; n_names < n && err == 0; n_names++) {
        names[n_names] = str_printf("%s/%s", backends[n_names]->pool, backends[n_names]->name);
        err = names[n_names] ? 0 : -ERR_NOMEM;
    }
    terms[0].values = (const char *const *)names;
    terms[0].n_values = n_names;
    for (size_t i = 0; i < n_which; i++)
        terms[1 + i] = which[i];
    if (err == 0)
        err = kill_start_terms(c, spec, terms, 1 + n_which);
    while (n_names > 0)
        free(names[--n_names]);
    return err;
}

int drain_kill(struct control *c, struct backend *const *backends, size_t n,
               const struct kill_spec *spec)
{
    return drain_kill_which(c, backends, n, NULL, 0, spec);
}

static void on_drain_tick(struct loop_timer *t)
{
    struct drain *d = CONTAINER_OF(t, struct drain, tick);
    size_t n = 0;
    int err = 0;
    uint64_t now = loop_now_ms(d->control->host->loop);
    if (d->deadline_ms != 0 && now >= d->deadline_ms) {
        d->deadline_ms = 0;
        if (!d->is_kicking)
            d->pace.at_ms = now - DRAIN_TICK_MS;
        d->is_kicking = true;
    }
    uint64_t left = drain_left(d);
    if (left == 0 && d->tally->n_running == 0) {
        const struct filter_is there = {.id = SESSION_FIELD_STATE,
                                        .is_negated = true,
                                        .values = (const char *[]){"closing", "held"},
                                        .n_values = 2};
        const struct kill_spec spec = {.is_dry = true, .done = on_drain_counted, .arg = d};
        err = drain_kill_which(d->control, d->backends, d->n, &there, 1, &spec);
        d->is_asking = err == 0;
    } else if (left > 0 && d->is_kicking &&
               (n = token_bucket_take(&d->pace, loop_now_ms(d->control->host->loop))) > 0) {
        const struct kill_spec spec = {.first_idle = n,
                                       .kind = REPLY_KICKED,
                                       .text = d->text,
                                       .grace_ms = d->grace_ms,
                                       .tally = d->tally,
                                       .told = on_drain_kicked,
                                       .arg = d};
        err = drain_kill_which(d->control, d->backends, d->n, kill_relayed, KILL_RELAYED_TERMS,
                               &spec);
        d->is_asking = err == 0;
    }
    if (!d->is_asking || err < 0)
        drain_again(d);
}

/* ---- the beginning ---- */

static void drain_follow(struct drain *d, const struct drain_spec *spec)
{
    uint64_t now = loop_now_ms(d->control->host->loop);
    if (spec->is_kicking && !d->is_kicking) {
        d->is_kicking = true;
        d->pace.at_ms = now;
    }
    if (spec->deadline_ms)
        d->deadline_ms = now + spec->deadline_ms;
    d->pace.rate = spec->rate;
    d->pace.per = spec->rate_per;
    d->grace_ms = spec->grace_ms;
    d->is_removed = d->is_removed || spec->is_removed;
    if (!spec->text)
        return;
    free(d->text);
    d->text = str_dup_c(spec->text);
}

static bool drain_has(const struct drain *d, const struct backend *b)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->backends[i] == b)
            return true;
    return false;
}

/* The drain that a backend is part of, or NULL. */
static struct drain *drain_find(struct control *c, const struct backend *b)
{
    LIST_FOREACH (it, ops_all(c->ops)) {
        struct op *op = LIST_ITEM(it, struct op, link);
        struct drain *d = op->kind == &drain_kind && op->state == OP_RUNNING ? op->arg : NULL;
        if (d && !d->stop && drain_has(d, b))
            return d;
    }
    return NULL;
}

/* A drain without one of its backends; without the last it is over. */
static void drain_leave(struct drain *d, const struct backend *b, const char *why)
{
    uint64_t sessions = backend_sessions(b);
    if (d->n == 1) {
        drain_stop(d, why);
        return;
    }
    for (size_t i = 0; i < d->n; i++)
        if (d->backends[i] == b) {
            backend_unref(d->backends[i]);
            d->backends[i] = d->backends[--d->n];
            break;
        }
    d->op->total -= sessions < d->op->total ? sessions : d->op->total;
}

static struct drain *drain_new(struct control *c, const struct peer *peer,
                               const struct op_backends *drained)
{
    struct drain *d = calloc(1, sizeof(*d));
    AUTO_FREE char *target = op_target(drained->v, drained->n);
    if (d) {
        d->tally = kill_tally_new();
        d->backends = calloc(drained->n, sizeof(struct backend *));
    }
    if (!d || !d->tally || !d->backends || !target ||
        op_begin(c, &drain_kind, target, peer, d, &d->op) < 0) {
        if (d) {
            kill_tally_unref(d->tally);
            free(d->backends);
        }
        free(d);
        return NULL;
    }
    d->control = c;
    for (; d->n < drained->n; d->n++) {
        struct drain *other = drain_find(c, drained->v[d->n]);
        if (other && other != d)
            drain_leave(other, drained->v[d->n], "another operation goes on with it");
        d->backends[d->n] = backend_ref(drained->v[d->n]);
    }
    d->op->total = drain_left(d);
    op_start(d->op);
    loop_timer_init(&d->tick, on_drain_tick);
    drain_again(d);
    return d;
}

/* What the operator may not have meant: nobody is left in a pool who takes the logins. Owned; NULL
 * = fine. */
static char *drain_note(struct control *c, const struct op_backends *drained)
{
    for (size_t k = 0; k < drained->n && drained->admin != BACKEND_HOLD; k++) {
        const struct pool *p = pools_find(control_snapshot(c)->pools, drained->v[k]->pool);
        bool has_any = !p;
        for (size_t i = 0; p && i < p->n_members; i++) {
            const struct backend *b = p->members[i].backend;
            has_any =
                has_any || (p->members[i].weight > 0 && atomic_load(&b->admin) == BACKEND_READY &&
                            atomic_load(&b->health) != BACKEND_DOWN);
        }
        if (!has_any)
            return str_printf("no backend of pool %s takes logins now", p->config->name);
    }
    return NULL;
}

bool drain_is_kicking(const struct request *r, enum backend_admin admin)
{
    return admin == BACKEND_DISABLED || request_bool(r, "kick") || request_has(r, "deadline");
}

static void drain_start_spec(struct request *r, const struct op_backends *drained,
                             const struct drain_spec *spec)
{
    struct control *c = request_control(r);
    struct drain *d = drain_find(c, drained->v[0]);
    uint64_t left = 0;
    AUTO_FREE char *note = drain_note(c, drained);
    /* A drain that runs is followed only when it is about the very same backends. A backend that is
     * drained to be removed does not become one of several that are drained. */
    bool is_same = d && d->n == drained->n;
    for (size_t i = 0; i < drained->n; i++) {
        const struct drain *other = drained->n > 1 ? drain_find(c, drained->v[i]) : NULL;
        if (other && other->is_removed) {
            request_fail(r, -ERR_BUSY, "op list kind=drain", "%s is drained to be removed",
                         drained->v[i]->name);
            return;
        }
        is_same = is_same && drain_has(d, drained->v[i]);
        left += backend_sessions(drained->v[i]);
    }
    if (!is_same)
        d = NULL;
    if (!d && drained->n_changed == 0 && left == 0 && !spec->is_removed) {
        if (note)
            request_done(r, 0, false, "%s", note);
        else
            request_done(r, 0, false, NULL);
        return;
    }
    bool is_changed = drained->n_changed > 0 || !d;
    if (!d)
        d = drain_new(c, &r->peer, drained);
    if (!d) {
        request_fail(r, -ERR_NOMEM, NULL, "the state is set, but the sessions are not followed");
        return;
    }
    d->admin = drained->admin;
    drain_follow(d, spec);
    op_answer(d->op, r, left, is_changed, note);
}

static struct drain_spec drain_spec_of(const struct request *r, enum backend_admin admin)
{
    bool is_disable = admin == BACKEND_DISABLED;
    return (struct drain_spec){.is_kicking = is_disable || request_bool(r, "kick"),
                               .deadline_ms = request_number(r, "deadline", 0),
                               .rate = is_disable ? 0 : request_number(r, "rate", DRAIN_RATE),
                               .rate_per = request_number(r, "rate_per", 1),
                               .grace_ms = kill_grace_ms(r),
                               .text = request_text(r, "text")};
}

void drain_start(struct request *r, const struct op_backends *drained)
{
    const struct drain_spec spec = drain_spec_of(r, drained->admin);
    drain_start_spec(r, drained, &spec);
}

void drain_start_removal(struct request *r, const struct op_backends *drained)
{
    struct drain_spec spec = drain_spec_of(r, drained->admin);
    spec.is_removed = true;
    drain_start_spec(r, drained, &spec);
}

void drains_notice(struct control *c, const struct backend *b)
{
    struct drain *d = drain_find(c, b);
    if (d && atomic_load(&b->admin) != d->admin)
        drain_leave(d, b, "the backend was given another state");
}
