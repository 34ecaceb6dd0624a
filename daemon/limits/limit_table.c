/* SPDX-License-Identifier: ISC */
/* Entries of addresses and users: found, made, and forgotten in time. */
#include "limits/limit_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/zalloc.h"

/* ---- addresses ---- */

/* IPv4 is kept mapped: the bytes tell the families apart. */
static struct str addr_key(const struct addr *key)
{
    return str_n((const char *)key->ip, sizeof(key->ip));
}

struct limit_from limit_from_of(const struct addr *a)
{
    const struct addr key = addr_limit_key(a);
    return (struct limit_from){key, hashed_key_of(addr_key(&key)).hash};
}

static struct hashed_key from_key(const struct limit_from *a)
{
    return (struct hashed_key){addr_key(&a->addr), a->hash};
}

static struct str source_key(const void *item)
{
    const struct limit_source *s = item;
    return addr_key(&s->addr);
}

void limit_sources_init(struct limit_sources *t, size_t max_idle, uint64_t now_ms)
{
    *t = (struct limit_sources){.by_addr.key = source_key, .max_idle = max_idle};
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->all);
    list_init(&t->walks);
    list_init(&t->near);
    list_init(&t->idle);
    wheel_init(&t->wheel, now_ms);
}

void limit_sources_fini(struct limit_sources *t)
{
    LIST_FOREACH_SAFE (it, &t->all) {
        struct limit_source *s = LIST_ITEM(it, struct limit_source, link);
        free(s->past);
        free(s->near);
        free(s);
    }
    table_fini(&t->by_addr);
    pthread_mutex_destroy(&t->lock);
}

struct limit_source *limit_source_find(const struct limit_sources *t, const struct limit_from *a)
{
    const struct hashed_key key = from_key(a);
    return table_get(&t->by_addr, &key);
}

struct limit_source *limit_source_take(struct limit_sources *t, const struct limit_from *a)
{
    const struct hashed_key key = from_key(a);
    struct limit_source *s = limit_source_find(t, a);
    if (s || !(s = zalloc(sizeof(*s))))
        return s;
    s->addr = a->addr;
    if (table_add(&t->by_addr, &key, s) < 0) {
        free(s);
        return NULL;
    }
    list_add_tail(&t->all, &s->link);
    return s;
}

struct limit_past *limit_source_past(struct limit_source *s)
{
    if (s->past || !(s->past = calloc(1, sizeof(*s->past))))
        return s->past;
    s->past->source = s;
    list_init(&s->past->idle);
    wheel_timer_init(&s->past->timer);
    return s->past;
}

static void source_awake(struct limit_sources *t, struct limit_source *s)
{
    if (!s->past || list_is_empty(&s->past->idle))
        return;
    list_del(&s->past->idle);
    t->n_idle--;
}

void limit_source_forget(struct limit_sources *t, struct limit_source *s)
{
    if (!s->past)
        return;
    source_awake(t, s);
    wheel_cancel(&t->wheel, &s->past->timer);
    free(STEAL(s->past));
}

/* Unless something of it is left. */
static void source_free(struct limit_sources *t, struct limit_source *s)
{
    limit_source_forget(t, s);
    if (s->near)
        return;
    const struct hashed_key key = hashed_key_of(addr_key(&s->addr));
    safe_iters_skip(&t->walks, &s->link);
    list_del(&s->link);
    (void)table_del(&t->by_addr, &key);
    free(s);
}

void limit_source_settle(struct limit_sources *t, struct limit_source *s, uint64_t until,
                         uint64_t now_ms)
{
    if (s->past && until > now_ms)
        wheel_set(&t->wheel, &s->past->timer, until);
    else
        limit_source_forget(t, s);
    if (s->sessions > 0) {
        source_awake(t, s);
        return;
    }
    if (!s->past) {
        source_free(t, s);
        return;
    }
    if (list_is_empty(&s->past->idle)) {
        list_add_tail(&t->idle, &s->past->idle);
        t->n_idle++;
    }
    if (t->n_idle > t->max_idle)
        source_free(t, LIST_ITEM(t->idle.next, struct limit_past, idle)->source);
}

/* ---- users ---- */

static struct str user_key(const void *item)
{
    return str_of(((const struct limit_user *)item)->name);
}

void limit_users_init(struct limit_users *t)
{
    *t = (struct limit_users){.by_name.key = user_key};
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->all);
    list_init(&t->walks);
    list_init(&t->near);
}

void limit_users_fini(struct limit_users *t)
{
    LIST_FOREACH_SAFE (it, &t->all) {
        struct limit_user *u = LIST_ITEM(it, struct limit_user, link);
        free(u->near);
        free(u);
    }
    table_fini(&t->by_name);
    pthread_mutex_destroy(&t->lock);
}

struct limit_user *limit_user_find(const struct limit_users *t, const struct hashed_key *name)
{
    return table_get(&t->by_name, name);
}

struct limit_user *limit_user_take(struct limit_users *t, const struct hashed_key *name)
{
    struct limit_user *u = limit_user_find(t, name);
    if (u || !(u = zalloc(sizeof(*u) + name->text.n + 1)))
        return u;
    memcpy(u->name, name->text.p, name->text.n);
    if (table_add(&t->by_name, name, u) < 0) {
        free(u);
        return NULL;
    }
    list_add_tail(&t->all, &u->link);
    return u;
}

void limit_user_settle(struct limit_users *t, struct limit_user *u)
{
    if (u->sessions > 0 || u->near)
        return;
    const struct hashed_key key = hashed_key_of(str_of(u->name));
    safe_iters_skip(&t->walks, &u->link);
    list_del(&u->link);
    (void)table_del(&t->by_name, &key);
    free(u);
}

/* ---- near a limit ---- */

struct limit_near *limit_near_take(struct list *near, size_t *n_near, struct limit_near **at,
                                   void *of)
{
    if (*at || *n_near >= LIMIT_NEAR_MAX || !(*at = zalloc(sizeof(**at))))
        return *at;
    (*at)->of = of;
    list_add_tail(near, &(*at)->link);
    ++*n_near;
    return *at;
}

void limit_near_drop(size_t *n_near, struct limit_near **at)
{
    list_del(&(*at)->link);
    free(STEAL(*at));
    --*n_near;
}
