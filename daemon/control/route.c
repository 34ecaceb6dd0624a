/* SPDX-License-Identifier: ISC */
/* route explain: what would happen to a login now, and why. */
#include "session/route.h"

#include "base/clock.h"
#include "control/explain.h"
#include "control/listener.h"
#include "control/user/user_list.h"
#include "rpc/handlers.h"
#include "runtime/rules/limit_service.h"

struct explain {
    struct work work;
    struct store_user user;
    struct addr peer; /* family AF_UNSPEC = not said */
    struct pins_shown
        *pins;     /* what the fleet's store says of the user; NULL = not asked, or it is away */
    bool is_known; /* has an account in the store */
    bool has_name; /* or something is said of the name */
};

static int explain_run(struct work *w)
{
    struct explain *x = CONTAINER_OF(w, struct explain, work);
    int err =
        store_user_get(work_control(w)->host->store, request_text(w->request, "user"), &x->user);
    x->is_known = err == 0 && x->user.is_stored;
    x->has_name = err == 0;
    return err == -ERR_NO_USER ? 0 : err;
}

static void explain_fini(struct work *w)
{
    struct explain *x = CONTAINER_OF(w, struct explain, work);
    store_user_fini(&x->user);
    pins_shown_free(x->pins);
}

/* ---- providers ---- */

static bool has_provider(const struct config *c, enum config_auth_type type)
{
    for (size_t i = 0; i < c->n_auths; i++)
        if (c->auths[i].type == type)
            return true;
    return false;
}

/* ---- the user ---- */

static void explain_user(const struct explain *x, const struct proto *proto,
                         struct explain_words *w)
{
    char until[25];
    const struct store_user *u = &x->user;
    uint64_t now_ms = clock_wall_ms();
    if (u->protocols && !(u->protocols & (1u << proto->id)))
        explain_say(w, "refused: the user may not use %s", proto->name);
    if (store_user_is(u, USER_LOCKED, now_ms)) {
        clock_format(until, u->state_until_ms);
        explain_say(w, "refused: the user is locked%s%s%s%s", u->state_until_ms ? " until " : "",
                    u->state_until_ms ? until : "", u->state_text ? ": " : "",
                    u->state_text ? u->state_text : "");
    } else if (store_user_is(u, USER_HELD, now_ms)) {
        explain_say(w, "waits: the user is on hold");
    }
}

/* A pin to what is not there, or no pool at all. */
static void explain_nowhere(json_t *row, const struct explain *x, struct explain_words *w)
{
    const struct store_user *u = &x->user;
    request_set_text(row, "reason", u->backend ? "user's backend" : u->pool ? "user's pool" : NULL);
    if (u->backend)
        explain_say(w, "fails: the user is pinned to backend %s, which is in no pool", u->backend);
    else if (u->pool)
        explain_say(w, "fails: the user is pinned to pool %s, which is not there", u->pool);
    else if (has_provider(control_snapshot(work_control(&x->work))->config, AUTH_TYPE_HTTP))
        explain_say(w, "goes where the auth server says");
    else
        explain_say(w, "fails: there is no pool");
}

/* ---- what failed last ---- */

#define EXPLAIN_RECENT_MS 600000 /* a failure this young goes before what would happen now */

/* The first doubt goes before the verdict, which would promise what has just failed. */
static void explain_put_doubt(struct explain_words *w)
{
    struct str verdict = buf_str(&w->verdict);
    bool is_free =
        str_is_prefix(verdict, STR("logs in")) || str_is_prefix(verdict, STR("goes where"));
    if (!is_free || w->doubt.len == 0)
        return;
    (void)!buf_printf(&w->doubt, "; otherwise %s", buf_cstr(&w->verdict));
    buf_fini(&w->verdict);
    w->verdict = w->doubt;
    w->doubt = BUF_INIT;
}

/* Does the provider come into play for this user? What is behind the users of the store does not
 * for those who are there. */
static bool explain_is_asked(const struct explain *x, const struct config *c, size_t provider)
{
    for (size_t i = 0; i < provider && x->is_known; i++)
        if (c->auths[i].type == AUTH_TYPE_USERS)
            return false;
    return true;
}

static void explain_providers_failed(json_t *row, const struct explain *x, const struct config *c,
                                     struct explain_words *w)
{
    AUTO_BUF text = BUF_INIT;
    const struct failures *all = work_control(&x->work)->failures;
    for (size_t i = 0; i < c->n_auths; i++) {
        const struct provider_failures *p = failures_of_provider(all, (unsigned)i);
        if (!p)
            continue;
        size_t before = text.len;
        (void)!buf_printf(&text, "%s%s ", before ? "; " : "",
                          config_auth_type_name(c->auths[i].type));
        size_t at = text.len;
        (void)!login_failure_print(&p->last, clock_wall_ms(), &text);
        if (!provider_failures_are_last(p) || !explain_is_asked(x, c, i) || w->doubt.len > 0)
            continue;
        (void)!buf_printf(&w->doubt, "fails: could not be judged %s", buf_cstr(&text) + at);
        w->unjudged_ms = p->last.at_ms;
    }
    request_set_text(row, "provider_failures", buf_cstr(&text));
}

