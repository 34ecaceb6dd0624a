/* SPDX-License-Identifier: ISC */
/* Looks for the place of a mailbox: first at the sessions, then in the store, then along the
 * routes. */
#include "ops/user_place.h"

#include "backend/pool.h"
#include "base/clock.h"
#include "ops/kill.h"
#include "runtime/state.h"
#include "session/route.h"

struct place_search {
    struct work work;
    struct user_place_spec spec;
    char *user;
    char *pool, *backend; /* of the sessions */
    bool is_scattered;    /* they are on several backends */
    struct store_user stored;
};

static void place_fini(struct work *w)
{
    struct place_search *s = CONTAINER_OF(w, struct place_search, work);
    free(s->user);
    free(s->pool);
    free(s->backend);
    store_user_fini(&s->stored);
}

/* ---- along the routes ---- */

/* The first backend of the user's order, whatever its state: the mailbox does not follow that.
 * NULL: the balancing says nothing of the user. */
static const struct pool_member *place_in_pool(const struct pool *p, const char *user)
{
    AUTO_FREE const struct pool_member **order = calloc(p->n_members + 1, sizeof(*order));
    if (!order || p->n_members == 0 || p->config->balance != BALANCE_USER)
        return p->n_members == 1 ? &p->members[0] : NULL;
    pool_order(p, str_of(user), clock_ms(), order);
    return order[0];
}

/* Where all listeners lead to; NULL: they do not agree. */
static const struct pool_member *place_on_routes(const struct place_search *s,
                                                 const struct pool **ret_pool)
{
    struct control *c = work_control(&s->work);
    const struct snapshot *snapshot = control_snapshot(c);
    const struct pool_member *found = NULL;
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        const struct config_listener *l = snapshot->listeners[i].config;
        const struct route_request q = {
            .user = s->user, .proto = l->proto, .listener = l, .pool = s->stored.pool};
        struct route r;
        if (route_find(snapshot, c->host->registry, &q, &r) < 0)
            return NULL;
        const struct pool_member *m = r.member ? r.member : place_in_pool(r.pool, s->user);
        *ret_pool = r.pool;
        route_fini(&r);
        if (!m || (found && m != found))
            return NULL;
        found = m;
    }
    return found;
}

/* ---- the answer ---- */

static void place_say(const struct place_search *s, const char *pool, const char *backend)
{
    const struct snapshot *snapshot = control_snapshot(work_control(&s->work));
    const struct pool *in = NULL;
    const struct pool_member *m = pools_member(snapshot->pools, pool, backend, &in);
    const struct user_place place = {
        .pool = in ? in->config->name : pool, .backend = backend, .host = m ? m->host : backend};
    s->spec.done(s->spec.arg, &place, NULL);
}

static void place_done(struct work *w)
{
    struct place_search *s = CONTAINER_OF(w, struct place_search, work);
    const struct store_user *u = &s->stored;
    const struct pool *pool = NULL;
    bool is_served = s->spec.is_server_named && !u->pool && !store_user_has_password(u);
    const struct pool_member *m = NULL;
    if (w->err < 0)
        s->spec.done(s->spec.arg, NULL, err_text(w->err));
    else if (u->backend)
        place_say(s, u->pool, u->backend);
    else if (s->is_scattered)
        s->spec.done(s->spec.arg, NULL, "has sessions on several backends: pin the user first");
    else if (s->backend)
        place_say(s, s->pool, s->backend);
    else if (!is_served && (m = place_on_routes(s, &pool)))
        place_say(s, pool->config->name, m->backend->name);
    else
        s->spec.done(s->spec.arg, NULL,
                     "nobody knows where the mailbox is: no pin and no session tells it");
}

static int place_run(struct work *w)
{
    struct place_search *s = CONTAINER_OF(w, struct place_search, work);
    int err = store_user_get(work_control(w)->host->store, s->user, &s->stored);
    return err == -ERR_NO_USER ? 0 : err;
}

/* ---- the sessions ---- */

static bool place_chunk(void *arg, struct session_chunk *chunk)
{
    struct place_search *s = arg;
    for (size_t i = 0; i < chunk->n; i++) {
        const struct session_value *v = chunk->rows[i].v;
        struct str pool = v[SESSION_FIELD_POOL].text, backend = v[SESSION_FIELD_BACKEND].text;
        if (!str_ieq(v[SESSION_FIELD_USER].text, str_of(s->user)) || backend.n == 0)
            continue;
        if (!s->backend) {
            s->pool = str_dup(pool);
            s->backend = str_dup(backend);
        } else if (!str_eq(backend, str_of(s->backend)) || !str_eq(pool, str_of(s->pool))) {
            s->is_scattered = true;
        }
    }
    session_chunk_free(chunk);
    return true;
}

static void place_collected(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct place_search *s = arg;
    (void)seen;
    (void)matched;
    if (err == 0) {
        work_post(&s->work, &work_control(&s->work)->user_queue);
        return;
    }
    if (err != -ERR_SHUTDOWN)
        s->spec.done(s->spec.arg, NULL, err_text(err));
    work_free(&s->work);
}

int user_place_find(struct control *c, const struct user_place_spec *spec)
{
    struct filter *filter = NULL;
    struct place_search *s = work_new(&c->rpc, NULL, sizeof(*s), place_run, place_done, place_fini);
    if (!s)
        return -ERR_NOMEM;
    s->spec = *spec;
    s->user = str_dup_c(spec->user);
    int err = s->user ? kill_filter_user(spec->user, &filter) : -ERR_NOMEM;
    if (err == 0) {
        const struct collect_spec collect = {.query.filter = filter,
                                             .query.fields =
                                                 SESSION_FIELD_BIT(SESSION_FIELD_USER) |
                                                 SESSION_FIELD_BIT(SESSION_FIELD_POOL) |
                                                 SESSION_FIELD_BIT(SESSION_FIELD_BACKEND),
                                             .chunk = place_chunk,
                                             .done = place_collected,
                                             .arg = s};
        err = collect_start(c, &collect);
    }
    filter_unref(filter);
    if (err < 0)
        work_free(&s->work);
    return err;
}
