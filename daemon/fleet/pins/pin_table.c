/* SPDX-License-Identifier: ISC */
/* Pins: found, made, counted, told, and forgotten in time. */
#include "fleet/pins/pin_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/zalloc.h"

#define PIN_EXPIRED_AT_ONCE 4 /* idle pins that one call forgets: no call takes long */

static const char *const pin_source_names[PIN_SOURCE_COUNT] = {"balance", "fixed"};

const char *pin_source_name(enum pin_source s)
{
    return pin_source_names[s];
}

enum pin_source pin_source_find(struct str name)
{
    for (size_t i = 0; i < PIN_SOURCE_COUNT; i++)
        if (str_eq(name, str_of(pin_source_names[i])))
            return (enum pin_source)i;
    return PIN_BALANCED;
}

/* ---- the table ---- */

static struct str pin_table_key(const void *item)
{
    const struct pin *p = item;
    return str_n(p->key, PIN_HASH_BYTES + (size_t)p->pool_len);
}

void pin_table_init(struct pin_table *t, size_t n_stripes, size_t max_idle)
{
    *t = (struct pin_table){.n_stripes = n_stripes, .max_idle = max_idle / n_stripes};
    for (size_t i = 0; i < n_stripes; i++) {
        struct pin_stripe *s = &t->stripes[i];
        pthread_mutex_init(&s->lock, NULL);
        s->by_key.key = pin_table_key;
        list_init(&s->used);
        list_init(&s->walks);
        list_init(&s->idle);
        list_init(&s->dirty);
        list_init(&s->misplaced);
    }
}

static void pin_free(struct pin *p)
{
    LIST_FOREACH_SAFE (it, &p->backends)
        free(LIST_ITEM(it, struct pin_backend, link));
    free(p);
}

void pin_table_fini(struct pin_table *t)
{
    for (size_t i = 0; i < t->n_stripes; i++) {
        struct pin_stripe *s = &t->stripes[i];
        list_splice_tail(&s->used, &s->idle);
        LIST_FOREACH_SAFE (it, &s->used)
            pin_free(LIST_ITEM(it, struct pin, link));
        table_fini(&s->by_key);
        pthread_mutex_destroy(&s->lock);
    }
}

/* The user's hash is keyed and random already: a byte of it chooses the stripe. */
static struct pin_stripe *pin_lock_stripe(struct pin_table *t, size_t i)
{
    pthread_mutex_lock(&t->stripes[i].lock);
    return &t->stripes[i];
}

static struct pin_stripe *pin_lock(struct pin_table *t, const struct pin *p)
{
    return pin_lock_stripe(t, p->stripe);
}

static void pin_unlock(struct pin_stripe *s)
{
    pthread_mutex_unlock(&s->lock);
}

/* ---- one pin, the caller has the lock ---- */

static void pin_wake(struct pin_stripe *s, struct pin *p)
{
    if (!p->is_idle)
        return;
    p->is_idle = false;
    s->n_idle--;
    list_del(&p->link);
    list_add_tail(&s->used, &p->link);
}

/* After each end: one without sessions is kept for a while; the oldest make room. Those whose count
 * in the store is in doubt are no exception: there it ends with the user's key. */
static void pin_settle_idle(struct pin_table *t, struct pin_stripe *s, struct pin *p,
                            uint64_t now_ms)
{
    bool is_free = p->asked == 0 && p->sessions == 0 && p->under_way == 0;
    if (is_free && !p->is_idle) {
        p->is_idle = true;
        p->idle_ms = now_ms;
        s->n_idle++;
        safe_iters_skip(&s->walks, &p->link);
        list_del(&p->link);
        if (p->is_proved)
            list_add_tail(&s->idle, &p->link);
        else
            list_add_head(&s->idle, &p->link); /* the next to go */
    }
    for (int i = 0; i < PIN_EXPIRED_AT_ONCE && !list_is_empty(&s->idle); i++) {
        struct pin *oldest = LIST_ITEM(s->idle.next, struct pin, link);
        bool is_wanted = oldest->is_proved || !list_is_empty(&oldest->dirty);
        if (is_wanted && s->n_idle <= t->max_idle && oldest->idle_ms + PIN_IDLE_MS > now_ms)
            return;
        const struct hashed_key key = hashed_key_of(pin_table_key(oldest));
        list_del(&oldest->link);
        list_del(&oldest->dirty);
        s->n_idle--;
        (void)table_del(&s->by_key, &key);
        pin_free(oldest);
    }
}

