/* SPDX-License-Identifier: ISC */
/* The steps for one user: hold on all workers, end the sessions elsewhere, change the pin, let go.
 * The hold lives in the workers only: an engine that dies leaves the old pin or the new one, and
 * nobody waiting. */
#include "ops/user_move_step.h"

#include "base/clock.h"
#include "ops/kill.h"
#include "peers/peers.h"
#include "peers/workers.h"
#include "runtime/state.h"

#define USER_MOVE_STEP_TICK_MS 100   /* so that no tick of the loop is passed over */
#define USER_MOVE_STEP_STOP_MS 10000 /* for who carries the mailbox to stop doing so */

struct user_move_step {
    struct ask ask; /* the answers of the workers to the hold */
    struct control *control;
    const struct user_move_plan *plan;
    char *user;
    struct kill_tally *tally;
    uint64_t held_ms, deadline_ms; /* monotonic */
    struct loop_timer timer;
    char *from_pool, *from, *from_host; /* with a plan that carries */
    bool is_carrying;                   /* somebody carries the mailbox */
    bool is_held;                       /* all workers hold the user */
    bool is_busy;                       /* something answers later */
    bool is_stopped;                    /* by the operator */
    bool is_over;                       /* of the control plane */
};

static void user_move_step_unlink(struct user_move_step *m)
{
    loop_timer_cancel(m->control->host->loop, &m->timer);
    (void)map_del(&m->control->moving, str_of(m->user));
    if (!m->is_held && !m->is_over)
        ask_end(&m->ask);
}

void user_move_step_free(struct user_move_step *m)
{
    if (!m)
        return;
    user_move_step_unlink(m);
    kill_tally_unref(m->tally);
    free(m->user);
    free(m->from_pool);
    free(m->from);
    free(m->from_host);
    free(m);
}

/* ---- the end ---- */

static void user_move_step_release(const struct user_move_step *m)
{
    const struct session_hold_spec spec = {.user = m->user};
    for (size_t w = 0; worker_next(m->control, &w); w++)
        (void)!worker_hold(m->control, w, &spec);
}

static void user_move_step_end(struct user_move_step *m, int err, const char *text, bool is_changed)
{
    const struct user_move_plan *plan = m->plan;
    user_move_step_release(m);
    user_move_step_unlink(m);
    kill_tally_merge(plan->tally, m->tally);
    kill_tally_unref(m->tally);
    const struct user_moved result = {.user = m->user,
                                      .err = err,
                                      .text = text,
                                      .is_changed = is_changed,
                                      .from = m->from,
                                      .held_ms = loop_now_ms(m->control->host->loop) - m->held_ms};
    plan->done(plan->arg, &result);
    free(m->user);
    free(m->from_pool);
    free(m->from);
    free(m->from_host);
    free(m);
}

/* ---- the pin ---- */

struct user_move_pin {
    struct work work;
    struct user_move_step *step;
    struct pools *pools; /* one reference: is the new place still there? */
    char *user, *pool, *backend;
    bool is_changed;
};

static int pin_text(char **field, const char *value, bool *is_changed)
{
    char *copy = NULL;
    if (str_eq(str_of(*field), str_of(value)))
        return 0;
    if (value && !(copy = str_dup_c(value)))
        return -ERR_NOMEM;
    free(*field);
    *field = copy;
    *is_changed = true;
    return 0;
}

static int pin_run(struct work *w)
{
    struct user_move_pin *p = CONTAINER_OF(w, struct user_move_pin, work);
    CLEANUP(store_user_fini) struct store_user u = {0};
    struct store *store = work_control(w)->host->store;
    if (p->backend ? !pools_member(p->pools, p->pool, p->backend, NULL)
                   : p->pool && !pools_find(p->pools, p->pool))
        return p->backend ? -ERR_NO_BACKEND : -ERR_NO_POOL;
    int err = store_user_get(store, p->user, &u);
    if (err == -ERR_NO_USER) { /* nobody said anything of a user whom others judge */
        u = (struct store_user){.name = str_dup_c(p->user)};
        err = u.name ? 0 : -ERR_NOMEM;
    }
    if (err == 0)
        err = pin_text(&u.pool, p->pool, &p->is_changed);
    if (err == 0)
        err = pin_text(&u.backend, p->backend, &p->is_changed);
    if (err == 0 && p->is_changed)
        err = store_user_put(store, &u, STORE_UPSERT, clock_wall_ms());
    return err;
}

