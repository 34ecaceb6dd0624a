/* SPDX-License-Identifier: ISC */
/* route explain: what would happen to a login now, and why. */
#include "base/clock.h"
#include "base/units.h"
#include "control/handlers.h"
#include "control/limiter.h"
#include "control/listeners.h"
#include "control/users.h"
#include "session/route.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

struct explain {
    struct work work;
    struct store_user user;
    struct addr peer; /* family AF_UNSPEC = not said */
    bool is_known;
};

static int explain_run(struct work *w)
{
    struct explain *x = CONTAINER_OF(w, struct explain, work);
    int err = store_user_get(w->control->host->store, request_text(w->request, "user"), &x->user);
    x->is_known = err == 0;
    return err == -ERR_NO_USER ? 0 : err;
}

static void explain_fini(struct work *w)
{
    store_user_fini(&CONTAINER_OF(w, struct explain, work)->user);
}

/* ---- providers ---- */

static bool has_provider(const struct config *c, enum config_auth_type type)
{
    for (size_t i = 0; i < c->n_auths; i++)
        if (c->auths[i].type == type)
            return true;
    return false;
}

static void explain_providers(json_t *row, const struct config *c)
{
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < c->n_auths; i++)
        (void)!buf_printf(&text, "%s%s", text.len ? ", " : "",
                          config_auth_type_name(c->auths[i].type));
    request_set_text(row, "providers", buf_cstr(&text));
}

/* ---- the user ---- */

/* Words when the user's own state decides; false = it does not. */
static bool explain_user(const struct explain *x, const struct proto *proto, struct buf *verdict)
{
    char until[25];
    const struct store_user *u = &x->user;
    const char *state = user_state_name(u, clock_wall_ms());
    if (u->protocols && !(u->protocols & (1u << proto->id))) {
        (void)!buf_printf(verdict, "refused: the user may not use %s", proto->name);
        return true;
    }
    if (strcmp(state, "locked") == 0) {
        clock_format(until, u->state_until_ms);
        (void)!buf_printf(verdict, "refused: the user is locked%s%s%s%s",
                          u->state_until_ms ? " until " : "", u->state_until_ms ? until : "",
                          u->state_text ? ": " : "", u->state_text ? u->state_text : "");
        return true;
    }
    if (strcmp(state, "held") == 0) {
        (void)!buf_append_c(verdict, "waits: the user is on hold");
        return true;
    }
    return false;
}

/* ---- the backend ---- */

/* Whose login is looked at, and where what is found goes. */
struct explain_place {
    json_t *row;
    const char *user;
    const struct proto *proto;
};

static void explain_state(const struct pool_member *m, struct buf *out)
{
    const struct backend *b = m->backend;
    (void)!buf_printf(out, "%s%s (%s, %s%s)", out->len ? ", " : "", b->name,
                      backend_admin_name(LOAD(b->admin)), backend_health_name(LOAD(b->health)),
                      m->weight == 0 ? ", weight 0" : "");
}

static void explain_down(const struct backend *b, struct buf *verdict)
{
    char wait[32];
    uint64_t now = clock_ms(), after = LOAD(b->probe_after_ms);
    if (LOAD(b->is_checked)) {
        (void)!buf_printf(verdict, "fails: backend %s is down; checks tell when it is up again",
                          b->name);
        return;
    }
    units_human_duration(wait, after > now ? after - now : 0);
    (void)!buf_printf(verdict, "fails: backend %s is down; tried again in %s", b->name, wait);
}

/* The first of the order that would take a login. NULL: none; verdict says why. */
static const struct pool_member *explain_pick(const struct explain_place *at, const struct pool *p,
                                              const struct pool_member **order, struct buf *verdict)
{
    for (size_t i = 0; i < p->n_members; i++) {
        enum backend_admin admin = LOAD(order[i]->backend->admin);
        if (order[i]->weight == 0)
            continue;
        if (admin == BACKEND_HOLD) {
            (void)!buf_printf(verdict, "waits: backend %s is on hold", order[i]->backend->name);
            return NULL;
        }
        if (backend_may_be_usable(order[i]->backend, at->proto->id, clock_ms()))
            return order[i];
    }
    (void)!buf_printf(verdict, "fails: no backend of pool %s takes logins", p->config->name);
    return NULL;
}

static const struct pool_member *explain_pool(const struct explain_place *at, const struct pool *p,
                                              struct buf *verdict)
{
    AUTO_BUF text = BUF_INIT;
    AUTO_FREE const struct pool_member **order = calloc(p->n_members + 1, sizeof(*order));
    if (!order)
        return NULL;
    pool_order(p, str_of(at->user), clock_ms(), order);
    for (size_t i = 0; i < p->n_members; i++)
        explain_state(order[i], &text);
    request_set_text(at->row, "order", buf_cstr(&text));
    return explain_pick(at, p, order, verdict);
}

