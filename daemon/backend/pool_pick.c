/* SPDX-License-Identifier: ISC */
/* The choice of one member for one login: weighted rendezvous hash, fewest sessions, or by turns.
 */
#include "backend/pool.h"
#include "base/hash.h"

#define POOL_WEIGHT_UNIT 256 /* slow start scales weights in steps of 1/256 */
#define POOL_FOLDED_MAX 256

/* ---- rendezvous hash ---- */

/* -log2(h / 2^64) with 32 binary places, at least 1: the same on every machine, as routing depends
 * on it. h > 0. */
static uint64_t pool_log(uint64_t h)
{
    unsigned shift = (unsigned)__builtin_clzll(h);
    uint64_t x = h << shift; /* x / 2^63 in [1, 2) */
    uint64_t log = 0;
    for (unsigned i = 0; i < 32; i++) {
        unsigned __int128 square = (unsigned __int128)x * x;
        bool is_over = square >> 127;
        log = log << 1 | is_over;
        x = (uint64_t)(square >> (is_over ? 64 : 63));
    }
    /* log2(h / 2^64) = -1 - shift + log / 2^32 */
    return ((uint64_t)(shift + 1) << 32) - log;
}

/* The user's half of the hash; the case of ASCII letters does not matter, so that "Anna" and "anna"
 * find the same mailbox. */
static uint64_t pool_hash_user(struct str user)
{
    char folded[POOL_FOLDED_MAX];
    if (!str_copy(folded, sizeof(folded), user))
        return hash_stable(user);
    str_lower(folded);
    return hash_stable(str_n(folded, user.n));
}

/* Each member runs a race of its own, the fastest wins: a member that comes or goes moves only the
 * users that it wins or leaves, in proportion to its weight. */
static uint64_t pool_cost(const struct pool_member *m, uint64_t user)
{
    uint64_t h = hash_mix(user ^ m->hash);
    return pool_log(h ? h : 1);
}

/* Is a's time (cost / weight) shorter than b's? Neither weight is 0. */
static bool pool_is_first(uint64_t cost_a, uint64_t weight_a, uint64_t cost_b, uint64_t weight_b)
{
    return (unsigned __int128)cost_a * weight_b < (unsigned __int128)cost_b * weight_a;
}

/* ---- who may be chosen ---- */

enum pool_standing { POOL_OUT, POOL_FULL, POOL_HELD, POOL_FREE };

static enum pool_standing pool_standing(const struct pool_member *m, const struct pool_choice *c)
{
    if (m->weight == 0)
        return POOL_OUT;
    for (size_t i = 0; i < c->n_tried; i++)
        if (c->tried[i] == m->backend)
            return POOL_OUT;
    if (atomic_load_explicit(&m->backend->admin, memory_order_relaxed) == BACKEND_HOLD)
        return POOL_HELD;
    if (!backend_may_be_usable(m->backend, c->proto, c->now_ms))
        return POOL_OUT;
    return backend_is_full(m->backend) ? POOL_FULL : POOL_FREE;
}

bool pool_would_take(const struct pool *p, const struct pool_choice *c, const struct backend *b)
{
    for (size_t i = 0; i < p->n_members; i++)
        if (p->members[i].backend == b) {
            enum pool_standing standing = pool_standing(&p->members[i], c);
            return standing == POOL_FREE || standing == POOL_FULL;
        }
    return false;
}

/* The weight of one that came back a moment ago grows slowly to its full size. In units. As it only
 * grows, users come back to it one after another, and each once. */
static uint64_t pool_weight(const struct pool *p, const struct pool_member *m, uint64_t now_ms)
{
    uint64_t full = (uint64_t)m->weight * POOL_WEIGHT_UNIT;
    uint64_t since = atomic_load_explicit(&m->backend->up_since_ms, memory_order_relaxed);
    uint64_t slow = p->config->slow_start_ms;
    if (since == 0 || now_ms < since || now_ms - since >= slow)
        return full;
    uint64_t part = full * (now_ms - since) / slow;
    return part > 0 ? part : 1;
}

/* ---- the three ways ---- */

static const struct pool_member *pool_pick_user(const struct pool *p, const struct pool_choice *c)
{
    const struct pool_member *best = NULL;
    uint64_t user = pool_hash_user(c->user), best_cost = 0, best_weight = 0;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        if (pool_standing(m, c) < POOL_HELD)
            continue;
        uint64_t cost = pool_cost(m, user), weight = pool_weight(p, m, c->now_ms);
        if (!best || pool_is_first(cost, weight, best_cost, best_weight)) {
            best = m;
            best_cost = cost;
            best_weight = weight;
        }
    }
    return best;
}

/* The fewest sessions for its weight; among equals by turns: counts of sessions lag behind logins.
 */
static const struct pool_member *pool_pick_least(const struct pool *p, const struct pool_choice *c)
{
    const struct pool_member *best = NULL;
    uint64_t best_sessions = 0, best_weight = 0;
    size_t start = (*c->round_robin)++;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[(start + i) % p->n_members];
        if (pool_standing(m, c) != POOL_FREE)
            continue;
        uint64_t n = backend_sessions(m->backend) + 1;
        uint64_t weight = pool_weight(p, m, c->now_ms);
        if (best && (unsigned __int128)n * best_weight >= (unsigned __int128)best_sessions * weight)
            continue;
        best = m;
        best_sessions = n;
        best_weight = weight;
    }
    return best;
}