static void pin_done(struct work *w)
{
    struct user_move_pin *p = CONTAINER_OF(w, struct user_move_pin, work);
    const struct engine_api *h = work_control(w)->host;
    if (w->err == 0)
        h->forget_user(h->arg, p->user);
    user_move_step_end(p->step, w->err, w->err < 0 ? err_text(w->err) : NULL,
                       w->err == 0 && p->is_changed);
}

static void pin_fini(struct work *w)
{
    struct user_move_pin *p = CONTAINER_OF(w, struct user_move_pin, work);
    pools_unref(p->pools);
    free(p->user);
    free(p->pool);
    free(p->backend);
}

static void user_move_step_pin(struct user_move_step *m)
{
    struct user_move_pin *p =
        work_new(&m->control->rpc, NULL, sizeof(*p), pin_run, pin_done, pin_fini);
    if (!p) {
        user_move_step_end(m, -ERR_NOMEM, err_text(-ERR_NOMEM), false);
        return;
    }
    p->step = m;
    p->pools = pools_ref(control_snapshot(m->control)->pools);
    p->user = str_dup_c(m->user);
    p->pool = str_dup_c(m->plan->pool);
    p->backend = str_dup_c(m->plan->backend);
    if (!p->user || (m->plan->pool && !p->pool) || (m->plan->backend && !p->backend)) {
        work_free(&p->work);
        user_move_step_end(m, -ERR_NOMEM, err_text(-ERR_NOMEM), false);
        return;
    }
    m->is_busy = true;
    work_post(&p->work, &m->control->user_queue);
}

/* ---- the mailbox ---- */

/* Nobody has a session at the old place: now the mailbox may be carried. */
static void user_move_step_carry(struct user_move_step *m)
{
    const struct user_move_plan *plan = m->plan;
    if (plan->gather) {
        m->is_carrying = true;
        loop_timer_set(m->control->host->loop, &m->timer, plan->carry_ms);
        plan->gather(plan->arg, m, m->user);
        return;
    }
    bool is_there = str_eq(str_of(m->from), str_of(plan->backend)) &&
                    str_eq(str_of(m->from_pool), str_of(plan->pool));
    if (!plan->carry || is_there) {
        user_move_step_pin(m);
        return;
    }
    const struct user_place from = {.pool = m->from_pool, .backend = m->from, .host = m->from_host};
    m->is_carrying = true;
    loop_timer_set(m->control->host->loop, &m->timer, plan->carry_ms);
    plan->carry(plan->arg, m, m->user, &from);
}

void user_move_step_carried(struct user_move_step *m, int err, const char *text)
{
    m->is_carrying = false;
    loop_timer_cancel(m->control->host->loop, &m->timer);
    /* one that has come over all the same stays where it is when it is to be stopped */
    if (m->is_stopped)
        user_move_step_end(m, -ERR_CANCELLED, err_text(-ERR_CANCELLED), false);
    else if (err < 0)
        user_move_step_end(m, err, text, false);
    else
        user_move_step_pin(m);
}

/* ---- sessions elsewhere ---- */

static void user_move_step_look(struct user_move_step *m);

static void user_move_step_again(struct user_move_step *m)
{
    loop_timer_set(m->control->host->loop, &m->timer, USER_MOVE_STEP_TICK_MS);
}

/* Asks for, or ends, the user's sessions that these terms (two at most) find, too, and that are
 * elsewhere than they are to go. */
