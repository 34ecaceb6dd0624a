/* SPDX-License-Identifier: ISC */
/* Which backend a login belongs on by what the store of the fleet says: asked once the login has a
 * place on the one that it would take. */
#include "base/clock.h"
#include "session/session_priv.h"
#include "session/trace_tap.h"

#define PIN_ASKS_MAX 8 /* answers that lead nowhere, for one login */

bool session_pin_is_due(const struct session *s, const struct backend *b)
{
    const struct preauth *p = s->pre;
    return s->env->pins && p->pin.backend != b && !p->route.dynamic && s->user && s->user[0] &&
           p->route.pool->config->affinity != AFFINITY_OFF;
}

/* NULL: the pool has no such backend. */
static struct backend *preauth_pin_find(const struct pool *pool, const char *name)
{
    for (size_t i = 0; i < pool->n_members; i++)
        if (strcmp(pool->members[i].backend->name, name) == 0)
            return pool->members[i].backend;
    return NULL;
}

/* Could the login go there, perhaps after it has waited? */
static bool pin_is_usable(const struct session *s, const struct backend *b)
{
    const struct pool_choice *c = &s->pre->choice;
    for (size_t i = 0; i < c->n_tried; i++)
        if (c->tried[i] == b)
            return false;
    return atomic_load_explicit(&b->admin, memory_order_relaxed) == BACKEND_HOLD ||
           backend_may_be_usable(b, s->proto->id, loop_now_ms(s->env->loop));
}

static void pin_avoid(struct preauth_pin *p, const char *name)
{
    free(p->avoid);
    p->avoid = str_dup_c(name); /* without memory the store says the same again */
    backend_unref(STEAL(p->backend));
}

void session_pin_avoid(struct session *s)
{
    places_leave(&s->pre->wait); /* for a place there */
    pin_avoid(&s->pre->pin, s->pre->pin.backend->name);
}

struct backend *session_pin_backend(struct session *s)
{
    struct preauth_pin *p = &s->pre->pin;
    if (p->backend && (preauth_pin_find(s->pre->route.pool, p->backend->name) != p->backend ||
                       !pin_is_usable(s, p->backend)))
        session_pin_avoid(s);
    return p->backend;
}

/* ---- the question ---- */

static void pin_take(struct session *s, const struct pins_answer *a);

static void on_pin(void *arg, const struct pins_answer *a)
{
    struct session *s = arg;
    struct preauth_pin *p = &s->pre->pin;
    p->call = NULL;
    p->spent_us += clock_us() - p->asked_us;
    pin_take(s, a);
}

static void pin_ask(struct session *s)
{
    struct preauth_pin *p = &s->pre->pin;
    uint64_t limit_ms = s->snapshot->config->fleet.timeout_ms, spent_ms = p->spent_us / 1000;
    struct pin_backend *held = STEAL(s->pin);
    struct pins_answer now;
    const struct session_hooks *h = &s->env->hooks;
    bool is_limited = s->is_user_counted && h->max_user_sessions;
    const struct pins_request q = {
        .user = s->user,
        .pool = s->pre->route.pool->config->name,
        .proposal = s->backend->name,
        .avoid = p->avoid,
        .max_sessions = is_limited ? h->max_user_sessions(h->arg, s) : 0,
        .timeout_ms = spent_ms < limit_ms && p->n_asks < PIN_ASKS_MAX ? limit_ms - spent_ms : 0,
        .is_fixed = s->pre->route.member && s->pre->route.member->backend == s->backend,
        .is_strict = s->pre->route.pool->config->affinity == AFFINITY_STRICT,
        .held = held,
    };
    p->n_asks++;
    p->asked_us = clock_us();
    p->call = pins_ask(s->env->pins, &q, on_pin, s, &now);
    if (!p->call)
        pin_take(s, &now);
}

void session_pin_ask(struct session *s, void (*done)(struct session *s))
{
    s->pre->pin.done = done;
    session_enter(s, SESSION_PIN);
    if (!s->is_ended)
        pin_ask(s);
}

/* ---- the answer ---- */

static void pin_refuse(struct session *s, const struct pins_answer *a)
{
    if (a->verdict == PINS_LIMIT) {
        session_count(s, COUNTER_LIMITED, 1);
        front_note_failure(s, REPLY_LIMIT, "limits", STR("sessions of the user on all nodes"));
        front_fail(s, REPLY_LIMIT, NULL, NULL);
        return;
    }
    AUTO_FREE char *why =
        str_printf("pool %s is strict, and no backend could be agreed on with the fleet: %s",
                   s->pre->route.pool->config->name, a->why);
    front_note_failure(s, REPLY_BACKEND_DOWN, "proxy", str_of(why));
    front_fail(s, REPLY_BACKEND_DOWN, NULL, NULL);
}

/* The backend of the answer, or another answer. Without the store the login's own choice is taken
 * after one that leads nowhere. */
static void pin_take(struct session *s, const struct pins_answer *a)
{
    struct preauth_pin *p = &s->pre->pin;
    if (a->verdict != PINS_HERE) {
        pin_refuse(s, a);
        return;
    }
    s->pin = a->held;
    struct backend *b = strcmp(a->backend, s->backend->name) == 0
                            ? s->backend
                            : preauth_pin_find(s->pre->route.pool, a->backend);
    if (s->tap)
        trace_tap_note(s, "pin: backend %s%s%s%s", a->backend,
                       a->why ? ", without the store: " : "", a->why ? a->why : "",
                       !b || !(b == s->backend || pin_is_usable(s, b)) ? ", which cannot be used"
                                                                       : "");
    if (b && (b == s->backend || pin_is_usable(s, b))) {
        backend_unref(p->backend);
        p->backend = backend_ref(b);
        p->done(s);
        return;
    }
    pin_avoid(p, a->backend);
    pin_ask(s);
}
