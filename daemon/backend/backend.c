/* SPDX-License-Identifier: ISC */
/* The state words of one mail host: what operators want, what checks and logins found. */
#include "backend/backend.h"

#include <pthread.h>
#include <stdio.h>

#include "backend/login_queue.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "proto/registry/registry.h"

#define BACKEND_PROBE_MS 1000      /* after it went down: the first login that may try */
#define BACKEND_PROBE_MAX_MS 30000 /* longest pause between such logins */

struct backend_text {
    pthread_mutex_t lock;
    char reason[BACKEND_REASON_MAX], admin_reason[BACKEND_REASON_MAX];
    char checked_by[BACKEND_BY_MAX];
    char *capabilities[PROTO_COUNT]; /* NULL = unknown */
    struct backend_failure failures[PROTO_COUNT];
};

static const char *const health_names[BACKEND_HEALTH_COUNT] = {"unknown", "up", "down"};
static const char *const admin_names[BACKEND_ADMIN_COUNT] = {"ready", "drain", "disabled", "hold"};

const char *backend_health_name(enum backend_health h)
{
    return (unsigned)h < BACKEND_HEALTH_COUNT ? health_names[h] : health_names[BACKEND_UNKNOWN];
}

const char *backend_admin_name(enum backend_admin a)
{
    return (unsigned)a < BACKEND_ADMIN_COUNT ? admin_names[a] : admin_names[BACKEND_READY];
}

int backend_admin_find(const char *name, enum backend_admin *ret)
{
    for (unsigned i = 0; i < BACKEND_ADMIN_COUNT; i++)
        if (str_ieq(str_of(name), str_of(admin_names[i]))) {
            *ret = (enum backend_admin)i;
            return 0;
        }
    return -ERR_INVAL;
}

/* ---- object ---- */

static void backend_free(struct backend *b)
{
    for (size_t i = 0; b->text && i < PROTO_COUNT; i++)
        free(b->text->capabilities[i]);
    if (b->text)
        pthread_mutex_destroy(&b->text->lock);
    free(b->text);
    login_queue_unref(b->queue);
    free(b->pool);
    free(b->name);
    free(b);
}

int backend_new(const char *pool, const char *name, struct backend **ret)
{
    struct backend *b = calloc(1, sizeof(*b));
    if (!b)
        return -ERR_NOMEM;
    atomic_init(&b->refs, 1);
    b->pool = str_dup_c(pool);
    b->name = str_dup_c(name);
    b->text = calloc(1, sizeof(*b->text));
    if (b->text && pthread_mutex_init(&b->text->lock, NULL) != 0) {
        free(b->text);
        b->text = NULL;
    }
    if (!b->pool || !b->name || !b->text) {
        backend_free(b);
        return -ERR_NOMEM;
    }
    *ret = b;
    return 0;
}

