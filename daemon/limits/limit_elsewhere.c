/* SPDX-License-Identifier: ISC */
/* Parts of limits that other nodes have, and those that they have to know of. */
#include "limits/limit_elsewhere.h"

#include "base/buf.h"
#include "base/zalloc.h"
#include "limits/limits_priv.h"

/* ---- what is told ---- */

void limits_set_nodes(struct limits *l, unsigned n_nodes, bool has_users)
{
    atomic_store_explicit(&l->n_nodes, n_nodes, memory_order_relaxed);
    atomic_store_explicit(&l->n_nodes_users, has_users ? n_nodes : 0, memory_order_relaxed);
}

static uint32_t near_weight(uint64_t n, uint64_t max)
{
    uint64_t weight = max ? n * 1000 / max : 0;
    return weight < UINT32_MAX ? (uint32_t)weight : UINT32_MAX;
}

/* Users that failed from a source, and those that logged in: near the number that is banned? */
static bool source_users(const struct config_limits *c, const struct limit_past *p, bool is_on,
                         unsigned n_nodes, uint64_t now_ms, struct limit_part *ret)
{
    ret->first = ret->second = (struct distinct_bits){0};
    uint32_t n = is_on && c->users_before_ban > 0 ? limit_past_users(p, c, now_ms) : 0;
    if (n == 0)
        return false;
    uint32_t weight = near_weight(n, c->users_before_ban);
    distinct_bits_add(&ret->first, &p->fails);
    distinct_bits_add(&ret->second, &p->oks);
    ret->weight = weight > ret->weight ? weight : ret->weight;
    return limits_is_near(n_nodes, n, c->users_before_ban);
}

/* What this node has of a source, and whether that is near a limit. */
static bool source_part(struct limits *l, const struct config_limits *c,
                        const struct limit_source *s, uint64_t now_ms, struct limit_part *ret)
{
    uint64_t max = limits_max_sessions(l, c, &s->addr);
    uint64_t before_ban = limits_failures(l, c, &s->addr);
    uint64_t most = limits_first_failures(c, before_ban);
    ret->kind = LIMIT_SHARE_ADDRESS;
    ret->sessions = s->sessions;
    ret->failures = limit_past_failures(s->past, c, now_ms);
    uint32_t by_sessions = near_weight(s->sessions, max);
    uint32_t by_failures = near_weight(ret->failures, most);
    ret->weight = by_sessions > by_failures ? by_sessions : by_failures;
    return source_users(c, s->past, before_ban > 0, l->n_nodes, now_ms, ret) ||
           limits_is_near(l->n_nodes, s->sessions, max) ||
           limits_is_near(l->n_nodes, ret->failures, most);
}

static bool user_part(struct limits *l, const struct config_limits *c, const struct limit_user *u,
                      struct limit_part *ret)
{
    uint64_t max = limits_max_user_sessions(l, c, u->name, u->own_max);
    *ret = (struct limit_part){.kind = LIMIT_SHARE_USER};
    ret->sessions = u->sessions;
    ret->failures = 0;
    ret->weight = near_weight(u->sessions, max);
    return limits_is_near(l->n_nodes_users, u->sessions, max);
}

static bool near_is_over(const struct limit_near *n)
{
    return n->sessions == 0 && n->failures == 0 && distinct_bits_is_empty(&n->failed) &&
           distinct_bits_is_empty(&n->welcome);
}

/* Others have some of it, and each one that this node has brings it nearer. */
static bool near_is_common(const struct limit_near *n, const struct limit_part *p)
{
    return !near_is_over(n) &&
           (p->sessions > 0 || p->failures > 0 || !distinct_bits_is_empty(&p->first) ||
            !distinct_bits_is_empty(&p->second));
}

/* Those that are guessed at; one lock is held for as many as are near. */
static void near_guesses(struct limits *l, const struct config_limits *c,
                         void (*fn)(void *arg, const struct limit_part *p), void *arg)
{
    struct guesses *g = &l->guesses;
    struct limit_part p;
    pthread_mutex_lock(&l->guesses_lock);
    LIST_FOREACH_SAFE (it, &g->near) {
        struct guess *e = LIST_ITEM(it, struct guess, near);
        unsigned n = distinct_count(&e->passwords);
        bool is_common = !distinct_bits_is_empty(&e->other_passwords);
        p = (struct limit_part){.kind = LIMIT_SHARE_GUESS};
        distinct_bits_add(&p.first, &e->passwords);
        distinct_bits_add(&p.second, &e->addresses);
        p.weight = near_weight(n, c->passwords_before_delay);
        if (n > 0 && (is_common || limits_is_near(l->n_nodes, n, c->passwords_before_delay)) &&
            str_copy(p.name, sizeof(p.name), str_of(e->user)))
            fn(arg, &p);
        else if (!is_common)
            guesses_set_near(g, e->user, false);
    }
    pthread_mutex_unlock(&l->guesses_lock);
}

