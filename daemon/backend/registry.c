/* SPDX-License-Identifier: ISC */
/* The backend objects that outlive configurations: members of pools, and a bounded set of addresses
 * that auth servers named. */
#include <pthread.h>

#include "backend/login_queue.h"
#include "backend/pool.h"
#include "base/container/list.h"
#include "base/container/map.h"

#define REGISTRY_DYNAMIC_MAX 4096
#define REGISTRY_DYNAMIC_POOL "(dynamic)"

struct registry_entry {
    struct list link;
    struct backend *backend; /* one reference */
};

/* Entries of one kind: by key, and the one asked for last at the end. */
struct registry_set {
    struct map map; /* pool NUL name -> entry */
    struct list order;
};

struct backend_registry {
    pthread_mutex_t lock;
    struct registry_set members, dynamics;
    struct pools *last;
    struct routes *routes;
    struct pool_changes *changes;
};

static int registry_key(struct buf *key, const char *pool, const char *name)
{
    return buf_append_c(key, pool) < 0 || buf_append_char(key, '\0') < 0 ||
                   buf_append_c(key, name) < 0
               ? -ERR_NOMEM
               : 0;
}

static void registry_drop(struct registry_set *set, struct registry_entry *e)
{
    AUTO_BUF key = BUF_INIT;
    list_del(&e->link);
    if (registry_key(&key, e->backend->pool, e->backend->name) == 0)
        (void)map_del(&set->map, buf_str(&key));
    backend_unref(e->backend);
    free(e);
}

static struct registry_entry *registry_add(struct registry_set *set, struct str key,
                                           const char *pool, const char *name, bool is_dynamic)
{
    struct registry_entry *e = calloc(1, sizeof(*e));
    if (!e || backend_new(pool, name, &e->backend) < 0) {
        free(e);
        return NULL;
    }
    /* The queue of a pool lives as long as one of its backends. */
    struct login_queue **queue = &e->backend->queue;
    for (struct list *it = set->order.next; !is_dynamic && !*queue && it != &set->order;
         it = it->next) {
        const struct backend *b = LIST_ITEM(it, struct registry_entry, link)->backend;
        if (strcmp(b->pool, pool) == 0)
            *queue = login_queue_ref(b->queue);
    }
    bool has_queue = is_dynamic || *queue || login_queue_new(queue) == 0;
    if (!has_queue || map_put(&set->map, key, e, NULL) < 0) {
        backend_unref(e->backend);
        free(e);
        return NULL;
    }
    list_init(&e->link);
    return e;
}

/* Nobody but the registry holds it; under the lock nobody can begin to. */
static bool registry_is_unused(const struct registry_entry *e)
{
    return atomic_load_explicit(&e->backend->refs, memory_order_acquire) == 1;
}

static bool registry_make_room(struct registry_set *set)
{
    if (set->map.count < REGISTRY_DYNAMIC_MAX)
        return true;
    LIST_FOREACH_SAFE (it, &set->order) {
        struct registry_entry *e = LIST_ITEM(it, struct registry_entry, link);
        if (registry_is_unused(e) && atomic_load(&e->backend->admin) == BACKEND_READY) {
            registry_drop(set, e);
            return true;
        }
    }
    return false;
}

static struct backend *registry_find(struct registry_set *set, const char *pool, const char *name,
                                     bool is_dynamic, bool *ret_is_new)
{
    AUTO_BUF key = BUF_INIT;
    if (registry_key(&key, pool, name) < 0)
        return NULL;
    struct registry_entry *e = map_get(&set->map, buf_str(&key));
    *ret_is_new = !e;
    if (!e && (!is_dynamic || registry_make_room(set)))
        e = registry_add(set, buf_str(&key), pool, name, is_dynamic);
    if (!e)
        return NULL;
    list_del(&e->link);
    list_add_tail(&set->order, &e->link);
    return backend_ref(e->backend);
}

/* ---- the registry ---- */

int backend_registry_new(struct backend_registry **ret)
{
    struct backend_registry *r = calloc(1, sizeof(*r));
    if (!r || pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return -ERR_NOMEM;
    }
    list_init(&r->members.order);
    list_init(&r->dynamics.order);
    *ret = r;
    return 0;
}

