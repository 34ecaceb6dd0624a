/* SPDX-License-Identifier: ISC */
/* Gathering what the overview shows. */
#include "tui/overview.h"

#include "base/buf.h"
#include "base/cert_days.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"

#define OVERVIEW_CERT_BAD_DAYS 3
/* A restart of the engine is news for so long. */
#define OVERVIEW_RESTART_MS (60 * 60 * 1000)

#define OVERVIEW_SECONDS 600
#define OVERVIEW_MINUTES 1440
#define OVERVIEW_WIDTH_DEFAULT 80

static const struct overview_span spans[] = {
    {"1s", 1, 120, OVERVIEW_SECONDS},   {"1s", 1, 600, OVERVIEW_SECONDS},
    {"1m", 60, 60, OVERVIEW_MINUTES},   {"1m", 60, 360, OVERVIEW_MINUTES},
    {"1m", 60, 1440, OVERVIEW_MINUTES},
};

void overview_clear(struct overview *o)
{
    overview_take(&o->history, NULL);
    overview_take(&o->stats, NULL);
    overview_take(&o->backends, NULL);
    overview_take(&o->listeners, NULL);
    for (size_t i = 0; i < o->n_protos; i++)
        overview_take(&o->protos[i].stats, NULL);
    o->n_protos = 0;
}

void overview_fini(struct overview *o)
{
    overview_clear(o);
    overview_take(&o->status, NULL);
}

const struct overview_span *overview_span(const struct overview *o)
{
    return &spans[o->span];
}

void overview_set_span(struct overview *o, int by)
{
    o->span = (o->span + ARRAY_LEN(spans) + (size_t)by) % ARRAY_LEN(spans);
    overview_take(&o->history, NULL);
}

/* ---- answers ---- */

void overview_take(json_t **member, const json_t *result)
{
    json_t *rows = json_object_get(result, "rows");
    json_t *fresh = json_incref(rows ? rows : (json_t *)result);
    json_decref(*member);
    *member = fresh;
}

static json_int_t overview_time(const json_t *sample)
{
    return json_integer_value(json_object_get(sample, "time"));
}

static json_int_t overview_last(const struct overview *o)
{
    size_t n = json_array_size(o->history);
    return n ? overview_time(json_array_get(o->history, n - 1)) : 0;
}

void overview_scale(const struct overview_span *span, int width, unsigned *ret_each,
                    unsigned *ret_columns)
{
    unsigned w = width > 0 ? (unsigned)width : 1;
    *ret_each = (span->samples + w - 1) / w;
    unsigned most = (span->kept + *ret_each - 1) / *ret_each;
    *ret_columns = most < w ? most : w;
}

/* Samples that the graphs show. */
static unsigned overview_samples(const struct overview *o)
{
    unsigned each, columns;
    int width = o->width > OVERVIEW_WIDTH_DEFAULT ? o->width : OVERVIEW_WIDTH_DEFAULT;
    overview_scale(overview_span(o), width, &each, &columns);
    return each * columns < overview_span(o)->kept ? each * columns : overview_span(o)->kept;
}

void overview_set_width(struct overview *o, int width)
{
    if (width <= o->width)
        return;
    o->is_short = width > OVERVIEW_WIDTH_DEFAULT;
    o->width = width;
}

unsigned overview_wanted(const struct overview *o, uint64_t now_wall_ms)
{
    unsigned all = overview_samples(o);
    uint64_t last = (uint64_t)overview_last(o);
    if (!last || now_wall_ms < last || o->is_short)
        return all;
    uint64_t missing = (now_wall_ms - last) / (overview_span(o)->step_s * 1000u) + 2;
    return missing < all ? (unsigned)missing : all;
}

void overview_take_history(struct overview *o, const json_t *result)
{
    const json_t *rows = json_object_get(result, "rows");
    json_int_t last = overview_last(o);
    size_t i, most = overview_samples(o);
    json_t *row;
    if (!o->history || o->is_short) {
        json_decref(o->history);
        o->history = json_array();
        last = 0;
    }
    o->is_short = false;
    json_array_foreach ((json_t *)rows, i, row)
        if (overview_time(row) > last)
            json_array_append(o->history, row);
    while (json_array_size(o->history) > most)
        json_array_remove(o->history, 0);
}

