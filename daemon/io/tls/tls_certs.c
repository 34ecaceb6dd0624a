/* SPDX-License-Identifier: ISC */
/* A map of names, a list in the order of their use, and a queue of what is wanted. */
#include "io/tls/tls_certs.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/container/list.h"
#include "base/container/map.h"

/* A name of the directory that somebody asked for. */
struct cert {
    struct list used;      /* of tls_certs.used */
    struct list wanted;    /* of tls_certs.wanted; in no list: not wanted */
    struct tls_pair *pair; /* NULL = none is in use */
    uint64_t version;      /* of its files */
    uint64_t refused;      /* version of files that cannot be used; 0 = none */
    uint64_t retry_ms;     /* until then nothing is asked for; 0 = at once */
    uint64_t fresh_ms;     /* when it was loaded; 0 = it has been used since */
    uint64_t asked_ms;     /* when its load began; 0 = none is under way */
    size_t n;
    char name[];
};

struct tls_certs {
    void (*on_wanted)(void *arg);
    void *arg;
    pthread_mutex_t mutex; /* of all that follows */
    struct tls_directory *directory;
    size_t max;
    struct map by_name; /* struct cert */
    struct list used;   /* the longest unused first */
    struct list wanted; /* in the order of asking */
    size_t n_pending;   /* wanted or under way */
    struct tls_waker wakers[TLS_CERTS_WAKERS_MAX];
    size_t n_wakers;
    size_t n_loaded, n_refused;
    struct tls_certs_figures counts; /* those since the start */
};

/* ---- entries; under the lock ---- */

static bool cert_is_pending(const struct cert *e)
{
    return e->asked_ms != 0 || e->wanted.next != &e->wanted;
}

static void cert_set_idle(struct tls_certs *c, struct cert *e)
{
    if (cert_is_pending(e))
        c->n_pending--;
    list_del(&e->wanted);
    e->asked_ms = 0;
}

static void cert_set_pair(struct tls_certs *c, struct cert *e, struct tls_pair *p)
{
    c->n_loaded += (p != NULL) - (size_t)(e->pair != NULL);
    tls_pair_unref(e->pair);
    e->pair = p;
}

static void cert_set_refused(struct tls_certs *c, struct cert *e, uint64_t version)
{
    c->n_refused += (version != 0) - (size_t)(e->refused != 0);
    e->refused = version;
}

static void cert_drop(struct tls_certs *c, struct cert *e)
{
    cert_set_idle(c, e);
    cert_set_pair(c, e, NULL);
    cert_set_refused(c, e, 0);
    list_del(&e->used);
    (void)map_del(&c->by_name, str_n(e->name, e->n));
    free(e);
}

static struct cert *cert_make(struct tls_certs *c, struct str name)
{
    struct cert *e = calloc(1, sizeof(*e) + name.n);
    if (!e)
        return NULL;
    memcpy(e->name, name.p, name.n);
    e->n = name.n;
    list_init(&e->wanted);
    if (map_put(&c->by_name, name, e, NULL) < 0) {
        free(e);
        return NULL;
    }
    list_add_tail(&c->used, &e->used);
    return e;
}

static bool certs_has(const struct tls_certs *c, const struct cert *e, uint32_t *ret_number,
                      struct tls_directory_entry *ret)
{
    return c->directory &&
           tls_directory_get(c->directory, str_n(e->name, e->n), ret_number, ret) == 0;
}

/* Handshakes keep what they show. What somebody waits for stays, so that of many who want more than
 * there is room for each gets its turn; but no more of it than may be wanted at once. */
static void certs_evict(struct tls_certs *c, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (it, &c->used) {
        struct cert *e = LIST_ITEM(it, struct cert, used);
        size_t over = c->by_name.count - c->n_pending;
        bool is_fresh = e->fresh_ms != 0 && now_ms - e->fresh_ms < TLS_CERTS_FRESH_MS;
        if (over <= c->max)
            return;
        if (cert_is_pending(e) || (is_fresh && over <= c->max + TLS_CERTS_PENDING_MAX))
            continue;
        c->counts.n_evictions += e->pair != NULL;
        cert_drop(c, e);
    }
}

/* ---- life ---- */

int tls_certs_new(void (*wanted)(void *arg), void *arg, struct tls_certs **ret)
{
    struct tls_certs *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->on_wanted = wanted;
    c->arg = arg;
    pthread_mutex_init(&c->mutex, NULL);
    list_init(&c->used);
    list_init(&c->wanted);
    *ret = c;
    return 0;
}

