/* SPDX-License-Identifier: ISC */
/* Of route explain: which backend would take a login, and why others would not. */
#include "backend/places.h"
#include "base/clock.h"
#include "base/units.h"
#include "control/explain.h"
#include "rpc/request.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

void explain_words_fini(struct explain_words *w)
{
    buf_fini(&w->verdict);
    buf_fini(&w->also);
    buf_fini(&w->doubt);
}

void explain_say(struct explain_words *w, const char *fmt, ...)
{
    va_list ap;
    struct buf *to = w->verdict.len ? &w->also : &w->verdict;
    int err = to->len ? buf_append_c(to, "; ") : 0;
    va_start(ap, fmt);
    if (err == 0)
        (void)!buf_vprintf(to, fmt, ap);
    va_end(ap);
}

/* Until a backend that is down is looked at again. */
static uint64_t explain_retry_ms(const struct backend *b, const struct pool *p)
{
    uint64_t checked = LOAD(b->last_check_ms), wall = clock_wall_ms(), now = clock_ms();
    uint64_t after = LOAD(b->probe_after_ms);
    if (!LOAD(b->is_checked))
        return after > now ? after - now : 0;
    checked += p->config->check.interval_ms;
    return checked > wall ? checked - wall : 0;
}

bool explain_is_usable(const struct explain_place *at, const struct backend *b)
{
    return backend_may_be_usable(b, at->proto->id, clock_ms());
}

/* "dc1 (ready, down, checked again in 3s)" */
static void explain_state(const struct explain_place *at, const struct pool *p,
                          const struct pool_member *m, struct buf *out)
{
    char wait[32];
    const struct backend *b = m->backend;
    bool is_ready = LOAD(b->admin) == BACKEND_READY;
    units_human_duration(wait, explain_retry_ms(b, p));
    (void)!buf_printf(out, "%s%s (%s, %s%s", out->len ? ", " : "", b->name,
                      backend_admin_name(LOAD(b->admin)), backend_health_name(LOAD(b->health)),
                      m->weight == 0 ? ", weight 0" : "");
    if (LOAD(b->health) != BACKEND_DOWN && LOAD(b->down_protocols) & 1u << at->proto->id)
        (void)!buf_printf(out, ", %s down", at->proto->name);
    if (backend_is_full(b)) {
        (void)!buf_append_c(out, ", full: ");
        (void)!backend_places_print(b, out);
    }
    if (is_ready && !explain_is_usable(at, b))
        (void)!buf_printf(out, ", %s again in %s", LOAD(b->is_checked) ? "checked" : "tried", wait);
    (void)!buf_append_c(out, ")");
}

static void explain_retry(const struct explain_place *at, const struct pool *p,
                          const struct backend *b)
{
    request_put_number(at->row, "retry", explain_retry_ms(b, p));
}

/* "dc1 is down (3s ago (check): connect: connection refused)" */
static void explain_why_out(const struct explain_place *at, const struct pool_member *m,
                            struct buf *out)
{
    const struct backend *b = m->backend;
    struct backend_failure f;
    enum backend_admin admin = LOAD(b->admin);
    const char *separator = out->len ? ", " : "";
    if (m->weight == 0)
        (void)!buf_printf(out, "%s%s has weight 0", separator, b->name);
    else if (admin != BACKEND_READY)
        (void)!buf_printf(out, "%s%s is %s", separator, b->name,
                          admin == BACKEND_DRAIN      ? "drained"
                          : admin == BACKEND_DISABLED ? "disabled"
                                                      : "on hold");
    else if (!explain_is_usable(at, b)) {
        (void)!buf_printf(out, "%s%s is down", separator, b->name);
        if (LOAD(b->health) != BACKEND_DOWN)
            (void)!buf_printf(out, " for %s", at->proto->name);
        if (backend_last_failure(b, at->proto->id, &f)) {
            (void)!buf_append_c(out, " (");
            (void)!backend_failure_print(&f, clock_wall_ms(), out);
            (void)!buf_append_c(out, ")");
        }
    } else if (backend_is_full(b)) {
        (void)!buf_printf(out, "%s%s is full: ", separator, b->name);
        (void)!backend_places_print(b, out);
    }
}

static void explain_down(const struct explain_place *at, const struct pool *p,
                         const struct pool_member *m, struct explain_words *w)
{
    const struct backend *b = m->backend;
    char wait[32];
    AUTO_BUF why = BUF_INIT;
    units_human_duration(wait, explain_retry_ms(b, p));
    explain_retry(at, p, b);
    explain_why_out(at, m, &why);
    if (LOAD(b->is_checked))
        explain_say(w, "fails: backend %s; checks tell when it is up again, the next in %s",
                    buf_cstr(&why), wait);
    else
        explain_say(w, "fails: backend %s; tried again in %s", buf_cstr(&why), wait);
}

