/* SPDX-License-Identifier: ISC */
/* Rings of samples, filled from the workers' and backends' counters. */
#include "runtime/history/history.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "proto/registry/registry.h"
#include "runtime/fullness.h"
#include "runtime/state.h"

#define HISTORY_FLUSH_STEPS 10 /* what an engine that dies takes with it */

/* Totals, of which samples are the differences. */
struct history_totals {
    uint64_t sessions, logins, failures, in, out;
};

struct history_series {
    struct backend *backend; /* one reference; NULL: all, or a protocol */
    unsigned proto;          /* without a backend; PROTO_COUNT = all */
    struct windows windows;
    struct history_totals last;
    struct history_sample minute;        /* the one under way */
    uint64_t first_second, first_minute; /* numbers of its first samples */
    bool is_seen;                        /* the snapshot has its backend */
    struct history_ring place;           /* in the file */
    size_t n_seconds, n_minutes;         /* sizes of its rings */
    struct history_sample *seconds, *minutes;
};

/* Samples on their way to the file. */
struct history_flush {
    struct work work;
    struct history *history; /* NULL: it is gone */
    struct history_file *file;
    bool is_over;                        /* its turn came */
    uint64_t from_seconds, from_minutes; /* the first samples in it */
    size_t n;
    struct history_write writes[];
};

struct history {
    struct control *control;
    struct loop_timer timer;
    uint64_t due_ms;
    uint64_t started_wall_ms;
    uint64_t n_taken;              /* seconds of this engine */
    uint64_t n_seconds, n_minutes; /* samples there ever were: places in the rings */
    uint64_t seconds_at[HISTORY_SECONDS], minutes_at[HISTORY_MINUTES];
    struct history_series *total, *protos[PROTO_COUNT];
    struct history_series *backends[HISTORY_BACKENDS_MAX];

    struct history_file *file;   /* NULL: nothing is kept */
    struct history_flush *flush; /* under way */
    bool is_failing;             /* the last one did */
    bool is_retired;             /* another engine writes its own */
    uint64_t flushed_seconds, flushed_minutes;
    uint64_t ids[HISTORY_BACKENDS_MAX]; /* of the backends at the places of the file; 0 = free */
};

/* ---- totals ---- */

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

/* ---- windows ---- */

static void window_totals(const struct history *h, const struct history_series *s,
                          struct window_counts *ret)
{
    const struct backend *b = s->backend;
    const struct engine_api *host = h->control->host;
    *ret = (struct window_counts){0};
    for (unsigned p = 0; !b && p < PROTO_COUNT; p++) {
        if (s->proto != p && s->proto != PROTO_COUNT)
            continue;
        for (size_t i = 0; i < host->n_workers; i++) {
            const struct counters *c = host->workers[i].counters;
            latency_add(&ret->login, &c->histograms[p][HISTOGRAM_BACKEND_LOGIN]);
            latency_add(&ret->connect, &c->histograms[p][HISTOGRAM_CONNECT]);
        }
        ret->logins += (uint32_t)engine_api_counter(host, p, COUNTER_LOGINS);
        ret->failures += (uint32_t)engine_api_counter(host, p, COUNTER_LOGIN_FAILURES);
    }
    if (!b)
        return;
    latency_add(&ret->login, &b->login_times);
    latency_add(&ret->connect, &b->connect_times);
    ret->logins = (uint32_t)total_of(&b->logins);
    ret->failures = (uint32_t)(total_of(&b->login_failures) + total_of(&b->connect_failures));
}

void history_window(const struct history *h, const struct history_series *s, enum window which,
                    struct window_counts *ret)
{
    struct window_counts now;
    window_totals(h, s, &now);
    windows_get(&s->windows, which, &now, ret);
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
    if (windows_is_due(h->n_seconds)) {
        struct window_counts counts;
        window_totals(h, s, &counts);
        windows_take(&s->windows, &counts, h->n_seconds);
    }
    s->seconds[h->n_seconds % s->n_seconds] = sample;
    s->minute.sessions = sample.sessions;
    s->minute.logins += sample.logins;
    s->minute.failures += sample.failures;
    s->minute.in += sample.in;
    s->minute.out += sample.out;
    if ((h->n_taken + 1) % HISTORY_STEPS_A_MINUTE != 0)
        return;
    s->minutes[h->n_minutes % s->n_minutes] = s->minute;
    s->minute = (struct history_sample){0};
}

static struct history_series *series_find(const struct history *h, const struct backend *b)
{
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        if (h->backends[i] && h->backends[i]->backend == b)
            return h->backends[i];
    return NULL;
}