static void pin_soil(struct pin_stripe *s, struct pin *p)
{
    if (list_is_empty(&p->dirty))
        list_add_tail(&s->dirty, &p->dirty);
}

static struct pin_backend *pin_backend_take(struct pin *p, const char *name)
{
    LIST_FOREACH (it, &p->backends)
        if (strcmp(LIST_ITEM(it, struct pin_backend, link)->name, name) == 0)
            return LIST_ITEM(it, struct pin_backend, link);
    size_t n = strlen(name) + 1;
    struct pin_backend *b = malloc(sizeof(*b) + n);
    if (!b)
        return NULL;
    b->pin = p;
    b->sessions = 0;
    memcpy(b->name, name, n);
    list_add_tail(&p->backends, &b->link);
    return b;
}

static void pin_backend_drop(struct pin *p, struct pin_backend *b)
{
    if (!b || b->sessions > 0 || b == p->current)
        return;
    list_del(&b->link);
    free(b);
}

/* After each change of sessions or of the current backend. wall_ms: of a conflict that begins. */
static void pin_judge(struct pin_table *t, struct pin_stripe *s, struct pin *p, uint64_t wall_ms)
{
    uint32_t there = p->current ? p->current->sessions : p->sessions;
    uint32_t before = p->misplaced;
    p->misplaced = p->sessions - there;
    p->is_ended = p->is_ended && p->misplaced <= before;
    bool was = !list_is_empty(&p->misplaced_link);
    if (was == (p->misplaced > 0))
        return;
    if (was) {
        list_del(&p->misplaced_link);
        atomic_fetch_sub_explicit(&t->n_misplaced, 1, memory_order_relaxed);
        return;
    }
    p->misplaced_ms = wall_ms;
    p->is_told = false;
    list_add_tail(&s->misplaced, &p->misplaced_link);
    atomic_fetch_add_explicit(&t->n_misplaced, 1, memory_order_relaxed);
    pin_table_count(t, PIN_COUNT_CONFLICTS);
}

static void pin_set_current(struct pin *p, struct pin_backend *b, uint64_t gen,
                            enum pin_source source)
{
    struct pin_backend *old = p->current;
    p->current = b;
    p->gen = gen;
    p->source = (uint8_t)source;
    if (old != b)
        pin_backend_drop(p, old);
}

static void pin_view(const struct pin *p, struct pin_view *ret)
{
    *ret = (struct pin_view){.gen = p->gen,
                             .sessions = p->sessions,
                             .misplaced = p->misplaced,
                             .current = p->current ? p->current->sessions : 0,
                             .source = p->source};
    if (p->current)
        (void)str_copy(ret->backend, sizeof(ret->backend), str_of(p->current->name));
}

/* ---- logins ---- */

static struct pin *pin_new(const struct pin_key *k, size_t stripe, const char *user)
{
    size_t pool = strlen(k->pool), n = strlen(user);
    if (pool >= PIN_NAME_SIZE || n > UINT8_MAX)
        return NULL;
    struct pin *p = zalloc(sizeof(*p) + PIN_HASH_BYTES + pool + 1 + n + 1);
    if (!p)
        return NULL;
    p->stripe = (uint8_t)stripe;
    p->pool_len = (uint16_t)pool;
    p->user_at = (uint16_t)(PIN_HASH_BYTES + pool + 1);
    memcpy(p->key, k->user, PIN_HASH_BYTES);
    memcpy(p->key + PIN_HASH_BYTES, k->pool, pool);
    memcpy(p->key + p->user_at, user, n);
    list_init(&p->link);
    list_init(&p->dirty);
    list_init(&p->misplaced_link);
    list_init(&p->backends);
    return p;
}