/* None is usable: why, and when is one of them looked at again? */
static void explain_none(const struct explain_place *at, const struct pool *p,
                         const struct pool_member *const *order, struct explain_words *w)
{
    const struct backend *next = NULL;
    AUTO_BUF why = BUF_INIT;
    char wait[32];
    for (size_t i = 0; i < p->n_members && i < EXPLAIN_BACKENDS_MAX; i++)
        explain_why_out(at, order[i], &why);
    if (p->n_members == 0)
        (void)!buf_append_c(&why, "it has none");
    else if (p->n_members > EXPLAIN_BACKENDS_MAX)
        (void)!buf_append_c(&why, ", ...");
    for (size_t i = 0; i < p->n_members; i++) {
        const struct backend *b = order[i]->backend;
        if (order[i]->weight == 0 || LOAD(b->admin) != BACKEND_READY)
            continue;
        if (!next || explain_retry_ms(b, p) < explain_retry_ms(next, p))
            next = b;
    }
    if (!next) {
        explain_say(w, "fails: no backend of pool %s takes logins: %s", p->config->name,
                    buf_cstr(&why));
        return;
    }
    units_human_duration(wait, explain_retry_ms(next, p));
    explain_retry(at, p, next);
    explain_say(w, "fails: no backend of pool %s takes logins: %s; %s is %s again in %s",
                p->config->name, buf_cstr(&why), next->name,
                LOAD(next->is_checked) ? "checked" : "tried", wait);
}

/* With the balancing by turns the next one is nobody's to tell: several may take the login. */
static void explain_turns(const struct explain_place *at, const struct pool *p,
                          const struct pool_member *const *order, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct backend *b = order[i]->backend;
        if (order[i]->weight == 0 || LOAD(b->admin) == BACKEND_HOLD || backend_is_full(b) ||
            !explain_is_usable(at, b))
            continue;
        (void)!buf_printf(out, "%s%s", n++ ? ", " : "", b->name);
    }
    if (n < 2)
        buf_clear(out);
}

void explain_full(const struct explain_place *at, const struct pool *p,
                  const struct pool_member *const *order, size_t n, struct explain_words *w)
{
    AUTO_BUF why = BUF_INIT;
    for (size_t i = 0; i < n && i < EXPLAIN_BACKENDS_MAX; i++)
        explain_why_out(at, order[i], &why);
    explain_say(w, "waits for a place: %s; %llu logins of pool %s wait", buf_cstr(&why),
                (unsigned long long)places_waiting(p), p->config->name);
}

/* The first of the order that would take a login. NULL: none; the words say why. A backend on hold
 * makes its own users wait; with the other balancings it is passed over. */
static const struct pool_member *explain_pick(const struct explain_place *at, const struct pool *p,
                                              const struct pool_member **order,
                                              struct explain_words *w)
{
    const struct backend *held = NULL;
    bool is_any_full = false;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct backend *b = order[i]->backend;
        bool is_held = LOAD(b->admin) == BACKEND_HOLD;
        if (order[i]->weight == 0)
            continue;
        if (is_held)
            held = held ? held : b;
        if (is_held && p->config->balance == BALANCE_USER)
            break;
        bool is_usable = !is_held && explain_is_usable(at, b);
        if (is_usable && !backend_is_full(b))
            return order[i];
        is_any_full = is_any_full || is_usable;
    }
    if (held)
        explain_say(w, "waits: backend %s is on hold", held->name);
    else if (is_any_full)
        explain_full(at, p, order, p->n_members, w);
    else
        explain_none(at, p, order, w);
    return NULL;
}

const struct pool_member *explain_pool(const struct explain_place *at, const struct pool *p,
                                       struct explain_words *w)
{
    AUTO_BUF text = BUF_INIT;
    AUTO_FREE const struct pool_member **order = calloc(p->n_members + 1, sizeof(*order));
    if (!order)
        return NULL;
    pool_order(p, str_of(at->user), clock_ms(), order);
    for (size_t i = 0; i < p->n_members; i++)
        explain_state(at, p, order[i], &text);
    request_set_text(at->row, "order", buf_cstr(&text));
    const struct pool_member *m = explain_pick(at, p, order, w);
    buf_clear(&text);
    if (m && p->config->balance == BALANCE_ROUND_ROBIN)
        explain_turns(at, p, order, &text);
    if (text.len && w->verdict.len == 0)
        explain_say(w, "logs in by turns at %s", buf_cstr(&text));
    return text.len ? NULL : m;
}

const struct pool_member *explain_pinned(const struct explain_place *at, const struct route *r,
                                         struct explain_words *w)
{
    AUTO_BUF text = BUF_INIT;
    const struct backend *b = r->member->backend;
    enum backend_admin admin = LOAD(b->admin);
    bool is_away = admin == BACKEND_DRAIN || admin == BACKEND_DISABLED ||
                   (admin == BACKEND_READY && backend_is_full(b));
    if (is_away && r->pool->config->are_pinned_users_moved)
        return explain_pool(at, r->pool, w);
    explain_state(at, r->pool, r->member, &text);
    request_set_text(at->row, "order", buf_cstr(&text));
    if (admin != BACKEND_READY)
        explain_say(w, "waits: its backend %s is %s", b->name,
                    admin == BACKEND_HOLD    ? "on hold"
                    : admin == BACKEND_DRAIN ? "drained"
                                             : "disabled");
    else if (!explain_is_usable(at, b))
        explain_down(at, r->pool, r->member, w);
    else if (backend_is_full(b))
        explain_full(at, r->pool, &r->member, 1, w);
    else
        return r->member;
    return NULL;
}