static struct history_series *series_new(size_t n_seconds, size_t n_minutes)
{
    const size_t size = sizeof(struct history_sample);
    struct history_series *s = calloc(1, sizeof(*s) + (n_seconds + n_minutes) * size);
    if (!s)
        return NULL;
    s->n_seconds = n_seconds;
    s->n_minutes = n_minutes;
    s->seconds = (struct history_sample *)(s + 1);
    s->minutes = s->seconds + n_seconds;
    return s;
}

static void series_free(struct history_series *s)
{
    if (!s)
        return;
    backend_unref(s->backend);
    free(s);
}

/* The best place for a series: its own of the last time, else one that never had a backend, any
 * free one, that of a backend that is gone. HISTORY_BACKENDS_MAX when there is none. */
static size_t history_place(const struct history *h, uint64_t id)
{
    size_t place = HISTORY_BACKENDS_MAX;
    unsigned best = 0;
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++) {
        const struct history_series *s = h->backends[i];
        unsigned fitness;
        if (!s)
            fitness = h->ids[i] == id ? 4 : h->ids[i] == 0 ? 3 : 2;
        else
            fitness = !s->is_seen && total_of(&s->backend->sessions) == 0 ? 1 : 0;
        place = fitness > best ? i : place;
        best = fitness > best ? fitness : best;
    }
    return place;
}

static void series_load(const struct history *h, struct history_series *s);

static void history_see(struct history *h, struct backend *b)
{
    struct history_series *s = series_find(h, b);
    if (s) {
        s->is_seen = true;
        return;
    }
    char name[512];
    (void)snprintf(name, sizeof(name), "%s/%s", b->pool, b->name);
    uint64_t id = history_file_id(name);
    size_t place = history_place(h, id);
    if (place == HISTORY_BACKENDS_MAX ||
        !(s = series_new(HISTORY_BACKEND_SECONDS, HISTORY_BACKEND_MINUTES)))
        return;
    series_free(h->backends[place]);
    h->backends[place] = s;
    h->ids[place] = id;
    s->backend = backend_ref(b);
    s->is_seen = true;
    s->place = (struct history_ring){.is_backend = true, .place = (unsigned)place, .id = id};
    s->first_second = h->n_seconds;
    s->first_minute = h->n_minutes;
    series_load(h, s);
    if (h->n_taken > 0) { /* else everything happened in the first second */
        s->last = totals_of_backend(b);
        window_totals(h, s, &s->windows.base);
    }
}

/* Members of pools first: dynamic backends get what places are left. */
static void history_see_all(struct history *h)
{
    const struct snapshot *snapshot = control_snapshot(h->control);
    struct backend **dynamics = NULL;
    size_t n = 0;
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        if (h->backends[i])
            h->backends[i]->is_seen = false;
    if (!snapshot)
        return;
    for (size_t i = 0; i < snapshot->pools->n; i++)
        for (size_t k = 0; k < snapshot->pools->v[i].n_members; k++)
            history_see(h, snapshot->pools->v[i].members[k].backend);
    if (backend_registry_dynamics(h->control->host->registry, &dynamics, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        history_see(h, dynamics[i]);
        backend_unref(dynamics[i]);
    }
    free(dynamics);
}

/* ---- what is kept ---- */

static void flush_add(struct history_flush *f, const struct history *h,
                      const struct history_series *s, bool is_minutes, uint64_t at)
{
    struct history_write *w = &f->writes[f->n++];
    w->ring = s->place;
    w->ring.is_minutes = is_minutes;
    w->record.wall_ms =
        is_minutes ? h->minutes_at[at % HISTORY_MINUTES] : h->seconds_at[at % HISTORY_SECONDS];
    w->record.sample = is_minutes ? s->minutes[at % s->n_minutes] : s->seconds[at % s->n_seconds];
}

/* Samples since the last time; of a backend only its minutes. */
static void flush_add_series(struct history_flush *f, const struct history *h,
                             const struct history_series *s)
{
    for (uint64_t at = h->flushed_seconds; !s->backend && at < h->n_seconds; at++)
        flush_add(f, h, s, false, at);
    for (uint64_t at = h->flushed_minutes; at < h->n_minutes; at++)
        if (at >= s->first_minute)
            flush_add(f, h, s, true, at);
}

static void flush_gather(struct history_flush *f, struct history *h)
{
    f->from_seconds = h->flushed_seconds;
    f->from_minutes = h->flushed_minutes;
    flush_add_series(f, h, h->total);
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        flush_add_series(f, h, h->protos[p]);
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++)
        if (h->backends[i])
            flush_add_series(f, h, h->backends[i]);
    h->flushed_seconds = h->n_seconds;
    h->flushed_minutes = h->n_minutes;
}

