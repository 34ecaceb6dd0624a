/* SPDX-License-Identifier: ISC */
/* What needs a person, in words, the worst first. */
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cert_days.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/control_client.h"
#include "tui/merge.h"
#include "tui/overview.h"

#define OVERVIEW_CERT_BAD_DAYS 3
/* A restart of the engine is news for so long. */
#define OVERVIEW_RESTART_MS (60 * 60 * 1000)

enum style overview_backend_state(const json_t *backend, char dst[32])
{
    const char *health = control_client_member_text(backend, "health"),
               *admin = control_client_member_text(backend, "admin");
    bool is_down = strcmp(health, "down") == 0;
    bool is_ready = !admin[0] || strcmp(admin, "ready") == 0;
    snprintf(dst, 32, "%.12s%s%.12s", is_down ? "DOWN" : health, is_ready ? "" : ", ",
             is_ready ? "" : admin);
    return is_down ? STYLE_BAD : !is_ready || strcmp(health, "up") != 0 ? STYLE_WARN : STYLE_GOOD;
}

struct warnings {
    struct overview_warning *v;
    size_t n, max;
    const json_t *status; /* of the daemon that is spoken of, when there is no object */
};

/* object NULL: it leads to the list of the pane. */
static void warn(struct warnings *w, enum style style, enum pane pane, const json_t *object,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void warn(struct warnings *w, enum style style, enum pane pane, const json_t *object,
                 const char *fmt, ...)
{
    va_list ap;
    if (w->n == w->max)
        return;
    w->v[w->n].style = style;
    w->v[w->n].pane = pane;
    w->v[w->n].object = object;
    /* Of several daemons it is said whose it is. */
    const char *node = control_client_member_text(object ? object : w->status, MERGE_NODE);
    int at = node[0] ? snprintf(w->v[w->n].text, 128, "%.100s: ", node) : 0;
    va_start(ap, fmt);
    vsnprintf(w->v[w->n].text + at, sizeof(w->v[w->n].text) - (size_t)at, fmt, ap);
    va_end(ap);
    w->n++;
}

/* " has been down for 3m"; " is down" when nobody knows since when. */
static const char *overview_since(const json_t *backend, const char *member, const char *state,
                                  char dst[96])
{
    uint64_t at = overview_number(backend, member), now = clock_wall_ms();
    char age[32];
    units_human_duration(age, now > at ? now - at : 0);
    if (at == 0 || at > now)
        snprintf(dst, 96, " is %s", state);
    else
        snprintf(dst, 96, " has been %s for %s", state, age);
    return dst;
}

/* "pop3,smtp,sieve" -> "pop3, smtp and sieve" */
static int overview_add_protocols(struct buf *text, const char *list)
{
    struct str rest = str_of(list);
    int err = 0;
    for (bool is_first = true; err == 0 && rest.n; is_first = false) {
        struct str word = str_cut(&rest, ',');
        err = buf_printf(text, "%s%.*s", is_first ? "" : rest.n ? ", " : " and ", STR_ARG(word));
    }
    return err;
}

char *overview_why_down(const json_t *backend)
{
    struct str reason = str_of(control_client_member_text(backend, "reason")), after = reason;
    struct str down = str_of(control_client_member_text(backend, "down")),
               first = str_cut(&after, ':');
    while (down.n)
        if (str_eq(str_cut(&down, ','), first))
            return str_dup(str_trim(after));
    return str_dup(reason);
}

/* whose: "backend main/b1", which is the object of a pane. */
static void warn_certificate(struct warnings *w, const char *whose, enum pane pane,
                             const json_t *object)
{
    const json_t *days = json_object_get(object, "cert_days");
    json_int_t n = json_integer_value(days);
    if (!json_is_integer(days) || n >= CERT_DAYS_WARN)
        return;
    enum style style = n < OVERVIEW_CERT_BAD_DAYS ? STYLE_BAD : STYLE_WARN;
    if (n < 0)
        warn(w, style, pane, object, "the certificate of %s has ended", whose);
    else
        warn(w, style, pane, object, "the certificate of %s ends in %lld day%s", whose,
             (long long)n, n == 1 ? "" : "s");
}

static void warn_backend(struct warnings *w, const json_t *b)
{
    const char *pool = control_client_member_text(b, "pool"),
               *name = control_client_member_text(b, "name");
    const char *admin = control_client_member_text(b, "admin");
    const char *why = control_client_member_text(b, "admin_reason"),
               *down = control_client_member_text(b, "down");
    AUTO_FREE char *whose = str_printf("backend %s/%s", pool, name);
    AUTO_FREE char *reason = overview_why_down(b);
    AUTO_BUF protocols = BUF_INIT;
    char since[96];
    const char *colon = reason && reason[0] ? ": " : "";
    /* What an operator wants of it, as a state that it is in. */
    const char *state = strcmp(admin, "drain") == 0  ? "draining"
                        : strcmp(admin, "hold") == 0 ? "on hold"
                                                     : admin;
    if (strcmp(control_client_member_text(b, "health"), "down") == 0)
        warn(w, STYLE_BAD, PANE_BACKENDS, b, "backend %s/%s%s%s%s", pool, name,
             overview_since(b, "health_since", "down", since), colon, reason ? reason : "");
    else if (down[0] && overview_add_protocols(&protocols, down) == 0)
        warn(w, STYLE_WARN, PANE_BACKENDS, b, "%s of backend %s/%s %s down%s%s",
             buf_cstr(&protocols), pool, name, strchr(down, ',') ? "are" : "is", colon,
             reason ? reason : "");
    if (admin[0] && strcmp(admin, "ready") != 0)
        warn(w, STYLE_WARN, PANE_BACKENDS, b, "backend %s/%s%s%s%s", pool, name,
             overview_since(b, "admin_since", state, since), why[0] ? ": " : "", why);
    if (control_client_member_text(b, "full")[0])
        warn(w, STYLE_WARN, PANE_BACKENDS, b, "backend %s/%s is full: %s", pool, name,
             control_client_member_text(b, "full"));
    if (control_client_member_text(b, "slow")[0])
        warn(w, STYLE_WARN, PANE_BACKENDS, b, "logins at backend %s/%s are slow: p95 %s", pool,
             name, control_client_member_text(b, "slow"));
    warn_certificate(w, whose ? whose : name, PANE_BACKENDS, b);
}

/* Rows of one daemon, which stand one after another. */
struct warn_run {
    size_t first, end;
};

/* Moves on to the run that a row is in. */
static void warn_run_find(struct warn_run *run, const json_t *rows, size_t i)
{
    const json_t *place = json_object_get(json_array_get(rows, i), MERGE_PLACE);
    if (i < run->end)
        return;
    run->first = run->end = i;
    while (run->end < json_array_size(rows) &&
           json_integer_value(json_object_get(json_array_get(rows, run->end), MERGE_PLACE)) ==
               json_integer_value(place))
        run->end++;
}

/* Most listeners share one: the first of them speaks for all. */
static void warn_listener_certificates(struct warnings *w, const json_t *listeners)
{
    struct warn_run run = {0};
    size_t i;
    const json_t *row;
    json_array_foreach (listeners, i, row) {
        const char *name = control_client_member_text(row, "name"),
                   *file = control_client_member_text(row, "cert_file");
        size_t n_before = 0, n_behind = 0;
        warn_run_find(&run, listeners, i);
        for (size_t k = run.first; k < run.end; k++)
            if (k != i &&
                strcmp(control_client_member_text(json_array_get(listeners, k), "cert_file"),
                       file) == 0)
                *(k < i ? &n_before : &n_behind) += 1;
        AUTO_FREE char *whose = n_behind ? str_printf("listener %s and %zu more", name, n_behind)
                                         : str_printf("listener %s", name);
        if (n_before == 0)
            warn_certificate(w, whose ? whose : name, PANE_LISTENERS, row);
    }
}

/* The first backend of each pool speaks for all of them. */
static void warn_pools(struct warnings *w, const json_t *backends)
{
    struct warn_run run = {0};
    size_t i;
    const json_t *b;
    json_array_foreach (backends, i, b) {
        const char *pool = control_client_member_text(b, "pool");
        bool is_usable = false, is_first = true;
        warn_run_find(&run, backends, i);
        for (size_t k = run.first; k < run.end; k++) {
            const json_t *other = json_array_get(backends, k);
            if (strcmp(control_client_member_text(other, "pool"), pool) != 0)
                continue;
            const char *admin = control_client_member_text(other, "admin");
            is_first = is_first && k >= i;
            is_usable =
                is_usable || (strcmp(control_client_member_text(other, "health"), "down") != 0 &&
                              (!admin[0] || strcmp(admin, "ready") == 0));
        }
        w->status = b;
        if (is_first && !is_usable && pool[0])
            warn(w, STYLE_ALARM, PANE_BACKENDS, NULL, "pool %s has no backend that takes logins",
                 pool);
    }
}

static void warn_engine(struct warnings *w, const json_t *status)
{
    json_int_t restarts = json_integer_value(json_object_get(status, "restarts"));
    json_int_t uptime = json_integer_value(json_object_get(status, "uptime"));
    w->status = status;
    if (json_object_get(status, "old_pid"))
        warn(w, STYLE_WARN, PANE_SESSIONS, NULL,
             "the program before the upgrade has %lld more sessions: %s",
             (long long)json_integer_value(json_object_get(status, "old_sessions")),
             control_client_member_text(status, "old_control"));
    const char *trouble = control_client_member_text(status, "trouble");
    if (trouble[0])
        warn(w, STYLE_BAD, PANE_EVENTS, NULL, "%s", trouble);
    if (restarts > 0 && uptime < OVERVIEW_RESTART_MS)
        warn(w, STYLE_WARN, PANE_EVENTS, NULL,
             "the engine ended by itself and was started again (%lld times so far)",
             (long long)restarts);
}

static int warning_rank(const struct overview_warning *w)
{
    return w->style == STYLE_ALARM ? 0 : w->style == STYLE_BAD ? 1 : 2;
}

size_t overview_warnings(const struct overview *o, struct overview_warning *ret, size_t max)
{
    struct warnings w = {ret, 0, max, NULL};
    const json_t *nodes = json_object_get(o->status, "nodes");
    size_t i, n = nodes ? json_array_size(nodes) : 1;
    const json_t *row;
    warn_pools(&w, o->backends);
    for (i = 0; i < n; i++) {
        /* What the daemon says of itself, the worst first. */
        const json_t *status = nodes ? json_array_get(nodes, i) : o->status;
        w.status = status;
        if (strcmp(control_client_member_text(status, "state"), "stopping") == 0)
            warn(&w, STYLE_ALARM, PANE_SESSIONS, NULL, "the daemon is stopping");
        if (strcmp(control_client_member_text(status, "state"), "retired") == 0)
            warn(&w, STYLE_ALARM, PANE_SESSIONS, NULL,
                 "an upgrade replaced this program: it finishes its sessions");
    }
    warn_listener_certificates(&w, o->listeners);
    json_array_foreach (o->backends, i, row)
        warn_backend(&w, row);
    for (i = 0; i < n; i++)
        warn_engine(&w, nodes ? json_array_get(nodes, i) : o->status);
    json_array_foreach (o->listeners, i, row)
        if (json_is_true(json_object_get(row, "paused")))
            warn(&w, STYLE_WARN, PANE_LISTENERS, row, "listener %s is paused: clients wait",
                 control_client_member_text(row, "name"));
    /* The worst first; those that are as bad stay in their order. */
    for (size_t k = 1; k < w.n; k++) {
        const struct overview_warning one = w.v[k];
        size_t at = k;
        for (; at > 0 && warning_rank(&w.v[at - 1]) > warning_rank(&one); at--)
            w.v[at] = w.v[at - 1];
        w.v[at] = one;
    }
    return w.n;
}