static size_t pin_stripe_of(const struct pin_table *t, const struct pin_key *k)
{
    return k->user[0] % t->n_stripes;
}

/* With the stripe locked; k's text in a place of the caller's. */
static struct pin *pin_find(const struct pin_stripe *s, const struct pin_key *k)
{
    char text[PIN_HASH_BYTES + PIN_NAME_SIZE];
    size_t n = strlen(k->pool);
    if (n >= PIN_NAME_SIZE)
        return NULL;
    memcpy(text, k->user, PIN_HASH_BYTES);
    memcpy(text + PIN_HASH_BYTES, k->pool, n);
    const struct hashed_key key = hashed_key_of(str_n(text, PIN_HASH_BYTES + n));
    return table_get(&s->by_key, &key);
}

struct pin *pin_begin(struct pin_table *t, const struct pin_key *k, const char *user,
                      uint64_t now_ms, struct pin_view *ret)
{
    size_t i = pin_stripe_of(t, k);
    struct pin_stripe *s = pin_lock_stripe(t, i);
    struct pin *p = pin_find(s, k);
    if (!p && (p = pin_new(k, i, user))) {
        const struct hashed_key key = hashed_key_of(pin_table_key(p));
        if (table_add(&s->by_key, &key, p) < 0) {
            pin_free(p);
            p = NULL;
        } else {
            list_add_tail(&s->used, &p->link);
        }
    }
    if (p) {
        pin_view(p, ret);
        pin_wake(s, p);
        if (p->asked == 0 && p->sessions == 0)
            atomic_fetch_add_explicit(&t->n_pins, 1, memory_order_relaxed);
        p->asked++;
        pin_settle_idle(t, s, p, now_ms);
    }
    pin_unlock(s);
    return p;
}

/* A login or session less: is it the last? */
static void pin_end_one(struct pin_table *t, struct pin_stripe *s, struct pin *p, uint64_t now_ms)
{
    if (p->asked == 0 && p->sessions == 0)
        atomic_fetch_sub_explicit(&t->n_pins, 1, memory_order_relaxed);
    pin_settle_idle(t, s, p, now_ms);
}

struct pin_backend *pin_settle(struct pin_table *t, struct pin *p, const char *backend,
                               uint64_t gen, enum pin_source source, uint64_t wall_ms)
{
    struct pin_stripe *s = pin_lock(t, p);
    struct pin_backend *b = pin_backend_take(p, backend);
    if (b) {
        /* Is it newer than what the sessions here go by? Without sessions the store is right in any
         * case. */
        if (gen > 0 && (gen >= p->gen || p->sessions == 0))
            pin_set_current(p, b, gen, source);
        else if (!p->current || (gen == 0 && p->current->sessions == 0))
            pin_set_current(p, b, p->gen, source);
        p->asked--;
        b->sessions++;
        p->sessions++;
        if (gen == 0)
            pin_soil(s, p);
        pin_judge(t, s, p, wall_ms);
    }
    pin_unlock(s);
    return b;
}

void pin_give_up(struct pin_table *t, struct pin *p, uint64_t now_ms)
{
    struct pin_stripe *s = pin_lock(t, p);
    p->asked--;
    pin_end_one(t, s, p, now_ms);
    pin_unlock(s);
}

static void pin_take_off(struct pin_table *t, struct pin_stripe *s, struct pin_backend *b)
{
    struct pin *p = b->pin;
    b->sessions--;
    p->sessions--;
    pin_backend_drop(p, b);
    pin_judge(t, s, p, p->misplaced_ms);
}