static void overview_add_proto(struct overview *o, const char *name)
{
    for (size_t i = 0; i < o->n_protos; i++)
        if (strcmp(o->protos[i].name, name) == 0)
            return;
    if (o->n_protos == OVERVIEW_PROTOS_MAX)
        return;
    struct overview_proto *p = &o->protos[o->n_protos++];
    *p = (struct overview_proto){0};
    (void)str_copy(p->name, sizeof(p->name), str_of(name));
}

void overview_take_listeners(struct overview *o, const json_t *result)
{
    size_t i;
    const json_t *row;
    overview_take(&o->listeners, result);
    json_array_foreach (o->listeners, i, row) {
        const char *proto = json_string_value(json_object_get(row, "proto"));
        if (proto)
            overview_add_proto(o, proto);
    }
}

/* ---- graphs ---- */

size_t overview_columns(const json_t *samples, const struct overview_graph *g,
                        const struct overview_span *span, int width, double *ret)
{
    size_t n = json_array_size(samples);
    unsigned each, columns;
    if (width <= 0 || n == 0)
        return 0;
    overview_scale(span, width, &each, &columns);
    /* A column is always the same stretch of time: nothing flickers when time goes on. */
    json_int_t column_ms = (json_int_t)span->step_s * 1000 * (json_int_t)each;
    json_int_t newest = overview_time(json_array_get(samples, n - 1)) / column_ms;
    memset(ret, 0, columns * sizeof(*ret));
    for (size_t i = 0; i < n; i++) {
        const json_t *sample = json_array_get(samples, i);
        json_int_t back = newest - overview_time(sample) / column_ms;
        if (back < 0 || back >= (json_int_t)columns)
            continue;
        double v = json_number_value(json_object_get(sample, g->member));
        if (g->second)
            v += json_number_value(json_object_get(sample, g->second));
        v = g->is_rate ? v / span->step_s : v;
        double *at = &ret[columns - 1 - (size_t)back];
        *at = v > *at ? v : *at;
    }
    return columns;
}

/* ---- warnings ---- */

static const char *overview_text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "";
}

enum style overview_backend_state(const json_t *backend, char dst[32])
{
    const char *health = overview_text(backend, "health"), *admin = overview_text(backend, "admin");
    bool is_down = strcmp(health, "down") == 0;
    bool is_ready = !admin[0] || strcmp(admin, "ready") == 0;
    snprintf(dst, 32, "%.12s%s%.12s", is_down ? "DOWN" : health, is_ready ? "" : ", ",
             is_ready ? "" : admin);
    return is_down ? STYLE_BAD : !is_ready || strcmp(health, "up") != 0 ? STYLE_WARN : STYLE_GOOD;
}

struct warnings {
    struct overview_warning *v;
    size_t n, max;
};