/* Bytes of a flush of all that is new; what a failed one left behind is not tried again. */
static size_t flush_size(const struct history *h)
{
    size_t seconds = (size_t)(h->n_seconds - h->flushed_seconds);
    size_t minutes = (size_t)(h->n_minutes - h->flushed_minutes);
    size_t n = (1 + PROTO_COUNT) * (seconds + minutes) + HISTORY_BACKENDS_MAX * minutes;
    return sizeof(struct history_flush) + n * sizeof(struct history_write);
}

static int flush_run(struct work *w)
{
    const struct history_flush *f = CONTAINER_OF(w, struct history_flush, work);
    return history_file_write(f->file, f->writes, f->n);
}

static void flush_done(struct work *w)
{
    struct history *h = CONTAINER_OF(w, struct history_flush, work)->history;
    bool is_failing = w->err < 0;
    CONTAINER_OF(w, struct history_flush, work)->is_over = true;
    if (h && is_failing && !h->is_failing)
        LOG_EVENT(LOG_LEVEL_WARN, "history-not-kept", KV_ERR("error", w->err));
    if (h)
        h->is_failing = is_failing;
}

static void flush_fini(struct work *w)
{
    const struct history_flush *f = CONTAINER_OF(w, struct history_flush, work);
    struct history *h = f->history;
    if (!h)
        return;
    h->flush = NULL;
    if (f->is_over)
        return;
    /* The job threads ended before: these samples are written at the end. */
    h->flushed_seconds = f->from_seconds;
    h->flushed_minutes = f->from_minutes;
}

static void history_flush(struct history *h)
{
    if (h->flush || !h->file || h->is_retired ||
        h->n_seconds - h->flushed_seconds < HISTORY_FLUSH_STEPS)
        return;
    struct history_flush *f =
        work_new(&h->control->rpc, NULL, flush_size(h), flush_run, flush_done, flush_fini);
    if (!f)
        return;
    f->history = h;
    f->file = h->file;
    h->flush = f;
    flush_gather(f, h);
    work_post(&f->work, NULL);
}

/* At the end: what was on its way may have been dropped, twice does no harm. */
static void history_flush_now(struct history *h)
{
    struct history_flush *f = h->file && !h->is_retired ? calloc(1, flush_size(h)) : NULL;
    int err = 0;
    if (!f)
        return;
    flush_gather(f, h);
    if (h->flush)
        err = history_file_write(h->file, h->flush->writes, h->flush->n);
    if (err == 0)
        err = history_file_write(h->file, f->writes, f->n);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_WARN, "history-not-kept", KV_ERR("error", err));
    free(f);
}

/* Takes the samples of the file that are of the times that are known. Returns the number of the
 * first one, `last` when there is none. */
static uint64_t series_load_ring(const struct history *h, const struct history_series *s,
                                 bool is_minutes)
{
    const uint64_t *times = is_minutes ? h->minutes_at : h->seconds_at;
    uint64_t all = is_minutes ? HISTORY_MINUTES : HISTORY_SECONDS;
    uint64_t size = is_minutes ? s->n_minutes : s->n_seconds, n = 0;
    uint64_t last = is_minutes ? h->n_minutes : h->n_seconds, first = last;
    struct history_sample *ring = is_minutes ? s->minutes : s->seconds;
    AUTO_FREE struct history_record *records = calloc(HISTORY_MINUTES, sizeof(*records));
    struct history_ring place = s->place;
    place.is_minutes = is_minutes;
    if (records)
        n = history_file_read(h->file, place, clock_wall_ms(), records);
    uint64_t most = last < size ? last : size;
    for (uint64_t at = last - most, i = 0; at < last; at++) {
        while (i < n && records[i].wall_ms < times[at % all])
            i++;
        if (i == n || records[i].wall_ms != times[at % all])
            continue;
        ring[at % size] = records[i].sample;
        first = at < first ? at : first;
    }
    return first;
}

static void series_load(const struct history *h, struct history_series *s)
{
    if (!h->file)
        return;
    s->first_minute = series_load_ring(h, s, true);
    if (!s->backend)
        s->first_second = series_load_ring(h, s, false);
}

/* The times of the samples of all are those of every series. */
static uint64_t history_load_times(const struct history *h, bool is_minutes, uint64_t *times)
{
    const struct history_ring all = {.is_minutes = is_minutes, .id = h->total->place.id};
    AUTO_FREE struct history_record *records = calloc(HISTORY_MINUTES, sizeof(*records));
    size_t n = records ? history_file_read(h->file, all, clock_wall_ms(), records) : 0;
    for (size_t i = 0; i < n; i++)
        times[i] = records[i].wall_ms;
    return n;
}