static int user_move_step_ask(struct user_move_step *m, const struct filter_is *which, size_t n,
                              struct kill_spec spec)
{
    const char *pool = m->plan->pool, *backend = m->plan->backend;
    AUTO_FREE char *there =
        backend && pool ? str_printf("%s/%s", pool, backend) : str_dup_c(backend ? backend : pool);
    const struct filter_is elsewhere = {.id = backend ? SESSION_FIELD_BACKEND : SESSION_FIELD_POOL,
                                        .is_negated = true,
                                        .values = (const char *[]){there},
                                        .n_values = 1};
    struct filter_is terms[4] = {
        {.id = SESSION_FIELD_USER, .values = (const char *[]){m->user}, .n_values = 1}};
    size_t n_terms = 1;
    for (size_t i = 0; i < n; i++)
        terms[n_terms++] = which[i];
    if (backend || pool)
        terms[n_terms++] = elsewhere;
    spec.arg = m;
    int err = (backend || pool) && !there ? -ERR_NOMEM
                                          : kill_start_terms(m->control, &spec, terms, n_terms);
    m->is_busy = err == 0;
    return err;
}

static void on_step_kicked(void *arg, int err, uint64_t n)
{
    struct user_move_step *m = arg;
    (void)n;
    m->is_busy = false;
    m->is_over = m->is_over || err == -ERR_SHUTDOWN;
    if (!m->is_over)
        user_move_step_again(m);
}

static void on_step_counted(void *arg, const struct kill_result *result)
{
    struct user_move_step *m = arg;
    m->is_busy = false;
    m->is_over = m->is_over || result->err == -ERR_SHUTDOWN;
    if (m->is_over)
        return;
    if (m->is_stopped) {
        user_move_step_end(m, -ERR_CANCELLED, err_text(-ERR_CANCELLED), false);
        return;
    }
    if (result->err == 0 && result->matched == 0 && m->tally->n_running == 0) {
        /* None is left, as far as anybody can say. */
        AUTO_FREE char *silent = peers_silent(m->control);
        AUTO_FREE char *text = silent ? str_printf("engine %s does not answer", silent) : NULL;
        if (silent)
            user_move_step_end(m, -ERR_TIMEOUT, text ? text : err_text(-ERR_TIMEOUT), false);
        else
            user_move_step_carry(m);
        return;
    }
    if (loop_now_ms(m->control->host->loop) >= m->deadline_ms) {
        user_move_step_end(m, -ERR_TIMEOUT, "sessions did not end in time", false);
        return;
    }
    /* Who is between judging and relay passes on to the relay and is kicked then. */
    const struct kill_spec spec = {.kind = REPLY_KICKED,
                                   .text = m->plan->text,
                                   .grace_ms = m->plan->grace_ms,
                                   .tally = m->tally,
                                   .told = on_step_kicked};
    if (user_move_step_ask(m, kill_relayed, KILL_RELAYED_TERMS, spec) < 0)
        user_move_step_again(m);
}

static void user_move_step_look(struct user_move_step *m)
{
    const char *const states[] = {"connect", "backend-tls", "backend-login", "relay"};
    const struct filter_is judged = {
        .id = SESSION_FIELD_STATE, .values = states, .n_values = ARRAY_LEN(states)};
    const struct kill_spec spec = {.is_dry = true, .done = on_step_counted};
    if (user_move_step_ask(m, &judged, 1, spec) < 0)
        user_move_step_end(m, -ERR_NOMEM, err_text(-ERR_NOMEM), false);
}

static void on_place(void *arg, const struct user_place *place, const char *text)
{
    struct user_move_step *m = arg;
    m->is_busy = false;
    if (m->is_stopped) {
        user_move_step_end(m, -ERR_CANCELLED, err_text(-ERR_CANCELLED), false);
        return;
    }
    if (!place) {
        user_move_step_end(m, -ERR_NOT_FOUND, text, false);
        return;
    }
    m->from_pool = str_dup_c(place->pool);
    m->from = str_dup_c(place->backend);
    m->from_host = str_dup_c(place->host);
    if (m->from_pool && m->from && m->from_host)
        user_move_step_look(m);
    else
        user_move_step_end(m, -ERR_NOMEM, err_text(-ERR_NOMEM), false);
}