static void registry_set_fini(struct registry_set *set)
{
    LIST_FOREACH_SAFE (it, &set->order) {
        struct registry_entry *e = LIST_ITEM(it, struct registry_entry, link);
        backend_unref(e->backend);
        free(e);
    }
    map_fini(&set->map);
}

void backend_registry_free(struct backend_registry *r)
{
    if (!r)
        return;
    pools_unref(r->last);
    routes_unref(r->routes);
    pool_changes_unref(r->changes);
    registry_set_fini(&r->members);
    registry_set_fini(&r->dynamics);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct backend *backend_registry_get(struct backend_registry *r, const char *pool, const char *name,
                                     bool *ret_is_new)
{
    bool is_new;
    pthread_mutex_lock(&r->lock);
    struct backend *b = registry_find(&r->members, pool, name, false, &is_new);
    pthread_mutex_unlock(&r->lock);
    if (ret_is_new)
        *ret_is_new = is_new;
    return b;
}

void backend_registry_sweep(struct backend_registry *r)
{
    pthread_mutex_lock(&r->lock);
    LIST_FOREACH_SAFE (it, &r->members.order) {
        struct registry_entry *e = LIST_ITEM(it, struct registry_entry, link);
        if (registry_is_unused(e))
            registry_drop(&r->members, e);
    }
    pthread_mutex_unlock(&r->lock);
}

void backend_registry_set_routes(struct backend_registry *r, struct routes *routes)
{
    pthread_mutex_lock(&r->lock);
    struct routes *old = r->routes;
    r->routes = routes_ref(routes);
    pthread_mutex_unlock(&r->lock);
    routes_unref(old);
}

struct routes *backend_registry_routes(struct backend_registry *r)
{
    pthread_mutex_lock(&r->lock);
    struct routes *routes = routes_ref(r->routes);
    pthread_mutex_unlock(&r->lock);
    return routes;
}

void backend_registry_set_changes(struct backend_registry *r, struct pool_changes *changes)
{
    pthread_mutex_lock(&r->lock);
    struct pool_changes *old = r->changes;
    r->changes = pool_changes_ref(changes);
    pthread_mutex_unlock(&r->lock);
    pool_changes_unref(old);
}

struct pool_changes *backend_registry_changes(struct backend_registry *r)
{
    pthread_mutex_lock(&r->lock);
    struct pool_changes *changes = pool_changes_ref(r->changes);
    pthread_mutex_unlock(&r->lock);
    return changes;
}

struct pools *backend_registry_last(struct backend_registry *r)
{
    pthread_mutex_lock(&r->lock);
    struct pools *p = r->last ? pools_ref(r->last) : NULL;
    pthread_mutex_unlock(&r->lock);
    return p;
}

void backend_registry_set_last(struct backend_registry *r, struct pools *p)
{
    pthread_mutex_lock(&r->lock);
    struct pools *old = r->last;
    r->last = pools_ref(p);
    pthread_mutex_unlock(&r->lock);
    pools_unref(old);
}

struct backend *backend_registry_dynamic(struct backend_registry *r, const char *host,
                                         uint16_t port)
{
    bool is_unix = str_is_prefix(str_of(host), STR("unix:"));
    AUTO_FREE char *name =
        is_unix ? str_dup_c(host)
                : str_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    bool is_new;
    if (!name)
        return NULL;
    pthread_mutex_lock(&r->lock);
    struct backend *b = registry_find(&r->dynamics, REGISTRY_DYNAMIC_POOL, name, true, &is_new);
    pthread_mutex_unlock(&r->lock);
    return b;
}

int backend_registry_dynamics(struct backend_registry *r, struct backend ***ret, size_t *ret_n)
{
    size_t n = 0;
    pthread_mutex_lock(&r->lock);
    struct backend **v = calloc(r->dynamics.map.count + 1, sizeof(struct backend *));
    if (v)
        LIST_FOREACH (it, &r->dynamics.order)
            v[n++] = backend_ref(LIST_ITEM(it, struct registry_entry, link)->backend);
    pthread_mutex_unlock(&r->lock);
    if (!v)
        return -ERR_NOMEM;
    *ret = v;
    *ret_n = n;
    return 0;
}