static void history_load(struct history *h, const char *path)
{
    int err = history_file_open(path, &h->file);
    if (err < 0) {
        LOG_EVENT(LOG_LEVEL_WARN, "history-not-kept", KV_STR("file", path), KV_ERR("error", err));
        return;
    }
    h->n_seconds = h->flushed_seconds = history_load_times(h, false, h->seconds_at);
    h->n_minutes = h->flushed_minutes = history_load_times(h, true, h->minutes_at);
    for (unsigned i = 0; i < HISTORY_BACKENDS_MAX; i++)
        h->ids[i] = history_file_backend(h->file, i);
    series_load(h, h->total);
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        series_load(h, h->protos[p]);
}

/* ---- time ---- */

void history_take(struct history *h, uint64_t wall_ms)
{
    struct history_totals all = {0};
    const struct engine_api *host = h->control->host;
    h->is_retired = host->is_retired && host->is_retired(host->arg);
    history_see_all(h);
    for (unsigned p = 0; p < PROTO_COUNT; p++) {
        const struct history_totals now = {
            .sessions = engine_api_counter(host, p, COUNTER_SESSIONS),
            .logins = engine_api_counter(host, p, COUNTER_LOGINS),
            .failures = engine_api_counter(host, p, COUNTER_LOGIN_FAILURES),
            .in = engine_api_counter(host, p, COUNTER_IN_BYTES),
            .out = engine_api_counter(host, p, COUNTER_OUT_BYTES),
        };
        all.sessions += now.sessions;
        all.logins += now.logins;
        all.failures += now.failures;
        all.in += now.in;
        all.out += now.out;
        series_take(h, h->protos[p], &now);
    }
    series_take(h, h->total, &all);
    for (size_t i = 0; i < HISTORY_BACKENDS_MAX; i++) {
        struct history_series *s = h->backends[i];
        if (!s)
            continue;
        struct history_totals now = totals_of_backend(s->backend);
        series_take(h, s, &now);
    }
    h->seconds_at[h->n_seconds++ % HISTORY_SECONDS] = wall_ms;
    if (++h->n_taken % HISTORY_STEPS_A_MINUTE == 0)
        h->minutes_at[h->n_minutes++ % HISTORY_MINUTES] = wall_ms;
    history_flush(h);
}

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
    fullness_look(h->control, clock_ms());
    history_plan(h);
}

/* ---- life ---- */

static struct history_series *whole_new(unsigned place, const char *name)
{
    struct history_series *s = series_new(HISTORY_SECONDS, HISTORY_MINUTES);
    if (s)
        s->place = (struct history_ring){.place = place, .id = history_file_id(name)};
    return s;
}

int history_new(struct control *c, const char *path, struct history **ret)
{
    struct history *h = calloc(1, sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    h->control = c;
    h->due_ms = clock_ms();
    h->started_wall_ms = clock_wall_ms() - (h->due_ms - c->host->started_ms);
    loop_timer_init(&h->timer, on_history_timer);
    bool is_good = (h->total = whole_new(0, "")) != NULL;
    for (unsigned p = 0; is_good && p < PROTO_COUNT; p++)
        is_good = (h->protos[p] = whole_new(1 + p, proto_get(p)->name)) != NULL;
    if (!is_good) {
        history_free(h);
        return -ERR_NOMEM;
    }
    h->total->proto = PROTO_COUNT;
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        h->protos[p]->proto = p;
    if (path)
        history_load(h, path);
    history_plan(h);
    *ret = h;
    return 0;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    loop_timer_cancel(h->control->host->loop, &h->timer);
    history_flush_now(h);
    if (h->flush)
        h->flush->history = NULL;
    history_file_free(h->file);
    series_free(h->total);
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        series_free(h->protos[p]);
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
    return h->total;
}

const struct history_series *history_proto(const struct history *h, enum proto_id p)
{
    return h->protos[p];
}

const struct history_series *history_of_backend(const struct history *h, const struct backend *b)
{
    return series_find(h, b);
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
    size_t most = is_minutes ? s->n_minutes : s->n_seconds;
    return n < most ? (size_t)n : most;
}

const struct history_sample *history_get(const struct history *h, const struct history_series *s,
                                         bool is_minutes, size_t back, uint64_t *ret_wall_ms)
{
    uint64_t at = (is_minutes ? h->n_minutes : h->n_seconds) - 1 - back;
    *ret_wall_ms =
        is_minutes ? h->minutes_at[at % HISTORY_MINUTES] : h->seconds_at[at % HISTORY_SECONDS];
    return is_minutes ? &s->minutes[at % s->n_minutes] : &s->seconds[at % s->n_seconds];
}