static void on_step_timer(struct loop_timer *t)
{
    struct user_move_step *m = CONTAINER_OF(t, struct user_move_step, timer);
    if (m->is_carrying && m->is_stopped)
        user_move_step_carried(m, -ERR_CANCELLED, err_text(-ERR_CANCELLED));
    else if (m->is_carrying)
        user_move_step_carried(m, -ERR_TIMEOUT,
                               m->plan->gather ? "the other nodes were not ready in time"
                                               : "the mailbox was not carried in time");
    else if (m->is_stopped)
        user_move_step_end(m, -ERR_CANCELLED, err_text(-ERR_CANCELLED), false);
    else if (m->is_held)
        user_move_step_look(m);
    else
        user_move_step_end(m, -ERR_TIMEOUT, "a worker does not answer", false);
}

/* ---- the hold ---- */

static void on_step_held(struct ask *a, int err)
{
    struct user_move_step *m = CONTAINER_OF(a, struct user_move_step, ask);
    if (err < 0) {
        m->is_over = true;
        return;
    }
    m->is_held = true;
    loop_timer_cancel(m->control->host->loop, &m->timer);
    /* All workers hold the user: what the sessions tell of the mailbox is true from now on. */
    const struct user_place_spec spec = {
        .user = m->user, .is_server_named = m->plan->is_server_named, .done = on_place, .arg = m};
    if (!m->plan->carry)
        user_move_step_look(m);
    else if (user_place_find(m->control, &spec) == 0)
        m->is_busy = true;
    else
        user_move_step_end(m, -ERR_NOMEM, err_text(-ERR_NOMEM), false);
}

static int user_move_step_hold(struct user_move_step *m)
{
    const struct engine_api *h = m->control->host;
    const struct session_hold_spec spec = {.user = m->user,
                                           .is_on = true,
                                           .number = m->ask.number,
                                           .reply = loop_mailbox(h->loop),
                                           .deliver = ask_deliver_killed};
    int err = 0;
    for (size_t w = 0; err == 0 && worker_next(m->control, &w); w++) {
        err = worker_hold(m->control, w, &spec);
        m->ask.n_waiting += err == 0;
    }
    return err;
}

int user_move_step_start(struct control *c, const struct user_move_plan *plan, const char *user,
                         struct user_move_step **ret)
{
    if (map_get(&c->moving, str_of(user)))
        return -ERR_BUSY;
    struct user_move_step *m = calloc(1, sizeof(*m));
    if (!m)
        return -ERR_NOMEM;
    m->control = c;
    m->plan = plan;
    m->user = str_dup_c(user);
    m->tally = kill_tally_new();
    m->held_ms = loop_now_ms(c->host->loop);
    m->deadline_ms = loop_now_ms(c->host->loop) + plan->timeout_ms;
    m->ask = (struct ask){.on_over = on_step_held};
    loop_timer_init(&m->timer, on_step_timer);
    if (!m->user || !m->tally || map_put(&c->moving, str_of(m->user), m, NULL) < 0) {
        kill_tally_unref(m->tally);
        free(m->user);
        free(m);
        return -ERR_NOMEM;
    }
    int err = ask_begin(c, &m->ask);
    if (err < 0) {
        m->is_over = true; /* no ask to end */
        user_move_step_free(m);
        return err;
    }
    err = user_move_step_hold(m);
    if (err < 0) {
        user_move_step_release(m);
        user_move_step_free(m);
        return err;
    }
    loop_timer_set(c->host->loop, &m->timer, plan->timeout_ms);
    *ret = m;
    return 0;
}

void user_move_step_stop(struct user_move_step *m)
{
    m->is_stopped = true;
    if (m->is_carrying) { /* whoever carries is told, and has a moment to stop */
        bool is_told = m->plan->carry_stop(m->plan->arg, m->user);
        loop_timer_set(m->control->host->loop, &m->timer,
                       is_told ? USER_MOVE_STEP_STOP_MS : USER_MOVE_STEP_TICK_MS);
    } else if (!m->is_busy)
        user_move_step_again(m);
}