/* A backend that is fixed by a pin. */
static const struct pool_member *explain_pinned(const struct explain_place *at,
                                                const struct route *r, struct buf *verdict)
{
    AUTO_BUF text = BUF_INIT;
    const struct backend *b = r->member->backend;
    enum backend_admin admin = LOAD(b->admin);
    if (admin != BACKEND_READY && admin != BACKEND_HOLD && r->pool->config->are_pinned_users_moved)
        return explain_pool(at, r->pool, verdict);
    explain_state(r->member, &text);
    request_set_text(at->row, "order", buf_cstr(&text));
    if (admin != BACKEND_READY)
        (void)!buf_printf(verdict, "waits: its backend %s is %s", b->name,
                          admin == BACKEND_HOLD ? "on hold" : "taken out");
    else if (!backend_may_be_usable(b, at->proto->id, clock_ms()))
        explain_down(b, verdict);
    return verdict->len == 0 ? r->member : NULL;
}

static int explain_route(const struct explain *x, const struct setup *setup,
                         const struct config_listener *l, struct route *ret)
{
    const struct control *c = x->work.control;
    const struct route_request q = {.user = request_text(x->work.request, "user"),
                                    .proto = l->proto,
                                    .listener = l,
                                    .pool = x->user.pool,
                                    .backend = x->user.backend};
    return route_find(setup, c->host->registry, &q, ret);
}

static void explain_where(json_t *row, const struct explain *x, const struct setup *setup,
                          const struct config_listener *l, struct buf *verdict)
{
    struct route route = {0};
    const struct explain_place at = {row, request_text(x->work.request, "user"), l->proto};
    const struct pool_member *m;
    int err = explain_route(x, setup, l, &route);
    if (err < 0) {
        request_set_text(row, "reason", x->user.backend ? "user's backend" : "user's pool");
        if (verdict->len == 0)
            (void)!buf_printf(verdict, "fails: %s: %s", err_text(err),
                              x->user.backend ? x->user.backend : x->user.pool);
        return;
    }
    AUTO_BUF words = BUF_INIT;
    request_set_text(row, "reason", route.reason);
    request_set_text(row, "pool", route.pool->config->name);
    m = route.member ? explain_pinned(&at, &route, &words) : explain_pool(&at, route.pool, &words);
    if (m)
        request_set_text(row, "backend", m->backend->name);
    if (m && words.len == 0)
        (void)!buf_printf(&words, "logs in at %s", m->backend->name);
    if (verdict->len == 0)
        (void)!buf_append_str(verdict, buf_str(&words));
    route_fini(&route);
}

static bool explain_is_refused(const struct explain *x, const struct config *c)
{
    return !x->is_known && !has_provider(c, AUTH_TYPE_HTTP) && !has_provider(c, AUTH_TYPE_BACKEND);
}

/* Bans and limits; x->peer is known when the request has an address. */
static void explain_limits(const struct explain *x, struct buf *verdict)
{
    if (verdict->len == 0)
        (void)!limiter_explain(x->work.control->limiter, x->peer.family ? &x->peer : NULL,
                               request_text(x->work.request, "user"), x->user.max_sessions,
                               verdict);
}

static json_t *explain_row(const struct explain *x, const struct setup_listener *l)
{
    AUTO_BUF verdict = BUF_INIT;
    const struct setup *setup = control_setup(x->work.control);
    const struct config *c = setup->config;
    json_t *row = json_object();
    request_set_text(row, "user", request_text(x->work.request, "user"));
    request_set_text(row, "listener", l->config->name);
    request_set_text(row, "known", x->is_known ? "yes" : "no");
    if (x->is_known)
        request_set_text(row, "state", user_state_name(&x->user, clock_wall_ms()));
    explain_providers(row, c);
    if (explain_is_refused(x, c))
        (void)!buf_append_c(&verdict, "refused: no provider knows this user");
    else if (x->is_known && has_provider(c, AUTH_TYPE_USERS))
        (void)explain_user(x, l->config->proto, &verdict);
    explain_limits(x, &verdict);
    explain_where(row, x, setup, l->config, &verdict);
    if (has_provider(c, AUTH_TYPE_HTTP) && !explain_is_refused(x, c) &&
        (!x->is_known || c->auths[0].type == AUTH_TYPE_HTTP))
        (void)!buf_append_c(&verdict, ", unless the auth server says otherwise");
    request_set_text(row, "verdict", buf_cstr(&verdict));
    return row;
}

static void explain_done(struct work *w)
{
    struct explain *x = CONTAINER_OF(w, struct explain, work);
    const struct setup *setup = control_setup(w->control);
    const char *name = request_text(w->request, "listener");
    if (work_fail(w))
        return;
    if (!name && setup->n_listeners == 0) {
        request_fail(w->request, -ERR_NO_LISTENER, NULL, NULL);
        return;
    }
    const struct setup_listener *l = name ? listener_find(w->request, name) : &setup->listeners[0];
    if (l)
        request_answer(w->request, explain_row(x, l));
}

void command_route_explain(struct request *r)
{
    const char *ip = request_text(r, "ip");
    struct addr peer = {.family = AF_UNSPEC};
    if (ip && addr_parse(str_of(ip), &peer) < 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "%s is no address", ip);
        return;
    }
    struct explain *x =
        work_new(r->control, r, sizeof(*x), explain_run, explain_done, explain_fini);
    if (!x)
        return;
    x->peer = peer;
    work_post(&x->work, NULL);
}
