/* SPDX-License-Identifier: ISC */
/* Which backend takes a login: a fixed one, where the fleet has the user, or any of the pool. */
#include "session/session_priv.h"

/* One fixed backend: held, drained or full (then others of its pool may take over when the pool
 * says so) or simply not there. */
static int choose_check_fixed(struct session *s, struct backend *b, bool *ret_may_move)
{
    enum backend_admin admin = atomic_load_explicit(&b->admin, memory_order_relaxed);
    const struct pool *pool = s->pre->route.pool;
    *ret_may_move = false;
    if (admin == BACKEND_HOLD)
        return -ERR_BUSY;
    if (admin == BACKEND_DRAIN || admin == BACKEND_DISABLED) {
        *ret_may_move = !s->pre->route.dynamic && pool->config->are_pinned_users_moved;
        return *ret_may_move ? 0 : -ERR_BUSY;
    }
    if (!backend_may_be_usable(b, s->proto->id, loop_now_ms(s->env->loop)))
        return -ERR_BACKEND_DOWN;
    *ret_may_move =
        backend_is_full(b) && !s->pre->route.dynamic && pool->config->are_pinned_users_moved;
    return 0;
}

int choose_fixed(struct session *s, struct backend **ret)
{
    struct preauth *p = s->pre;
    struct route *r = &p->route;
    struct backend *fixed = r->dynamic ? r->dynamic : r->member ? r->member->backend : NULL;
    bool may_move = false;
    if (fixed) {
        int err =
            p->choice.n_tried > 0 ? -ERR_UNREACHABLE : choose_check_fixed(s, fixed, &may_move);
        if (err < 0)
            return err;
    }
    *ret = may_move ? NULL : fixed;
    if (!*ret &&
        (p->choice.n_tried >= r->pool->config->max_tries || p->choice.n_tried >= POOL_TRIES_MAX))
        return -ERR_UNREACHABLE;
    p->choice.user = str_of(s->user);
    p->choice.proto = s->proto->id;
    p->choice.now_ms = loop_now_ms(s->env->loop);
    p->choice.round_robin = &s->env->round_robin;
    if (*ret || !p->pin.backend)
        return 0;
    /* Where the fleet has the user; others take over when it cannot be used. */
    *ret = session_pin_backend(s);
    bool is_held =
        *ret && atomic_load_explicit(&(*ret)->admin, memory_order_relaxed) == BACKEND_HOLD;
    return is_held ? -ERR_BUSY : 0;
}

const struct pool_member *choose_member(const struct pool *pool, const struct backend *b)
{
    for (size_t i = 0; i < pool->n_members; i++)
        if (pool->members[i].backend == b)
            return &pool->members[i];
    return NULL;
}

/* The place that was waited for; NULL where it no longer fits. */
static const struct pool_member *choose_granted(const struct session *s,
                                                const struct backend *fixed)
{
    const struct preauth *p = s->pre;
    const struct pool *pool = p->route.pool;
    const struct backend *b = p->granted;
    if (!b || (fixed ? fixed != b : !pool_would_take(pool, &p->choice, b)))
        return NULL;
    return choose_member(pool, b);
}

int choose_backend(struct session *s, const struct pool_member **ret)
{
    struct preauth *p = s->pre;
    struct backend *fixed;
    int err = choose_fixed(s, &fixed);
    if (err < 0)
        return err;
    *ret = choose_granted(s, fixed);
    if (*ret) {
        backend_unref(STEAL(p->granted)); /* the place is the login's from here on */
        return 0;
    }
    if (!fixed)
        return places_pick(p->route.pool, &p->choice, ret);
    *ret = fixed == p->pin.backend ? choose_member(p->route.pool, fixed) : p->route.member;
    if (!backend_take_place(fixed))
        return -ERR_BACKEND_FULL;
    if (backend_is_usable(fixed, s->proto->id, loop_now_ms(s->env->loop)))
        return 0;
    places_give(fixed); /* another login has the one try of a backend that is down */
    if (fixed != p->pin.backend || p->route.member)
        return -ERR_BACKEND_DOWN;
    session_pin_avoid(s);
    return choose_backend(s, ret);
}