struct backend *backend_ref(struct backend *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void backend_unref(struct backend *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        backend_free(b);
}

/* ---- text ---- */

/* One of the two reasons. */
static void backend_put_text(struct backend *b, char at[BACKEND_REASON_MAX], const char *reason)
{
    pthread_mutex_lock(&b->text->lock);
    (void)str_copy(at, BACKEND_REASON_MAX, str_of(reason));
    pthread_mutex_unlock(&b->text->lock);
}

static void backend_get_text(const struct backend *b, const char at[BACKEND_REASON_MAX],
                             char dst[BACKEND_REASON_MAX])
{
    pthread_mutex_lock(&b->text->lock);
    memcpy(dst, at, BACKEND_REASON_MAX);
    pthread_mutex_unlock(&b->text->lock);
}

void backend_reason(const struct backend *b, char dst[BACKEND_REASON_MAX])
{
    backend_get_text(b, b->text->reason, dst);
}

void backend_admin_reason(const struct backend *b, char dst[BACKEND_REASON_MAX])
{
    backend_get_text(b, b->text->admin_reason, dst);
}

void backend_set_checked_by(struct backend *b, const char *name)
{
    pthread_mutex_lock(&b->text->lock);
    (void)str_copy(b->text->checked_by, sizeof(b->text->checked_by), str_of(name));
    pthread_mutex_unlock(&b->text->lock);
}

void backend_checked_by(const struct backend *b, char dst[BACKEND_BY_MAX])
{
    pthread_mutex_lock(&b->text->lock);
    memcpy(dst, b->text->checked_by, BACKEND_BY_MAX);
    pthread_mutex_unlock(&b->text->lock);
}

void backend_learn(struct backend *b, enum proto_id p, struct str caps)
{
    char separator = str_index(caps, '\n') >= 0 ? '\n' : ' ';
    size_t n = caps.n;
    if (n >= BACKEND_CAPS_MAX) { /* as much as fits, whole entries only */
        n = BACKEND_CAPS_MAX - 1;
        while (n > 0 && caps.p[n] != separator)
            n--;
    }
    struct str kept = str_n(caps.p, n);
    bool can_pipeline = false;
    for (struct str rest = kept; rest.n > 0 && !can_pipeline;)
        can_pipeline = str_ieq(str_trim(str_cut(&rest, separator)), STR("PIPELINING"));
    if (can_pipeline)
        atomic_fetch_or_explicit(&b->pipelining, (uint8_t)(1u << p), memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&b->pipelining, (uint8_t) ~(1u << p), memory_order_relaxed);
    char **slot = &b->text->capabilities[p];
    char *copy = NULL;
    pthread_mutex_lock(&b->text->lock);
    bool is_same = str_eq(str_of(*slot), kept);
    if (!is_same && (kept.n == 0 || (copy = str_dup(kept)))) {
        free(*slot);
        *slot = copy;
    }
    pthread_mutex_unlock(&b->text->lock);
}

void backend_capabilities(const struct backend *b, enum proto_id p, char dst[BACKEND_CAPS_MAX])
{
    pthread_mutex_lock(&b->text->lock);
    (void)str_copy(dst, BACKEND_CAPS_MAX, str_of(b->text->capabilities[p]));
    pthread_mutex_unlock(&b->text->lock);
}

int64_t backend_cert_expires(const struct backend *b)
{
    int64_t first = 0;
    for (size_t i = 0; i < PROTO_COUNT; i++) {
        int64_t at = atomic_load_explicit(&b->cert_expires[i], memory_order_relaxed);
        if (at && (!first || at < first))
            first = at;
    }
    return first;
}

/* ---- places ---- */

bool backend_take_place(struct backend *b)
{
    uint64_t max = atomic_load_explicit(&b->max_sessions, memory_order_relaxed);
    if (max == 0) {
        atomic_fetch_add(&b->places, 1);
        return true;
    }
    uint64_t others = atomic_load_explicit(&b->elsewhere_places, memory_order_relaxed);
    uint64_t n = atomic_load(&b->places);
    bool is_taken = false;
    while (n + others < max && !is_taken)
        is_taken = atomic_compare_exchange_weak(&b->places, &n, n + 1);
    if (!is_taken || n + 1 + others >= max)
        atomic_store_explicit(&b->full_ms, clock_ms(), memory_order_relaxed);
    return is_taken;
}

void backend_give_place(struct backend *b)
{
    atomic_fetch_sub(&b->places, 1);
}

int backend_places_print(const struct backend *b, struct buf *out)
{
    return buf_printf(out, "%llu of %llu", (unsigned long long)backend_places(b),
                      (unsigned long long)atomic_load(&b->max_sessions));
}

/* ---- state ---- */

void backend_set_admin(struct backend *b, enum backend_admin a, uint64_t wall_ms,
                       const char *reason)
{
    enum backend_admin old = atomic_exchange(&b->admin, (uint8_t)a);
    if (old == a)
        return;
    /* whoever was taken out comes back with cold caches: slow start, as after a failure */
    if (a == BACKEND_READY && old != BACKEND_HOLD)
        atomic_store(&b->up_since_ms, clock_ms());
    atomic_store(&b->admin_since_ms, wall_ms);
    backend_put_text(b, b->text->admin_reason, reason);
}

static void backend_delay_probe(struct backend *b, uint64_t now_ms)
{
    uint32_t n = atomic_load_explicit(&b->failures_in_row, memory_order_relaxed);
    uint64_t delay = (uint64_t)BACKEND_PROBE_MS << (n < 8 ? n / 2 : 4);
    atomic_store(&b->probe_after_ms,
                 now_ms + (delay < BACKEND_PROBE_MAX_MS ? delay : BACKEND_PROBE_MAX_MS));
}

bool backend_set_health(struct backend *b, enum backend_health h, uint64_t now_ms, uint64_t wall_ms,
                        const char *reason)
{
    /* before the word itself, so that nobody who reads "down" finds a try that is long due */
    if (h == BACKEND_DOWN && atomic_load(&b->health) != BACKEND_DOWN)
        backend_delay_probe(b, now_ms);
    enum backend_health old = atomic_exchange(&b->health, (uint8_t)h);
    if (old == h)
        return false;
    if (h != BACKEND_DOWN)
        atomic_store_explicit(&b->failures_in_row, 0, memory_order_relaxed);
    /* a start is no recovery: what was never seen down starts at full speed */
    atomic_store(&b->up_since_ms, h == BACKEND_UP && old == BACKEND_DOWN ? now_ms : 0);
    atomic_store(&b->health_since_ms, wall_ms);
    backend_put_text(b, b->text->reason, reason);
    return true;
}

void backend_set_checked(struct backend *b, bool is_checked)
{
    atomic_store(&b->is_checked, is_checked);
    if (!is_checked)
        atomic_store(&b->down_protocols, 0);
}

bool backend_set_down_protocols(struct backend *b, unsigned bits, const char *reason)
{
    if (atomic_exchange(&b->down_protocols, (uint8_t)bits) == bits)
        return false;
    backend_put_text(b, b->text->reason, reason);
    return true;
}

int backend_down_print(const struct backend *b, struct buf *out)
{
    unsigned bits = atomic_load_explicit(&b->down_protocols, memory_order_relaxed);
    size_t before = out->len;
    int err = 0;
    for (unsigned i = 0; i < PROTO_COUNT && err == 0; i++)
        if (bits & 1u << i)
            err = buf_printf(out, "%s%s", out->len > before ? "," : "",
                             proto_get((enum proto_id)i)->name);
    return err;
}

bool backend_may_be_usable(const struct backend *b, enum proto_id p, uint64_t now_ms)
{
    if (atomic_load_explicit(&b->admin, memory_order_relaxed) != BACKEND_READY ||
        (atomic_load_explicit(&b->down_protocols, memory_order_relaxed) & 1u << p))
        return false;
    if (atomic_load_explicit(&b->health, memory_order_relaxed) != BACKEND_DOWN)
        return true;
    return !atomic_load_explicit(&b->is_checked, memory_order_relaxed) &&
           atomic_load(&b->probe_after_ms) <= now_ms;
}

bool backend_is_usable(struct backend *b, enum proto_id p, uint64_t now_ms)
{
    if (!backend_may_be_usable(b, p, now_ms))
        return false;
    if (atomic_load_explicit(&b->health, memory_order_relaxed) != BACKEND_DOWN)
        return true;
    /* Whoever moves the deadline has the try; its outcome moves it again. */
    uint64_t due = atomic_load(&b->probe_after_ms);
    return due <= now_ms &&
           atomic_compare_exchange_strong(&b->probe_after_ms, &due, now_ms + BACKEND_PROBE_MAX_MS);
}

/* ---- logins ---- */

/* It answered as a healthy server does. A server that says that it cannot judge now proves nothing.
 */
static bool backend_is_proof(enum back_failure f)
{
    return f == BACK_FAIL_NONE || f == BACK_FAIL_AUTH || f == BACK_FAIL_LIMIT ||
           f == BACK_FAIL_REJECTED;
}

static void backend_keep_failure(struct backend *b, enum proto_id p,
                                 const struct backend_failure *f)
{
    pthread_mutex_lock(&b->text->lock);
    b->text->failures[p] = *f;
    pthread_mutex_unlock(&b->text->lock);
}

void backend_note_check(struct backend *b, enum proto_id p, const struct backend_failure *f)
{
    if (back_failure_is_ours(f->failure))
        return;
    if (f->failure != BACK_FAIL_NONE) {
        backend_keep_failure(b, p, f);
        return;
    }
    pthread_mutex_lock(&b->text->lock);
    struct backend_failure *kept = &b->text->failures[p];
    if (kept->is_check || back_failure_is_unhealthy(kept->failure))
        *kept = (struct backend_failure){0};
    pthread_mutex_unlock(&b->text->lock);
}

bool backend_last_failure(const struct backend *b, enum proto_id p, struct backend_failure *ret)
{
    pthread_mutex_lock(&b->text->lock);
    *ret = b->text->failures[p];
    pthread_mutex_unlock(&b->text->lock);
    return ret->wall_ms &&
           ret->wall_ms >= atomic_load_explicit(&b->good_ms[p], memory_order_relaxed);
}

int backend_failure_print(const struct backend_failure *f, uint64_t wall_ms, struct buf *out)
{
    char age[32];
    units_human_duration(age, wall_ms > f->wall_ms ? wall_ms - f->wall_ms : 0);
    return buf_printf(out, "%s ago (%s): %s%s%s", age, f->is_check ? "check" : "login", f->step,
                      f->step[0] ? ": " : "", f->text[0] ? f->text : back_failure_name(f->failure));
}

bool backend_is_connect_due(struct backend *b, uint64_t now_ms)
{
    uint64_t now_s = now_ms / 1000;
    if (atomic_load_explicit(&b->connect_timed_s, memory_order_relaxed) == now_s)
        return false;
    atomic_store_explicit(&b->connect_timed_s, now_s, memory_order_relaxed);
    return true;
}

bool backend_note_login(struct backend *b, const struct backend_login *l)
{
    enum back_failure f = l->failure;
    if (back_failure_is_ours(f)) { /* a try that proved nothing: the next one may be soon */
        if (atomic_load(&b->health) == BACKEND_DOWN)
            atomic_store(&b->probe_after_ms, l->now_ms + BACKEND_PROBE_MS);
        return false;
    }
    bool is_connect = f == BACK_FAIL_CONNECT || f == BACK_FAIL_TLS || f == BACK_FAIL_NO_TLS;
    atomic_fetch_add_explicit(f == BACK_FAIL_NONE ? &b->logins
                              : is_connect        ? &b->connect_failures
                                                  : &b->login_failures,
                              1, memory_order_relaxed);
    if (f == BACK_FAIL_NONE) {
        atomic_store_explicit(&b->good_ms[l->proto], l->wall_ms, memory_order_relaxed);
        if (l->connect_us > 0)
            latency_note(&b->connect_times, l->connect_us);
        latency_note(&b->login_times, l->total_us);
    }
    if (!backend_is_proof(f)) {
        struct backend_failure failed = {.wall_ms = l->wall_ms, .failure = f};
        (void)str_copy(failed.step, sizeof(failed.step), str_of(l->step));
        (void)str_copy(failed.text, sizeof(failed.text), str_of(l->message));
        backend_keep_failure(b, l->proto, &failed);
    } else {
        enum backend_health h = atomic_load_explicit(&b->health, memory_order_relaxed);
        bool is_checked = atomic_load_explicit(&b->is_checked, memory_order_relaxed);
        atomic_store_explicit(&b->failures_in_row, 0, memory_order_relaxed);
        if (h == BACKEND_UP || (h == BACKEND_DOWN && is_checked))
            return false;
        return backend_set_health(b, BACKEND_UP, l->now_ms, l->wall_ms, "a login was answered");
    }
    bool is_unhealthy = back_failure_is_unhealthy(f);
    uint32_t n = 0; /* failures in a row; of one user's several only one counts */
    if (is_unhealthy) {
        uint32_t before = atomic_exchange_explicit(&b->failed_user, l->user, memory_order_relaxed);
        n = atomic_load_explicit(&b->failures_in_row, memory_order_relaxed);
        if (l->user == 0 || l->user != before || n == 0)
            n = atomic_fetch_add_explicit(&b->failures_in_row, 1, memory_order_relaxed) + 1;
    }
    if (atomic_load(&b->health) == BACKEND_DOWN) {
        backend_delay_probe(b, l->now_ms);
        return false;
    }
    if (!is_unhealthy || n < l->fall)
        return false;
    char reason[BACKEND_REASON_MAX];
    snprintf(reason, sizeof(reason), "%u logins in a row failed: %s", (unsigned)n,
             l->message && l->message[0] ? l->message : back_failure_name(f));
    return backend_set_health(b, BACKEND_DOWN, l->now_ms, l->wall_ms, reason);
}
