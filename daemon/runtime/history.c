/* SPDX-License-Identifier: ISC */
/* Rings of samples, filled from the workers' and backends' counters. */
#include "runtime/history.h"

#include "base/clock.h"
#include "runtime/state.h"

/* Totals, of which samples are the differences. */
struct history_totals {
    uint64_t sessions, logins, failures, in, out;
};

struct history_series {
    struct backend *backend; /* one reference; NULL: all, or a protocol */
    struct history_totals last;
    struct history_sample minute;        /* the one under way */
    uint64_t first_second, first_minute; /* numbers of its first samples */
    bool is_seen;                        /* the setup has its backend */
    struct history_sample seconds[HISTORY_SECONDS], minutes[HISTORY_MINUTES];
};

struct history {
    struct control *control;
    struct loop_timer timer;
    uint64_t due_ms;
    uint64_t started_wall_ms;
    uint64_t n_seconds, n_minutes; /* samples taken so far: places in the rings */
    uint64_t seconds_at[HISTORY_SECONDS], minutes_at[HISTORY_MINUTES];
    struct history_series total, protos[PROTO_COUNT];
    struct history_series *backends[HISTORY_BACKENDS_MAX];
};

/* ---- totals ---- */

static struct history_totals totals_of_proto(const struct engine_api *h, unsigned p)
{
    return (struct history_totals){
        .sessions = control_host_counter(h, p, COUNTER_SESSIONS),
        .logins = control_host_counter(h, p, COUNTER_LOGINS),
        .failures = control_host_counter(h, p, COUNTER_LOGIN_FAILURES),
        .in = control_host_counter(h, p, COUNTER_IN_BYTES),
        .out = control_host_counter(h, p, COUNTER_OUT_BYTES),
    };
}

static void totals_add(struct history_totals *t, const struct history_totals *more)
{
    t->sessions += more->sessions;
    t->logins += more->logins;
    t->failures += more->failures;
    t->in += more->in;
    t->out += more->out;
}