static void warn(struct warnings *w, enum style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void warn(struct warnings *w, enum style style, const char *fmt, ...)
{
    va_list ap;
    if (w->n == w->max)
        return;
    w->v[w->n].style = style;
    va_start(ap, fmt);
    vsnprintf(w->v[w->n].text, sizeof(w->v[w->n].text), fmt, ap);
    va_end(ap);
    w->n++;
}

/* "for 3m", "" when nobody knows. */
static const char *overview_since(const json_t *backend, const char *member, char dst[48])
{
    json_int_t at = json_integer_value(json_object_get(backend, member));
    uint64_t now = clock_wall_ms();
    char text[32];
    dst[0] = '\0';
    if (at <= 0 || (uint64_t)at > now)
        return dst;
    units_human_duration(text, now - (uint64_t)at);
    snprintf(dst, 48, " for %s", text);
    return dst;
}

/* whose: "backend main/b1". days: of a row, NULL is fine. */
static void warn_certificate(struct warnings *w, const char *whose, const json_t *days)
{
    json_int_t n = json_integer_value(days);
    if (!json_is_integer(days) || n >= CERT_DAYS_WARN)
        return;
    enum style style = n < OVERVIEW_CERT_BAD_DAYS ? STYLE_BAD : STYLE_WARN;
    if (n < 0)
        warn(w, style, "the certificate of %s has ended", whose);
    else
        warn(w, style, "the certificate of %s ends in %lld day%s", whose, (long long)n,
             n == 1 ? "" : "s");
}

static void warn_backend(struct warnings *w, const json_t *b)
{
    const char *pool = overview_text(b, "pool"), *name = overview_text(b, "name");
    const char *admin = overview_text(b, "admin"), *reason = overview_text(b, "reason");
    const char *why = overview_text(b, "admin_reason"), *down = overview_text(b, "down");
    AUTO_FREE char *whose = str_printf("backend %s/%s", pool, name);
    char since[48];
    bool is_down = strcmp(overview_text(b, "health"), "down") == 0;
    if (is_down)
        warn(w, STYLE_BAD, "backend %s/%s is down%s%s%s", pool, name,
             overview_since(b, "health_since", since), reason[0] ? ": " : "", reason);
    else if (down[0])
        warn(w, STYLE_BAD, "%s of backend %s/%s is down%s%s", down, pool, name,
             reason[0] ? ": " : "", reason);
    if (admin[0] && strcmp(admin, "ready") != 0)
        warn(w, STYLE_WARN, "backend %s/%s is set to %s%s%s%s", pool, name, admin,
             overview_since(b, "admin_since", since), why[0] ? ": " : "", why);
    if (overview_text(b, "full")[0])
        warn(w, STYLE_WARN, "backend %s/%s is full: %s", pool, name, overview_text(b, "full"));
    if (overview_text(b, "slow")[0])
        warn(w, STYLE_WARN, "logins at backend %s/%s are slow: p95 %s", pool, name,
             overview_text(b, "slow"));
    warn_certificate(w, whose ? whose : name, json_object_get(b, "cert_days"));
}

/* Most listeners share one: the first of them speaks for all. */
static void warn_listener_certificates(struct warnings *w, const json_t *listeners)
{
    size_t i, k;
    const json_t *row, *other;
    json_array_foreach (listeners, i, row) {
        const char *name = overview_text(row, "name"), *file = overview_text(row, "cert_file");
        size_t n_before = 0, n_behind = 0;
        json_array_foreach (listeners, k, other)
            if (k != i && strcmp(overview_text(other, "cert_file"), file) == 0)
                *(k < i ? &n_before : &n_behind) += 1;
        AUTO_FREE char *whose = n_behind ? str_printf("listener %s and %zu more", name, n_behind)
                                         : str_printf("listener %s", name);
        if (n_before == 0)
            warn_certificate(w, whose ? whose : name, json_object_get(row, "cert_days"));
    }
}

/* The first backend of each pool speaks for all of them. */
static void warn_pools(struct warnings *w, const json_t *backends)
{
    size_t i, k;
    const json_t *b, *other;
    json_array_foreach (backends, i, b) {
        const char *pool = overview_text(b, "pool");
        bool is_usable = false, is_first = true;
        json_array_foreach (backends, k, other) {
            if (strcmp(overview_text(other, "pool"), pool) != 0)
                continue;
            const char *admin = overview_text(other, "admin");
            is_first = is_first && k >= i;
            is_usable = is_usable || (strcmp(overview_text(other, "health"), "down") != 0 &&
                                      (!admin[0] || strcmp(admin, "ready") == 0));
        }
        if (is_first && !is_usable && pool[0])
            warn(w, STYLE_ALARM, "pool %s has no backend that takes logins", pool);
    }
}

size_t overview_warnings(const struct overview *o, struct overview_warning *ret, size_t max)
{
    struct warnings w = {ret, 0, max};
    size_t i;
    const json_t *row;
    json_int_t restarts = json_integer_value(json_object_get(o->status, "restarts"));
    json_int_t uptime = json_integer_value(json_object_get(o->status, "uptime"));
    warn_pools(&w, o->backends);
    if (strcmp(overview_text(o->status, "state"), "stopping") == 0)
        warn(&w, STYLE_ALARM, "the daemon is stopping");
    if (strcmp(overview_text(o->status, "state"), "retired") == 0)
        warn(&w, STYLE_ALARM, "an upgrade replaced this program: it finishes its sessions");
    warn_listener_certificates(&w, o->listeners);
    json_array_foreach (o->backends, i, row)
        warn_backend(&w, row);
    if (json_object_get(o->status, "old_pid"))
        warn(&w, STYLE_WARN, "the program before the upgrade has %lld more sessions: %s",
             (long long)json_integer_value(json_object_get(o->status, "old_sessions")),
             overview_text(o->status, "old_control"));
    if (restarts > 0 && uptime < OVERVIEW_RESTART_MS)
        warn(&w, STYLE_WARN, "the engine ended by itself and was started again (%lld times so far)",
             (long long)restarts);
    json_array_foreach (o->listeners, i, row)
        if (json_is_true(json_object_get(row, "paused")))
            warn(&w, STYLE_WARN, "listener %s is paused: clients wait", overview_text(row, "name"));
    return w.n;
}