void limits_near_each(struct limits *l, const struct config_limits *c, size_t stripe,
                      uint64_t now_ms, void (*fn)(void *arg, const struct limit_part *p), void *arg)
{
    struct limit_part p;
    if (stripe == 2 * l->n_stripes) {
        near_guesses(l, c, fn, arg);
        return;
    }
    if (stripe < l->n_stripes) {
        struct limit_sources *t = &l->sources[stripe];
        pthread_mutex_lock(&t->lock);
        LIST_FOREACH_SAFE (it, &t->near) {
            struct limit_near *n = LIST_ITEM(it, struct limit_near, link);
            struct limit_source *s = n->of;
            bool is_near = source_part(l, c, s, now_ms, &p);
            if (is_near || near_is_common(n, &p)) {
                addr_format_ip(p.name, &s->addr);
                fn(arg, &p);
            } else if (near_is_over(n)) {
                limit_near_drop(&t->n_near, &s->near);
                limits_keep_source(l, t, s, c, now_ms);
            }
        }
        pthread_mutex_unlock(&t->lock);
        return;
    }
    struct limit_users *t = &l->users[stripe - l->n_stripes];
    pthread_mutex_lock(&t->lock);
    LIST_FOREACH_SAFE (it, &t->near) {
        struct limit_near *n = LIST_ITEM(it, struct limit_near, link);
        struct limit_user *u = n->of;
        bool is_near = user_part(l, c, u, &p);
        if ((is_near || near_is_common(n, &p)) &&
            str_copy(p.name, sizeof(p.name), str_of(u->name))) {
            fn(arg, &p);
        } else if (near_is_over(n)) {
            limit_near_drop(&t->n_near, &u->near);
            limit_user_settle(t, u);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- scans ---- */

static void scan_sources(struct limit_scan *s, struct limits *l, const struct config_limits *c,
                         uint64_t now_ms)
{
    struct limit_sources *t = &l->sources[s->stripe];
    struct limit_part p;
    struct list *it = NULL;
    pthread_mutex_lock(&t->lock);
    if (!s->is_walking)
        safe_iter_begin(&s->walk, &t->walks, &t->all);
    s->is_walking = true;
    for (size_t i = 0; i < LIMIT_SCAN_STEP && (it = safe_iter_next(&s->walk)); i++) {
        struct limit_source *source = LIST_ITEM(it, struct limit_source, link);
        if (!source->near && source_part(l, c, source, now_ms, &p))
            (void)limit_near_take(&t->near, &t->n_near, &source->near, source);
    }
    if (!it)
        safe_iter_end(&s->walk);
    s->is_walking = it != NULL;
    pthread_mutex_unlock(&t->lock);
}

static void scan_users(struct limit_scan *s, struct limits *l, const struct config_limits *c)
{
    struct limit_users *t = &l->users[s->stripe - l->n_stripes];
    struct limit_part p;
    struct list *it = NULL;
    pthread_mutex_lock(&t->lock);
    if (!s->is_walking)
        safe_iter_begin(&s->walk, &t->walks, &t->all);
    s->is_walking = true;
    for (size_t i = 0; i < LIMIT_SCAN_STEP && (it = safe_iter_next(&s->walk)); i++) {
        struct limit_user *u = LIST_ITEM(it, struct limit_user, link);
        if (!u->near && user_part(l, c, u, &p))
            (void)limit_near_take(&t->near, &t->n_near, &u->near, u);
    }
    if (!it)
        safe_iter_end(&s->walk);
    s->is_walking = it != NULL;
    pthread_mutex_unlock(&t->lock);
}

bool limit_scan_step(struct limit_scan *s, struct limits *l, const struct config_limits *c,
                     uint64_t now_ms)
{
    if (s->stripe < l->n_stripes)
        scan_sources(s, l, c, now_ms);
    else
        scan_users(s, l, c);
    s->stripe = (s->stripe + !s->is_walking) % (2 * l->n_stripes);
    return s->stripe == 0 && !s->is_walking;
}

void limit_scan_fini(struct limit_scan *s, struct limits *l)
{
    bool is_user = s->stripe >= l->n_stripes;
    pthread_mutex_t *lock =
        is_user ? &l->users[s->stripe - l->n_stripes].lock : &l->sources[s->stripe].lock;
    if (!s->is_walking)
        return;
    pthread_mutex_lock(lock);
    safe_iter_end(&s->walk);
    pthread_mutex_unlock(lock);
    s->is_walking = false;
}

/* ---- what is heard ---- */

struct other_counts {
    uint32_t sessions, failures;
    struct distinct_bits first, second;
};

/* An address or user of which others told. The key: its kind and its name. */
struct limit_other {
    struct list over; /* of those that are taken out */
    uint32_t round;
    struct other_counts now, told; /* of this round; as the table has them */
    char key[];
};

static uint32_t sum_of(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

void limit_others_begin(struct limit_others *o)
{
    o->round++;
    o->n_left_out = 0;
}

int limit_others_add(struct limit_others *o, const struct limit_part *p)
{
    char key[1 + sizeof(p->name)];
    struct addr a;
    size_t n = strlen(p->name) + 2;
    key[0] = (char)p->kind;
    (void)str_copy(key + 1, sizeof(key) - 1, str_of(p->name));
    if (!*p->name || (p->kind == LIMIT_SHARE_ADDRESS && addr_parse_ip(str_of(p->name), &a) < 0))
        return -ERR_PROTOCOL;
    struct limit_other *other = map_get(&o->known, str_of(key));
    if (!other && o->known.count >= LIMIT_OTHERS_MAX) {
        o->n_left_out++;
        return -ERR_TOO_MANY;
    }
    if (!other) {
        if (!(other = zalloc(sizeof(*other) + n)))
            return -ERR_NOMEM;
        memcpy(other->key, key, n);
        if (map_put(&o->known, str_of(other->key), other, NULL) < 0) {
            free(other);
            return -ERR_NOMEM;
        }
    }
    if (other->round != o->round) {
        other->round = o->round;
        other->now = (struct other_counts){0};
    }
    other->now.sessions = sum_of(other->now.sessions, p->sessions);
    other->now.failures = sum_of(other->now.failures, p->failures);
    distinct_bits_merge(&other->now.first, &p->first);
    distinct_bits_merge(&other->now.second, &p->second);
    return 0;
}

/* Puts a sum into the table. Without room for it there the sum is not known. */
static void other_apply(struct limits *l, const struct config_limits *c, const char *key,
                        const struct other_counts *n, uint64_t now_ms)
{
    bool is_any = n->sessions > 0 || n->failures > 0 || !distinct_bits_is_empty(&n->first) ||
                  !distinct_bits_is_empty(&n->second);
    struct limit_near *near;
    struct addr a;
    if (key[0] == LIMIT_SHARE_GUESS) {
        pthread_mutex_lock(&l->guesses_lock);
        guesses_take(&l->guesses, key + 1, &n->first, &n->second, now_ms);
        pthread_mutex_unlock(&l->guesses_lock);
        return;
    }
    if (key[0] == LIMIT_SHARE_USER) {
        const struct hashed_key name = hashed_key_of(str_of(key + 1));
        struct limit_users *t = limits_lock_users(l, &name);
        struct limit_user *u = is_any ? limit_user_take(t, &name) : limit_user_find(t, &name);
        near = u && is_any ? limit_near_take(&t->near, &t->n_near, &u->near, u)
               : u         ? u->near
                           : NULL;
        if (near)
            near->sessions = n->sessions;
        if (u)
            limit_user_settle(t, u);
        pthread_mutex_unlock(&t->lock);
        return;
    }
    if (addr_parse_ip(str_of(key + 1), &a) < 0)
        return;
    const struct limit_from from = limit_from_of(&a);
    struct limit_sources *t = limits_lock_sources(l, &from);
    struct limit_source *s = is_any ? limit_source_take(t, &from) : limit_source_find(t, &from);
    near = s && is_any ? limit_near_take(&t->near, &t->n_near, &s->near, s) : s ? s->near : NULL;
    if (near) {
        near->sessions = n->sessions;
        near->failures = n->failures;
        near->failed = n->first;
        near->welcome = n->second;
    }
    if (s)
        limits_keep_source(l, t, s, c, now_ms);
    pthread_mutex_unlock(&t->lock);
}

void limit_others_end(struct limit_others *o, struct limits *l, const struct config_limits *c,
                      uint64_t now_ms)
{
    struct list over;
    size_t pos = 0;
    struct str key;
    void *value;
    list_init(&over);
    while (map_next(&o->known, &pos, &key, &value)) {
        struct limit_other *other = value;
        if (other->round != o->round)
            other->now = (struct other_counts){0};
        if (memcmp(&other->now, &other->told, sizeof(other->now)) != 0)
            other_apply(l, c, other->key, &other->now, now_ms);
        other->told = other->now;
        if (other->round != o->round)
            list_add_tail(&over, &other->over);
    }
    LIST_FOREACH_SAFE (it, &over) {
        struct limit_other *other = LIST_ITEM(it, struct limit_other, over);
        (void)map_del(&o->known, str_of(other->key));
        free(other);
    }
}

void limit_others_fini(struct limit_others *o, struct limits *l, const struct config_limits *c,
                       uint64_t now_ms)
{
    limit_others_begin(o);
    limit_others_end(o, l, c, now_ms);
    map_fini(&o->known);
}

/* ---- as bytes ---- */

#define PART_COUNTS 9 /* two numbers, and whether there are sets */
#define PART_SET (DISTINCT_BITS / 8)

static void number_put(uint8_t to[4], uint32_t n)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t number_of(const char *from)
{
    const uint8_t *p = (const uint8_t *)from;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void set_put(uint8_t *to, const struct distinct_bits *set)
{
    for (size_t i = 0; i < ARRAY_LEN(set->v); i++)
        number_put(to + 4 * i, set->v[i]);
}

static void set_take(struct distinct_bits *set, const char *from)
{
    for (size_t i = 0; i < ARRAY_LEN(set->v); i++)
        set->v[i] = number_of(from + 4 * i);
}

int limit_part_put(struct buf *out, const struct limit_part *p)
{
    size_t n = strlen(p->name);
    bool has_sets = !distinct_bits_is_empty(&p->first) || !distinct_bits_is_empty(&p->second);
    uint8_t head[2] = {(uint8_t)p->kind, (uint8_t)n}, rest[PART_COUNTS + 2 * PART_SET];
    size_t n_rest = has_sets ? sizeof(rest) : PART_COUNTS;
    number_put(rest, p->sessions);
    number_put(rest + 4, p->failures);
    rest[8] = has_sets;
    set_put(rest + PART_COUNTS, &p->first);
    set_put(rest + PART_COUNTS + PART_SET, &p->second);
    if (buf_reserve(out, sizeof(head) + n + n_rest) < 0)
        return -ERR_NOMEM;
    (void)!buf_append(out, (const char *)head, sizeof(head));
    (void)!buf_append(out, p->name, n);
    return buf_append(out, (const char *)rest, n_rest);
}

int limit_part_take(struct str *rest, struct limit_part *ret)
{
    char kind = rest->n >= 2 ? rest->p[0] : '\0';
    size_t n = rest->n >= 2 ? (uint8_t)rest->p[1] : 0;
    *ret = (struct limit_part){0};
    if (n == 0 || rest->n < 2 + n + PART_COUNTS ||
        (kind != LIMIT_SHARE_ADDRESS && kind != LIMIT_SHARE_USER && kind != LIMIT_SHARE_GUESS) ||
        memchr(rest->p + 2, '\0', n))
        return -ERR_PROTOCOL;
    const char *counts = rest->p + 2 + n;
    size_t n_sets = counts[8] ? 2 * PART_SET : 0;
    if (rest->n < 2 + n + PART_COUNTS + n_sets)
        return -ERR_PROTOCOL;
    ret->kind = (enum limit_share_kind)kind;
    memcpy(ret->name, rest->p + 2, n);
    ret->sessions = number_of(counts);
    ret->failures = number_of(counts + 4);
    if (n_sets > 0) {
        set_take(&ret->first, counts + PART_COUNTS);
        set_take(&ret->second, counts + PART_COUNTS + PART_SET);
    }
    *rest = str_skip(*rest, 2 + n + PART_COUNTS + n_sets);
    return 0;
}