static uint64_t total_of(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static struct history_totals totals_of_backend(const struct backend *b)
{
    return (struct history_totals){
        .sessions = backend_sessions(b),
        .logins = total_of(&b->logins),
        .failures = total_of(&b->login_failures) + total_of(&b->connect_failures),
        .in = total_of(&b->in_bytes),
        .out = total_of(&b->out_bytes),
    };
}

/* ---- samples ---- */

static uint32_t history_clip(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void series_take(const struct history *h, struct history_series *s,
                        const struct history_totals *now)
{
    const struct history_sample sample = {
        .sessions = history_clip(now->sessions),
        .logins = history_clip(now->logins - s->last.logins),
        .failures = history_clip(now->failures - s->last.failures),
        .in = now->in - s->last.in,
        .out = now->out - s->last.out,
    };
    s->last = *now;
    s->seconds[h->n_seconds % HISTORY_SECONDS] = sample;
    s->minute.sessions = sample.sessions;
    s->minute.logins += sample.logins;
    s->minute.failures += sample.failures;
    s->minute.in += sample.in;
    s->minute.out += sample.out;
    if ((h->n_seconds + 1) % HISTORY_STEPS_A_MINUTE != 0)
        return;
    s->minutes[h->n_minutes % HISTORY_MINUTES] = s->minute;
    s->minute = (struct history_sample){0};
}

static struct history_series *series_find(const struct history *h, const struct backend *b)
{
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        if (h->backends[i] && h->backends[i]->backend == b)
            return h->backends[i];
    return NULL;
}

static void series_free(struct history_series *s)
{
    if (!s)
        return;
    backend_unref(s->backend);
    free(s);
}

/* A free place, else that of a backend that is gone; NULL when there is none. */
static struct history_series **history_place(struct history *h)
{
    struct history_series **gone = NULL;
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++) {
        if (!h->backends[i])
            return &h->backends[i];
        bool is_gone =
            !h->backends[i]->is_seen && total_of(&h->backends[i]->backend->sessions) == 0;
        if (is_gone && !gone)
            gone = &h->backends[i];
    }
    return gone;
}

static void history_see(struct history *h, struct backend *b)
{
    struct history_series *s = series_find(h, b);
    if (s) {
        s->is_seen = true;
        return;
    }
    struct history_series **place = history_place(h);
    if (!place || !(s = calloc(1, sizeof(*s))))
        return;
    series_free(*place);
    *place = s;
    s->backend = backend_ref(b);
    s->is_seen = true;
    s->first_second = h->n_seconds;
    s->first_minute = h->n_minutes;
    if (h->n_seconds > 0) /* else everything happened in the first second */
        s->last = totals_of_backend(b);
}

/* Members of pools first: dynamic backends get what places are left. */
static void history_see_all(struct history *h)
{
    const struct setup *setup = control_setup(h->control);
    struct backend **dynamics = NULL;
    size_t n = 0;
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        if (h->backends[i])
            h->backends[i]->is_seen = false;
    if (!setup)
        return;
    for (size_t i = 0; i < setup->pools->n; i++)
        for (size_t k = 0; k < setup->pools->v[i].n_members; k++)
            history_see(h, setup->pools->v[i].members[k].backend);
    if (backend_registry_dynamics(h->control->host->registry, &dynamics, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        history_see(h, dynamics[i]);
        backend_unref(dynamics[i]);
    }
    free(dynamics);
}

void history_take(struct history *h, uint64_t wall_ms)
{
    struct history_totals all = {0};
    history_see_all(h);
    for (unsigned p = 0; p < PROTO_COUNT; p++) {
        const struct history_totals now = totals_of_proto(h->control->host, p);
        totals_add(&all, &now);
        series_take(h, &h->protos[p], &now);
    }
    series_take(h, &h->total, &all);
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++) {
        struct history_series *s = h->backends[i];
        if (!s)
            continue;
        struct history_totals now = totals_of_backend(s->backend);
        series_take(h, s, &now);
    }
    h->seconds_at[h->n_seconds++ % HISTORY_SECONDS] = wall_ms;
    if (h->n_seconds % HISTORY_STEPS_A_MINUTE == 0)
        h->minutes_at[h->n_minutes++ % HISTORY_MINUTES] = wall_ms;
}

/* ---- life ---- */

/* By a plan, so that late turns of the loop do not add up; what was slept through is left out. */
static void history_plan(struct history *h)
{
    struct loop *l = h->control->host->loop;
    uint64_t now = clock_ms();
    h->due_ms += HISTORY_STEP_MS;
    if (h->due_ms <= now)
        h->due_ms = now + HISTORY_STEP_MS;
    loop_timer_set(l, &h->timer, h->due_ms - now);
}

static void on_history_timer(struct loop_timer *t)
{
    struct history *h = CONTAINER_OF(t, struct history, timer);
    history_take(h, clock_wall_ms());
    history_plan(h);
}

int history_new(struct control *c, struct history **ret)
{
    struct history *h = calloc(1, sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    h->control = c;
    h->due_ms = clock_ms();
    h->started_wall_ms = clock_wall_ms() - (h->due_ms - c->host->started_ms);
    loop_timer_init(&h->timer, on_history_timer);
    history_plan(h);
    *ret = h;
    return 0;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    loop_timer_cancel(h->control->host->loop, &h->timer);
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        series_free(h->backends[i]);
    free(h);
}

uint64_t history_started_ms(const struct history *h)
{
    return h->started_wall_ms;
}

/* ---- reading ---- */

const struct history_series *history_total(const struct history *h)
{
    return &h->total;
}

const struct history_series *history_proto(const struct history *h, enum proto_id p)
{
    return &h->protos[p];
}

const struct history_series *history_backend(const struct history *h, const char *name)
{
    struct str bare = str_of(name), pool = STR_NULL;
    ptrdiff_t slash = str_index(bare, '/');
    if (slash >= 0)
        pool = str_cut(&bare, '/');
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++) {
        const struct backend *b = h->backends[i] ? h->backends[i]->backend : NULL;
        bool is_it =
            b && (str_eq(str_of(b->name), str_of(name)) ||
                  (slash >= 0 && str_eq(str_of(b->name), bare) && str_eq(str_of(b->pool), pool)));
        if (is_it)
            return h->backends[i];
    }
    return NULL;
}

size_t history_count(const struct history *h, const struct history_series *s, bool is_minutes)
{
    uint64_t n = is_minutes ? h->n_minutes - s->first_minute : h->n_seconds - s->first_second;
    size_t most = is_minutes ? HISTORY_MINUTES : HISTORY_SECONDS;
    return n < most ? (size_t)n : most;
}

const struct history_sample *history_get(const struct history *h, const struct history_series *s,
                                         bool is_minutes, size_t back, uint64_t *ret_wall_ms)
{
    size_t at;
    if (is_minutes) {
        at = (size_t)((h->n_minutes - 1 - back) % HISTORY_MINUTES);
        *ret_wall_ms = h->minutes_at[at];
        return &s->minutes[at];
    }
    at = (size_t)((h->n_seconds - 1 - back) % HISTORY_SECONDS);
    *ret_wall_ms = h->seconds_at[at];
    return &s->seconds[at];
}