void pin_leave(struct pin_table *t, struct pin_backend *b, bool is_void, uint64_t now_ms)
{
    struct pin *p = b->pin;
    struct pin_stripe *s = pin_lock(t, p);
    p->is_proved = p->is_proved || !is_void;
    pin_take_off(t, s, b);
    pin_end_one(t, s, p, now_ms);
    pin_unlock(s);
}

struct pin *pin_again(struct pin_table *t, struct pin_backend *b, struct pin_view *ret)
{
    struct pin *p = b->pin;
    struct pin_stripe *s = pin_lock(t, p);
    p->asked++;
    pin_take_off(t, s, b);
    pin_view(p, ret);
    pin_unlock(s);
    return p;
}

bool pin_look(struct pin_table *t, const struct pin_key *k, struct pin_view *ret)
{
    struct pin_stripe *s = pin_lock_stripe(t, pin_stripe_of(t, k));
    const struct pin *p = pin_find(s, k);
    if (p)
        pin_view(p, ret);
    pin_unlock(s);
    return p;
}

/* ---- the store's counts ---- */

void pin_change(struct pin_table *t, struct pin *p)
{
    struct pin_stripe *s = pin_lock(t, p);
    p->changes++;
    p->under_way++;
    pin_unlock(s);
}

void pin_changed(struct pin_table *t, struct pin *p, bool is_sure, uint64_t now_ms)
{
    struct pin_stripe *s = pin_lock(t, p);
    p->under_way--;
    if (!is_sure)
        pin_soil(s, p);
    pin_settle_idle(t, s, p, now_ms);
    pin_unlock(s);
}

/* ---- claims ---- */

void pin_walk_begin(struct pin_table *t, struct pin_walk *w)
{
    pin_walk_end(t, w);
    struct pin_stripe *s = pin_lock_stripe(t, 0);
    *w = (struct pin_walk){.is_on = true};
    safe_iter_begin(&w->it, &s->walks, &s->used);
    pin_unlock(s);
}

void pin_walk_end(struct pin_table *t, struct pin_walk *w)
{
    if (!w->is_on)
        return;
    struct pin_stripe *s = pin_lock_stripe(t, w->stripe);
    safe_iter_end(&w->it);
    pin_unlock(s);
    w->is_on = false;
}

static void pin_claim(struct pin *p, struct pin_claim *ret)
{
    list_del(&p->dirty);
    p->under_way++;
    *ret = (struct pin_claim){.pin = p,
                              .changes = p->changes,
                              .sessions = p->asked + p->sessions,
                              .gen = p->gen,
                              .source = p->source,
                              .key = {.pool = p->key + PIN_HASH_BYTES}};
    memcpy(ret->key.user, p->key, PIN_HASH_BYTES);
    if (p->current)
        (void)str_copy(ret->backend, sizeof(ret->backend), str_of(p->current->name));
}

static bool pin_claim_dirty(struct pin_table *t, struct pin_claim *ret)
{
    bool is_there = false;
    for (size_t i = 0; i < t->n_stripes && !is_there; i++) {
        struct pin_stripe *s = pin_lock_stripe(t, i);
        LIST_FOREACH (it, &s->dirty) {
            struct pin *p = LIST_ITEM(it, struct pin, dirty);
            if (p->under_way > 0 || p->asked > 0)
                continue;
            pin_wake(s, p); /* it lives until the claim is over */
            pin_claim(p, ret);
            is_there = true;
            break;
        }
        pin_unlock(s);
    }
    return is_there;
}