static void certs_clear(struct tls_certs *c)
{
    LIST_FOREACH_SAFE (it, &c->used)
        cert_drop(c, LIST_ITEM(it, struct cert, used));
}

void tls_certs_free(struct tls_certs *c)
{
    if (!c)
        return;
    certs_clear(c);
    map_fini(&c->by_name);
    tls_directory_free(c->directory);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void tls_certs_configure(struct tls_certs *c, struct tls_directory *d, size_t max)
{
    pthread_mutex_lock(&c->mutex);
    struct tls_directory *old = c->directory;
    c->directory = d;
    c->max = max;
    LIST_FOREACH_SAFE (it, &c->used) { /* the key of a name that is gone goes, too */
        struct cert *e = LIST_ITEM(it, struct cert, used);
        struct tls_directory_entry line;
        uint32_t number;
        if (!certs_has(c, e, &number, &line))
            cert_drop(c, e);
    }
    certs_evict(c, UINT64_MAX); /* none is fresh */
    pthread_mutex_unlock(&c->mutex);
    tls_directory_free(old);
}

void tls_certs_forget(struct tls_certs *c)
{
    pthread_mutex_lock(&c->mutex);
    certs_clear(c);
    pthread_mutex_unlock(&c->mutex);
}

void tls_certs_forget_one(struct tls_certs *c, const struct tls_pair *p)
{
    pthread_mutex_lock(&c->mutex);
    LIST_FOREACH_SAFE (it, &c->used) {
        struct cert *e = LIST_ITEM(it, struct cert, used);
        if (e->pair == p && !cert_is_pending(e))
            cert_drop(c, e);
    }
    pthread_mutex_unlock(&c->mutex);
}

/* ---- picking; under the lock ---- */

/* Has it queued. False: too much is under way; whoever waits asks again when some of it is there.
 */
static bool cert_want(struct tls_certs *c, struct cert *e, uint64_t now_ms, bool *ret_is_first)
{
    if (e->asked_ms != 0 && now_ms - e->asked_ms >= TLS_CERTS_LOST_MS)
        cert_set_idle(c, e);
    if (cert_is_pending(e))
        return true;
    if (c->n_pending >= TLS_CERTS_PENDING_MAX)
        return false;
    *ret_is_first = list_is_empty(&c->wanted);
    c->n_pending++;
    list_add_tail(&c->wanted, &e->wanted);
    return true;
}

static int certs_pick(struct tls_certs *c, const struct tls_directory_entry *line, uint64_t now_ms,
                      bool is_late, struct tls_pair **ret, bool *ret_is_first)
{
    struct cert *e = map_get(&c->by_name, line->name);
    bool is_good = e && e->pair && e->version == line->version;
    if (e) {
        list_del(&e->used);
        list_add_tail(&c->used, &e->used);
    }
    bool is_hopeless = e && (e->refused == line->version || now_ms < e->retry_ms);
    if (!is_good && !is_hopeless && !is_late) {
        if (!e && c->n_pending < TLS_CERTS_PENDING_MAX && !(e = cert_make(c, line->name)))
            return -ERR_NOT_FOUND;
        if (e)
            (void)cert_want(c, e, now_ms, ret_is_first);
        certs_evict(c, now_ms);
        return -ERR_AGAIN;
    }
    if (!e || !e->pair)
        return -ERR_NOT_FOUND;
    *ret = tls_pair_ref(e->pair);
    if (e->fresh_ms != 0) {
        e->fresh_ms = 0;
        certs_evict(c, now_ms); /* perhaps this one */
    }
    return 0;
}

int tls_certs_pick(struct tls_certs *c, struct str name, uint64_t now_ms, bool is_late,
                   const struct tls_waker *w, struct tls_pair **ret)
{
    struct tls_directory_entry line;
    uint32_t number;
    bool is_first = false;
    pthread_mutex_lock(&c->mutex);
    int err =
        c->directory ? tls_directory_find(c->directory, name, &number, &line) : -ERR_NOT_FOUND;
    if (err == 0)
        err = certs_pick(c, &line, now_ms, is_late, ret, &is_first);
    if (err == -ERR_AGAIN) { /* each waker once */
        size_t i = 0;
        while (i < c->n_wakers && (c->wakers[i].arg != w->arg || c->wakers[i].wake != w->wake))
            i++;
        if (i == c->n_wakers && i < TLS_CERTS_WAKERS_MAX)
            c->wakers[c->n_wakers++] = *w;
    }
    pthread_mutex_unlock(&c->mutex);
    if (is_first)
        c->on_wanted(c->arg);
    return err;
}

/* ---- loading ---- */

bool tls_certs_next(struct tls_certs *c, uint64_t now_ms, uint32_t *ret_number)
{
    bool is_found = false;
    pthread_mutex_lock(&c->mutex);
    while (!is_found && !list_is_empty(&c->wanted)) {
        struct cert *e = LIST_ITEM(c->wanted.next, struct cert, wanted);
        struct tls_directory_entry line;
        is_found = certs_has(c, e, ret_number, &line);
        if (!is_found) { /* it went out of the directory */
            cert_drop(c, e);
            continue;
        }
        list_del(&e->wanted);
        e->asked_ms = now_ms ? now_ms : 1;
    }
    pthread_mutex_unlock(&c->mutex);
    return is_found;
}

/* A load that went on longer than anybody waited for is as good as any other. */
bool tls_certs_put(struct tls_certs *c, struct str name, uint64_t version, struct tls_pair *p,
                   int err, uint64_t now_ms)
{
    /* Without a change of its files? */
    bool may_be_mended =
        err_is_shortage(err) || err == -ERR_TIMEOUT || err == -ERR_IO || err == -ERR_CLOSED;
    pthread_mutex_lock(&c->mutex);
    struct cert *e = map_get(&c->by_name, name);
    bool is_known = e && !p && version && e->refused == version;
    if (e)
        cert_set_idle(c, e);
    if (e && p) {
        cert_set_pair(c, e, STEAL(p));
        cert_set_refused(c, e, 0);
        e->version = version;
        e->retry_ms = 0;
        e->fresh_ms = now_ms;
        c->counts.n_loads++;
    } else if (e && !may_be_mended) {
        cert_set_refused(c, e, version);
        c->counts.n_refusals++;
    } else if (e) {
        e->retry_ms = now_ms + TLS_CERTS_RETRY_MS;
        c->counts.n_refusals++;
    }
    certs_evict(c, now_ms);
    pthread_mutex_unlock(&c->mutex);
    tls_pair_unref(p);
    return !is_known;
}

void tls_certs_wake(struct tls_certs *c)
{
    struct tls_waker wakers[TLS_CERTS_WAKERS_MAX];
    pthread_mutex_lock(&c->mutex);
    size_t n = c->n_wakers;
    memcpy(wakers, c->wakers, n * sizeof(wakers[0]));
    c->n_wakers = 0;
    pthread_mutex_unlock(&c->mutex);
    for (size_t i = 0; i < n; i++)
        wakers[i].wake(wakers[i].arg);
}

/* ---- for listings ---- */

bool tls_certs_row(struct tls_certs *c, uint32_t number, char name[TLS_DIRECTORY_NAME_MAX + 1],
                   struct tls_certs_row *ret)
{
    struct tls_directory_entry line;
    pthread_mutex_lock(&c->mutex);
    bool is_found = c->directory && tls_directory_at(c->directory, number, &line);
    if (is_found) {
        const struct cert *e = map_get(&c->by_name, line.name);
        (void)str_copy(name, TLS_DIRECTORY_NAME_MAX + 1, line.name);
        *ret = (struct tls_certs_row){.name = str_of(name),
                                      .state = e && (e->refused == line.version || e->retry_ms)
                                                   ? TLS_CERTS_REFUSED
                                               : e && e->pair ? TLS_CERTS_LOADED
                                                              : TLS_CERTS_UNLOADED,
                                      .expires = e && e->pair ? tls_pair_expires(e->pair) : 0};
    }
    pthread_mutex_unlock(&c->mutex);
    return is_found;
}

struct tls_certs_figures tls_certs_figures(struct tls_certs *c)
{
    pthread_mutex_lock(&c->mutex);
    struct tls_certs_figures f = c->counts;
    f.names = c->directory ? tls_directory_count(c->directory) : 0;
    f.loaded = c->n_loaded;
    f.refused = c->n_refused;
    f.pending = c->n_pending;
    f.max = c->max;
    pthread_mutex_unlock(&c->mutex);
    return f;
}