static void explain_backends_failed(const struct explain_place *at, const struct pool *p,
                                    const struct pool_member *chosen, struct explain_words *w)
{
    AUTO_BUF text = BUF_INIT;
    struct backend_failure f;
    for (size_t i = 0, n = 0; i < p->n_members && n < EXPLAIN_BACKENDS_MAX; i++) {
        const struct backend *b = p->members[i].backend;
        if (!backend_last_failure(b, at->proto->id, &f))
            continue;
        (void)!buf_printf(&text, "%s%s ", n++ ? "; " : "", b->name);
        (void)!backend_failure_print(&f, clock_wall_ms(), &text);
        if (chosen && chosen->backend == b && w->doubt.len == 0) {
            (void)!buf_printf(&w->doubt, "fails: backend %s failed ", b->name);
            (void)!backend_failure_print(&f, clock_wall_ms(), &w->doubt);
        }
    }
    request_set_text(at->row, "backend_failures", buf_cstr(&text));
}

static void explain_user_failed(json_t *row, const struct explain *x, struct explain_words *w)
{
    AUTO_BUF text = BUF_INIT;
    uint64_t now = clock_wall_ms();
    const struct user_failures *u =
        failures_of_user(work_control(&x->work)->failures, request_text(x->work.request, "user"));
    for (size_t i = 0; u && i < u->n; i++) {
        (void)!buf_append_c(&text, i ? "; " : "");
        (void)!login_failure_print(&u->v[i], now, &text);
    }
    request_set_text(row, "failures", buf_cstr(&text));
    bool is_recent = user_failures_are_last(u) && now - u->v[0].at_ms <= EXPLAIN_RECENT_MS;
    bool is_newer = is_recent && w->unjudged_ms && u->v[0].at_ms > w->unjudged_ms;
    if (!is_recent || (w->doubt.len > 0 && !is_newer))
        return;
    buf_clear(&w->doubt);
    (void)!buf_append_c(&w->doubt, "failed ");
    (void)!login_failure_print(&u->v[0], now, &w->doubt);
}

/* ---- the destination ---- */

static void explain_where(json_t *row, const struct explain *x, const struct snapshot *snapshot,
                          const struct config_listener *l, struct explain_words *w)
{
    struct route route = {0};
    const struct explain_place at = {row, request_text(x->work.request, "user"), l->proto};
    const struct pool_member *m;
    const struct route_request q = {.user = at.user,
                                    .proto = l->proto,
                                    .listener = l,
                                    .pool = x->user.pool,
                                    .backend = x->user.backend};
    int err = route_find(snapshot, work_control(&x->work)->host->registry, &q, &route);
    if (err < 0) {
        explain_nowhere(row, x, w);
        return;
    }
    request_set_text(row, "reason", route.reason);
    if (route.rule) { /* "route 2: domain=example.org" */
        size_t n;
        AUTO_BUF text = BUF_INIT;
        AUTO_BUF conditions = BUF_INIT;
        (void)!route_print(route.rule, &conditions);
        (void)!buf_printf(&text, "route %td%s%s",
                          route.rule - pools_routes(snapshot->pools, &n) + 1,
                          conditions.len ? ": " : "", buf_cstr(&conditions));
        request_set_text(row, "reason", buf_cstr(&text));
    }
    request_set_text(row, "pool", route.pool->config->name);
    const struct pool_member *pinned =
        route.member ? NULL : explain_fleet(work_control(&x->work), x->pins, &at, route.pool, w);
    if (pinned)
        request_set_text(row, "reason", "pin of the fleet");
    m = route.member ? explain_pinned(&at, &route, w)
        : pinned     ? pinned
                     : explain_pool(&at, route.pool, w);
    if (m)
        request_set_text(row, "backend", m->backend->name);
    if (m && w->verdict.len == 0)
        explain_say(w, "logs in at %s", m->backend->name);
    explain_backends_failed(&at, route.pool, m, w);
    route_fini(&route);
}

static bool explain_is_refused(const struct explain *x, const struct config *c)
{
    return !x->is_known && !has_provider(c, AUTH_TYPE_HTTP) && !has_provider(c, AUTH_TYPE_BACKEND);
}