/* The next one of the walk's stripe; false: it is over. */
static bool pin_claim_walked(struct pin_table *t, struct pin_walk *w, struct pin_claim *ret)
{
    struct pin_stripe *s = pin_lock_stripe(t, w->stripe);
    bool is_there = false;
    for (struct list *node = safe_iter_next(&w->it); node && !is_there;
         node = is_there ? NULL : safe_iter_next(&w->it)) {
        struct pin *p = LIST_ITEM(node, struct pin, link);
        if (p->sessions == 0)
            continue;
        if (p->under_way > 0 || p->asked > 0) {
            pin_soil(s, p); /* later */
            continue;
        }
        pin_claim(p, ret);
        is_there = true;
    }
    pin_unlock(s);
    return is_there;
}

bool pin_claim_next(struct pin_table *t, struct pin_walk *w, struct pin_claim *ret)
{
    if (pin_claim_dirty(t, ret))
        return true;
    while (w->is_on) {
        if (pin_claim_walked(t, w, ret))
            return true;
        size_t next = w->stripe + 1;
        pin_walk_end(t, w);
        if (next == t->n_stripes)
            return false;
        struct pin_stripe *s = pin_lock_stripe(t, next);
        *w = (struct pin_walk){.stripe = next, .is_on = true};
        safe_iter_begin(&w->it, &s->walks, &s->used);
        pin_unlock(s);
    }
    return false;
}

void pin_claim_over(struct pin_table *t, const struct pin_claim *c, enum pin_claim_end end,
                    const char *backend, uint64_t gen, uint64_t now_ms, uint64_t wall_ms)
{
    struct pin *p = c->pin;
    struct pin_stripe *s = pin_lock(t, p);
    p->under_way--;
    if (end == PIN_CLAIM_FAILED || p->changes != c->changes)
        pin_soil(s, p);
    if (end == PIN_CLAIM_HELD && p->gen < gen && p->current &&
        strcmp(p->current->name, backend) == 0)
        p->gen = gen;
    /* Unless a login heard something newer meanwhile. */
    if (end == PIN_CLAIM_LOST && gen >= p->gen) {
        struct pin_backend *b = pin_backend_take(p, backend);
        if (b)
            pin_set_current(p, b, gen, PIN_BALANCED);
        pin_judge(t, s, p, wall_ms);
    }
    pin_settle_idle(t, s, p, now_ms);
    pin_unlock(s);
}

/* ---- conflicts ---- */

/* False: enough. */
static bool pin_tell_conflict(const struct pin *p,
                              bool (*fn)(void *arg, const struct pin_conflict *c), void *arg)
{
    bool is_wanted = true;
    LIST_FOREACH (it, &p->backends) {
        const struct pin_backend *b = LIST_ITEM(it, struct pin_backend, link);
        if (b == p->current || b->sessions == 0)
            continue;
        const struct pin_conflict c = {.user = p->key + p->user_at,
                                       .pool = p->key + PIN_HASH_BYTES,
                                       .pinned = p->current ? p->current->name : "",
                                       .backend = b->name,
                                       .sessions = b->sessions,
                                       .gen = p->gen,
                                       .since_ms = p->misplaced_ms};
        is_wanted = fn(arg, &c) && is_wanted;
    }
    return is_wanted;
}

void pin_conflicts(struct pin_table *t, enum pin_conflict_pick pick,
                   bool (*fn)(void *arg, const struct pin_conflict *c), void *arg)
{
    bool is_wanted = true;
    for (size_t i = 0; i < t->n_stripes && is_wanted; i++) {
        struct pin_stripe *s = pin_lock_stripe(t, i);
        for (struct list *it = s->misplaced.next; it != &s->misplaced && is_wanted; it = it->next) {
            struct pin *p = LIST_ITEM(it, struct pin, misplaced_link);
            bool *done = pick == PIN_CONFLICTS_UNTOLD      ? &p->is_told
                         : pick == PIN_CONFLICTS_NOT_ENDED ? &p->is_ended
                                                           : NULL;
            if (done && *done)
                continue;
            is_wanted = pin_tell_conflict(p, fn, arg);
            if (done)
                *done = true;
        }
        pin_unlock(s);
    }
}