/* The n-th of the free members, counted from 0. */
static const struct pool_member *pool_free_member(const struct pool *p, const struct pool_choice *c,
                                                  size_t n)
{
    for (size_t i = 0; i < p->n_members; i++)
        if (pool_standing(&p->members[i], c) == POOL_FREE && n-- == 0)
            return &p->members[i];
    return NULL;
}

/* Rounds over the free members: the heaviest takes part in every round, others in their share of
 * the rounds, evenly spread. */
static const struct pool_member *pool_pick_turn(const struct pool *p, const struct pool_choice *c)
{
    uint64_t heaviest = 0;
    size_t n = 0;
    for (size_t i = 0; i < p->n_members; i++) {
        if (pool_standing(&p->members[i], c) != POOL_FREE)
            continue;
        uint64_t w = pool_weight(p, &p->members[i], c->now_ms);
        heaviest = w > heaviest ? w : heaviest;
        n++;
    }
    for (size_t tries = 0; tries < 2 * n; tries++) {
        unsigned turn = (*c->round_robin)++;
        uint64_t round = turn / n;
        const struct pool_member *m = pool_free_member(p, c, turn % n);
        uint64_t w = m ? pool_weight(p, m, c->now_ms) : 0;
        if ((round + 1) * w / heaviest > round * w / heaviest)
            return m;
    }
    return pool_free_member(p, c, 0); /* states changed under our eyes */
}

/* Why nobody was picked. */
static int pool_fault(const struct pool *p)
{
    size_t n = 0, n_out = 0;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        enum backend_admin admin = atomic_load_explicit(&m->backend->admin, memory_order_relaxed);
        if (m->weight == 0)
            continue;
        n++;
        n_out += admin == BACKEND_DRAIN || admin == BACKEND_DISABLED;
    }
    return n == 0 ? -ERR_POOL_EMPTY : n == n_out ? -ERR_POOL_DRAINED : -ERR_POOL_DOWN;
}

/* None is free: what the login waits for, or why it fails. */
static int pool_none(const struct pool *p, const struct pool_choice *c)
{
    enum pool_standing best = POOL_OUT;
    for (size_t i = 0; i < p->n_members; i++) {
        enum pool_standing standing = pool_standing(&p->members[i], c);
        best = standing > best ? standing : best;
    }
    return best >= POOL_HELD ? -ERR_BUSY : best == POOL_FULL ? -ERR_POOL_FULL : pool_fault(p);
}

int pool_pick(const struct pool *p, const struct pool_choice *c, const struct pool_member **ret)
{
    /* Again only when another thread took the one try of a member that is down. */
    for (size_t i = 0; i <= p->n_members; i++) {
        const struct pool_member *m = p->config->balance == BALANCE_LEAST ? pool_pick_least(p, c)
                                      : p->config->balance == BALANCE_ROUND_ROBIN
                                          ? pool_pick_turn(p, c)
                                          : pool_pick_user(p, c);
        if (!m)
            break;
        if (atomic_load_explicit(&m->backend->admin, memory_order_relaxed) == BACKEND_HOLD)
            return -ERR_BUSY;
        if (backend_is_usable(m->backend, c->proto, c->now_ms)) {
            *ret = m;
            return 0;
        }
    }
    return pool_none(p, c);
}

int pool_look(const struct pool *p, const struct pool_choice *c)
{
    for (size_t i = 0; i < p->n_members; i++)
        if (pool_standing(&p->members[i], c) == POOL_FREE)
            return -ERR_POOL_FULL;
    return pool_none(p, c);
}

/* ---- order ---- */

struct pool_sorting {
    const struct pool *pool;
    uint64_t user, now_ms;
};

static int pool_compare(const void *a, const void *b, void *arg)
{
    const struct pool_sorting *s = arg;
    const struct pool_member *x = *(const struct pool_member *const *)a;
    const struct pool_member *y = *(const struct pool_member *const *)b;
    bool have_weight = x->weight != 0 && y->weight != 0;
    int by = (x->weight == 0) - (y->weight == 0);
    if (have_weight && s->pool->config->balance == BALANCE_USER) {
        uint64_t cost_x = pool_cost(x, s->user), cost_y = pool_cost(y, s->user);
        uint64_t weight_x = pool_weight(s->pool, x, s->now_ms);
        uint64_t weight_y = pool_weight(s->pool, y, s->now_ms);
        by = pool_is_first(cost_y, weight_y, cost_x, weight_x) -
             pool_is_first(cost_x, weight_x, cost_y, weight_y);
    } else if (have_weight && s->pool->config->balance == BALANCE_LEAST) {
        uint64_t n_x = backend_sessions(x->backend) + 1;
        uint64_t n_y = backend_sessions(y->backend) + 1;
        by = (n_x * y->weight > n_y * x->weight) - (n_x * y->weight < n_y * x->weight);
    }
    return by ? by : (x > y) - (x < y);
}

void pool_order(const struct pool *p, struct str user, uint64_t now_ms,
                const struct pool_member **order)
{
    struct pool_sorting s = {.pool = p, .user = pool_hash_user(user), .now_ms = now_ms};
    for (size_t i = 0; i < p->n_members; i++)
        order[i] = &p->members[i];
    qsort_r(order, p->n_members, sizeof(order[0]), pool_compare, &s);
}