/* Bans and limits; x->peer is known when the request has an address. */
static void explain_limits(const struct explain *x, struct explain_words *w)
{
    AUTO_BUF words = BUF_INIT;
    const struct control *c = work_control(&x->work);
    uint64_t max = control_snapshot(c)->config->limits.sessions;
    uint64_t n = engine_api_counter(c->host, PROTO_COUNT, COUNTER_SESSIONS);
    if (max && n >= max)
        explain_say(w, "refused: there are %llu of %llu sessions in all", (unsigned long long)n,
                    (unsigned long long)max);
    (void)!limit_service_explain(c->limit_service, x->peer.family ? &x->peer : NULL,
                                 request_text(x->work.request, "user"), x->user.max_sessions,
                                 &words);
    if (words.len)
        explain_say(w, "%s", buf_cstr(&words));
}

static json_t *explain_row(const struct explain *x, const struct snapshot_listener *l)
{
    CLEANUP(explain_words_fini) struct explain_words w = {0};
    AUTO_BUF providers = BUF_INIT;
    const struct snapshot *snapshot = control_snapshot(work_control(&x->work));
    const struct engine_api *h = work_control(&x->work)->host;
    const struct config *c = snapshot->config;
    json_t *row = json_object();
    request_set_text(row, "user", request_text(x->work.request, "user"));
    request_set_text(row, "listener", l->config->name);
    request_set_text(row, "known", x->is_known ? "yes" : "no");
    if (x->has_name)
        request_set_text(row, "state", user_state_name(&x->user, clock_wall_ms()));
    for (size_t i = 0; i < c->n_auths; i++)
        (void)!buf_printf(&providers, "%s%s", i ? ", " : "",
                          config_auth_type_name(c->auths[i].type));
    request_set_text(row, "providers", buf_cstr(&providers));
    /* A client that does not get in is not even greeted. */
    if (h->is_listener_paused(h->arg, l->config->name))
        explain_say(&w, "waits: listener %s is paused", l->config->name);
    if (explain_is_refused(x, c))
        explain_say(&w, "refused: no provider knows this user");
    else if (x->has_name)
        explain_user(x, l->config->proto, &w);
    explain_limits(x, &w);
    explain_providers_failed(row, x, c, &w);
    explain_where(row, x, snapshot, l->config, &w);
    explain_user_failed(row, x, &w);
    /* May an auth server send the user elsewhere? An operator's pin is stronger. */
    bool is_server_asked = has_provider(c, AUTH_TYPE_HTTP) && (!store_user_has_password(&x->user) ||
                                                               c->auths[0].type == AUTH_TYPE_HTTP);
    bool is_pinned = x->user.pool || x->user.backend;
    if (is_server_asked && !is_pinned && !explain_is_refused(x, c) && snapshot->pools->n > 0)
        (void)!buf_append_c(&w.verdict, ", unless the auth server says otherwise");
    explain_put_doubt(&w);
    /* What the listener asks of every client, which nobody else can know to be true of this one. */
    if (l->config->tls != LISTENER_TLS_IMPLICIT && !l->config->allow_plaintext)
        (void)!buf_printf(&w.also, "%spasswords only over TLS", w.also.len ? "; " : "");
    if (l->config->tls_config.client_auth == TLS_CLIENT_AUTH_REQUIRED)
        (void)!buf_printf(&w.also, "%sonly with a client certificate", w.also.len ? "; " : "");
    request_set_text(row, "verdict", buf_cstr(&w.verdict));
    request_set_text(row, "also", buf_cstr(&w.also));
    return row;
}

static void explain_done(struct work *w)
{
    struct explain *x = CONTAINER_OF(w, struct explain, work);
    const struct snapshot *snapshot = control_snapshot(work_control(w));
    const char *name = request_text(w->request, "listener");
    if (work_fail(w))
        return;
    if (!name && snapshot->n_listeners == 0) {
        request_fail(w->request, -ERR_NO_LISTENER, NULL, NULL);
        return;
    }
    const struct snapshot_listener *l =
        name ? listener_find(w->request, name) : &snapshot->listeners[0];
    if (l)
        request_answer(w->request, explain_row(x, l));
}

static void on_pins_shown(void *arg, struct pins_shown *shown)
{
    struct explain *x = arg;
    x->pins = shown;
    work_post(&x->work, NULL);
}

void command_route_explain(struct request *r)
{
    const char *ip = request_text(r, "ip");
    struct addr peer = {.family = AF_UNSPEC};
    if (ip && addr_parse(str_of(ip), &peer) < 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "%s is no address", ip);
        return;
    }
    struct explain *x = work_new(r->rpc, r, sizeof(*x), explain_run, explain_done, explain_fini);
    if (!x)
        return;
    x->peer = peer;
    struct fleet_pins *pins = request_control(r)->fleet_pins;
    if (!pins || fleet_pins_show(pins, request_text(r, "user"), on_pins_shown, x) < 0)
        work_post(&x->work, NULL);
}
