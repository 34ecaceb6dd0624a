/* SPDX-License-Identifier: ISC */
/* Active health checks: when which protocol of which backend is looked at, and what the findings
 * make of its health. */
#include "backend/check.h"

#include "backend/probe.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log/log.h"
#include "proto/registry/registry.h"

#define CHECK_FIRST_MAX_MS 1000 /* a new backend is looked at within this time */
#define CHECK_QUIET_MS 10000    /* between two lines about checks that are not possible */
#define CHECK_LOOK_MS 1000      /* how often changes that logins found are looked for */

/* One protocol of a backend. */
struct check_part {
    struct backend_check *check;
    struct probe probe;
    struct loop_timer timer;
    enum backend_health state;
    unsigned streak; /* findings in a row that speak against `state` */
    bool is_used;    /* a listener speaks it with the pool */
    bool is_scheduled;
    bool is_asked;          /* whether another proxy has looked; see struct check_sharing */
    uint64_t shared_number; /* of what another one found last; 0 = nothing */
};

/* One backend. */
struct backend_check {
    struct list link;
    struct checks *all;
    struct backend *backend;          /* one reference */
    const struct pool *pool;          /* of all->pools */
    const struct pool_member *member; /* of all->pools */
    bool is_wanted;                   /* seen in the newest pools */
    enum backend_health told;         /* to on_changed */
    unsigned told_protocols;
    struct check_part parts[PROTO_COUNT];
    struct list waiters;
};

/* Somebody who waits for a check by hand. */
struct check_waiter {
    struct list link;
    void (*cb)(void *arg, const struct check_result *r);
    void *arg;
    unsigned todo; /* bits of parts that have not answered yet */
    uint64_t begun_us;
    enum back_failure failure; /* the first */
    struct buf text;           /* of each protocol */
};

struct checks {
    struct loop *loop;
    struct resolver *resolver;
    void (*on_changed)(void *arg, struct backend *b);
    void *arg;
    struct pools *pools; /* one reference; NULL before the first configure */
    struct list list;
    struct loop_timer look;
    struct check_sharing sharing; /* ask NULL: each alone */
    uint64_t ours_quiet_ms;       /* no line about checks that were not possible before this */
};

/* ---- what is to be checked ---- */

/* Does the listener send logins to the pool: by name, by a route, or because it is the default that
 * is left when no route takes all? */
static bool check_is_used_by(const struct pools *pools, const struct config_listener *l,
                             const struct config_pool *pool)
{
    size_t n;
    const struct config_route *routes = pools_routes(pools, &n);
    if (l->pool)
        return strcmp(l->pool, pool->name) == 0;
    for (size_t i = 0; i < n; i++) {
        const struct config_route *r = &routes[i];
        if ((r->listener && strcmp(r->listener, l->name) != 0) ||
            (r->proto && r->proto != l->proto))
            continue;
        if (strcmp(r->pool, pool->name) == 0)
            return true;
        if (!r->domain && !r->user)
            return false;
    }
    return pool == &pools->config->pools[0];
}

/* Bits of the protocols that listeners speak with the pool. A pool that nothing leads to is for
 * users pinned to it: they may come by any listener. */
static unsigned health_protocols(const struct pools *pools, const struct config_pool *pool)
{
    const struct config *c = pools->config;
    unsigned used = 0, any = 0;
    for (size_t i = 0; i < c->n_listeners; i++) {
        unsigned bit = 1u << c->listeners[i].proto->id;
        any |= bit;
        if (check_is_used_by(pools, &c->listeners[i], pool))
            used |= bit;
    }
    return used ? used : any;
}

/* By the clock: not what an operator took out. */
static bool check_is_due(const struct check_part *part)
{
    const struct backend_check *k = part->check;
    return part->is_used && k->pool->config->check.is_on &&
           atomic_load(&k->backend->admin) != BACKEND_DISABLED;
}

static void check_schedule(struct check_part *part, uint64_t delay_ms)
{
    struct loop *l = part->check->all->loop;
    part->is_scheduled = check_is_due(part);
    if (part->is_scheduled)
        loop_timer_set(l, &part->timer, delay_ms);
    else
        loop_timer_cancel(l, &part->timer);
}

static uint32_t check_random(void)
{
    uint32_t random;
    hash_random(&random, sizeof(random));
    return random;
}

static void check_schedule_first(struct check_part *part)
{
    check_schedule(part, check_random() % CHECK_FIRST_MAX_MS);
}

/* A tenth more or less, so that many proxies and backends do not march in step. */
static void check_schedule_next(struct check_part *part)
{
    uint64_t interval = part->check->pool->config->check.interval_ms;
    check_schedule(part, interval - interval / 10 + check_random() % (interval / 5 + 1));
}

/* ---- findings ---- */

static void check_tell(struct backend_check *k)
{
    enum backend_health h = atomic_load(&k->backend->health);
    unsigned protocols = atomic_load(&k->backend->down_protocols);
    if (h == k->told && protocols == k->told_protocols)
        return;
    k->told = h;
    k->told_protocols = protocols;
    k->all->on_changed(k->all->arg, k->backend);
}

/* One finding counts at once when nothing was known, else only with enough others in a row. */
static void check_judge(struct check_part *part, enum back_failure f)
{
    const struct backend_check *k = part->check;
    const struct config_check *c = &k->pool->config->check;
    enum backend_health found = f == BACK_FAIL_NONE ? BACKEND_UP : BACKEND_DOWN;
    if (back_failure_is_ours(f))
        return;
    if (part->state == BACKEND_UNKNOWN)
        part->state = atomic_load(&k->backend->health);
    part->streak = found == part->state ? 0 : part->streak + 1;
    if (part->streak == 0)
        return;
    if (part->state == BACKEND_UNKNOWN || !c->is_on ||
        part->streak >= (found == BACKEND_UP ? c->rise : c->fall)) {
        part->state = found;
        part->streak = 0;
    }
}

/* The backend is up when any of its protocols is, and down when all of them are. */
static void check_publish(struct backend_check *k, const char *text)
{
    unsigned down = 0, used = 0;
    bool is_any_up = false;
    for (unsigned i = 0; i < PROTO_COUNT; i++) {
        const struct check_part *part = &k->parts[i];
        if (!part->is_used)
            continue;
        used |= 1u << i;
        down |= part->state == BACKEND_DOWN ? 1u << i : 0;
        is_any_up = is_any_up || part->state == BACKEND_UP;
    }
    /* what is masked here only a check that comes by itself can free again */
    (void)backend_set_down_protocols(k->backend, k->pool->config->check.is_on ? down : 0, text);
    if (is_any_up || (used && down == used))
        (void)backend_set_health(k->backend, is_any_up ? BACKEND_UP : BACKEND_DOWN,
                                 loop_now_ms(k->all->loop), clock_wall_ms(), text);
    check_tell(k);
}

/* ---- who waits ---- */

static void check_answer(struct check_waiter *w, struct backend *b, int err)
{
    list_del(&w->link);
    w->cb(w->arg, &(struct check_result){.err = err,
                                         .backend = b,
                                         .failure = w->failure,
                                         .text = buf_cstr(&w->text),
                                         .took_us = clock_us() - w->begun_us});
    buf_fini(&w->text);
    free(w);
}

/* Without memory some words are lost. */
static void check_note_waiter(struct check_waiter *w, unsigned proto, enum back_failure f,
                              const char *text)
{
    const char *separator = w->text.len > 0 ? "; " : "";
    w->todo &= ~(1u << proto);
    if (w->failure == BACK_FAIL_NONE)
        w->failure = f;
    if (f == BACK_FAIL_NONE)
        (void)!buf_printf(&w->text, "%s%s: ok", separator, proto_get((enum proto_id)proto)->name);
    else
        (void)!buf_printf(&w->text, "%s%s", separator, text);
}

/* Who hears of it may take the backend out of its pool, and the check with it: nothing of the check
 * is touched after the answers. */
static void check_answer_waiters(struct backend_check *k, unsigned proto, enum back_failure f,
                                 const char *text)
{
    struct backend *b = backend_ref(k->backend);
    struct list done;
    list_init(&done);
    LIST_FOREACH_SAFE (it, &k->waiters) {
        struct check_waiter *w = LIST_ITEM(it, struct check_waiter, link);
        if (w->todo & 1u << proto)
            check_note_waiter(w, proto, f, text);
        if (w->todo)
            continue;
        list_del(&w->link);
        list_add_tail(&done, &w->link);
    }
    while (!list_is_empty(&done))
        check_answer(LIST_ITEM(done.next, struct check_waiter, link), b, 0);
    backend_unref(b);
}

/* ---- shared with other proxies ---- */

/* Something is wrong as seen from here, be it a first finding. */
static bool check_has_trouble(const struct check_part *part)
{
    const struct backend *b = part->check->backend;
    return atomic_load(&b->health) == BACKEND_DOWN || part->state == BACKEND_DOWN ||
           part->streak > 0 || atomic_load_explicit(&b->failures_in_row, memory_order_relaxed) > 0;
}

static void check_share(const struct check_part *part, enum back_failure f)
{
    const struct backend_check *k = part->check;
    const struct check_sharing *s = &k->all->sharing;
    enum proto_id proto = (enum proto_id)(part - k->parts);
    char capabilities[BACKEND_CAPS_MAX];
    if (!s->tell)
        return;
    backend_capabilities(k->backend, proto, capabilities);
    const struct check_finding found = {.by = s->name,
                                        .took_us = atomic_load(&k->backend->check_us),
                                        .cert_expires = k->backend->cert_expires[proto],
                                        .capabilities = capabilities};
    backend_set_checked_by(k->backend, s->name);
    s->tell(s->arg, k->backend->pool, k->backend->name, proto, k->pool->config->check.interval_ms,
            f == BACK_FAIL_NONE ? &found : NULL);
}

static void check_take_shared(struct check_part *part, const struct check_finding *f)
{
    const struct backend_check *k = part->check;
    struct backend *b = k->backend;
    enum proto_id proto = (enum proto_id)(part - k->parts);
    const struct backend_failure none = {.wall_ms = clock_wall_ms() - f->age_ms, .is_check = true};
    bool is_new = f->number > part->shared_number;
    part->shared_number = f->number;
    atomic_store_explicit(&b->cert_expires[proto], f->cert_expires, memory_order_relaxed);
    atomic_store_explicit(&b->last_check_ms, none.wall_ms, memory_order_relaxed);
    atomic_store_explicit(&b->check_us, f->took_us, memory_order_relaxed);
    if (*f->capabilities)
        backend_learn(b, proto, str_of(f->capabilities));
    backend_set_checked_by(b, f->by);
    check_schedule_next(part);
    if (!is_new)
        return;
    backend_note_check(b, proto, &none);
    check_judge(part, BACK_FAIL_NONE);
    check_publish(part->check, "");
}

/* ---- probes ---- */

/* Nothing was learned of the server. One line of many: they all lack the same. */
static void check_log_ours(struct checks *c, const struct backend *b, const char *text)
{
    uint64_t now = loop_now_ms(c->loop);
    if (now < c->ours_quiet_ms)
        return;
    c->ours_quiet_ms = now + CHECK_QUIET_MS;
    LOG_EVENT(LOG_LEVEL_WARN, "check-not-possible", KV_STR("backend", b->name),
              KV_STR("message", text));
}

static void on_found(struct probe *p, enum back_failure f, const char *text)
{
    struct check_part *part = CONTAINER_OF(p, struct check_part, probe);
    struct backend_check *k = part->check;
    if (back_failure_is_ours(f))
        check_log_ours(k->all, k->backend, text);
    struct backend_failure note = {.wall_ms = clock_wall_ms(), .failure = f, .is_check = true};
    const char *words = strstr(text, ": "); /* behind the protocol, which is known here */
    (void)str_copy(note.text, sizeof(note.text), str_of(words ? words + 2 : text));
    backend_note_check(k->backend, (enum proto_id)(part - k->parts), &note);
    /* Logins may have found it down before the checks did: then these have to prove the contrary.
     */
    bool is_down = atomic_load(&k->backend->health) == BACKEND_DOWN;
    for (size_t i = 0; is_down && i < PROTO_COUNT; i++)
        if (k->parts[i].state == BACKEND_UP) {
            k->parts[i].state = BACKEND_DOWN;
            k->parts[i].streak = 0;
        }
    check_judge(part, f);
    check_share(part, f);
    check_publish(k, text);
    check_schedule_next(part);
    check_answer_waiters(k, (unsigned)(part - k->parts), f, text);
}

static int check_begin(struct check_part *part)
{
    const struct backend_check *k = part->check;
    const struct probe_spec spec = {
        .loop = k->all->loop,
        .resolver = k->all->resolver,
        .proto = (enum proto_id)(part - k->parts),
        .pools = k->all->pools,
        .pool = k->pool,
        .member = k->member,
        .found = on_found,
    };
    loop_timer_cancel(k->all->loop, &part->timer);
    part->is_scheduled = part->is_asked = false;
    return probe_is_running(&part->probe) ? 0 : probe_begin(&part->probe, &spec);
}

static void check_begin_due(struct check_part *part)
{
    int err = check_is_due(part) ? check_begin(part) : 0;
    if (err < 0) {
        check_log_ours(part->check->all, part->check->backend, err_text(err));
        check_schedule_next(part);
    }
}

static void on_check_timer(struct loop_timer *t)
{
    struct check_part *part = CONTAINER_OF(t, struct check_part, timer);
    const struct backend_check *k = part->check;
    const struct check_sharing *s = &k->all->sharing;
    part->is_scheduled = false;
    if (check_is_due(part))
        part->is_asked =
            s->ask && !check_has_trouble(part) && list_is_empty(&k->waiters) &&
            s->ask(s->arg, k->backend->pool, k->backend->name, (enum proto_id)(part - k->parts),
                   k->pool->config->check.interval_ms);
    if (!part->is_asked)
        check_begin_due(part);
}

/* ---- one backend ---- */

static struct backend_check *health_find(const struct checks *c, const struct backend *b)
{
    LIST_FOREACH (it, &c->list) {
        struct backend_check *k = LIST_ITEM(it, struct backend_check, link);
        if (k->backend == b)
            return k;
    }
    return NULL;
}

static struct backend_check *check_new(struct checks *c, struct backend *b)
{
    struct backend_check *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->all = c;
    k->backend = backend_ref(b);
    k->told = atomic_load(&b->health);
    k->told_protocols = atomic_load(&b->down_protocols);
    for (size_t i = 0; i < PROTO_COUNT; i++) {
        k->parts[i].check = k;
        loop_timer_init(&k->parts[i].timer, on_check_timer);
    }
    list_init(&k->waiters);
    list_add_tail(&c->list, &k->link);
    return k;
}

static void check_free(struct backend_check *k, int err)
{
    list_del(&k->link);
    for (size_t i = 0; i < PROTO_COUNT; i++) {
        loop_timer_cancel(k->all->loop, &k->parts[i].timer);
        probe_cancel(&k->parts[i].probe);
    }
    while (!list_is_empty(&k->waiters))
        check_answer(LIST_ITEM(k->waiters.next, struct check_waiter, link), k->backend, err);
    backend_set_checked(k->backend, false);
    backend_unref(k->backend);
    free(k);
}

/* A protocol that is no longer checked by itself leaves nothing behind. */
static void check_follow_part(struct check_part *part, bool is_used, bool has_moved)
{
    bool was_running = probe_is_running(&part->probe);
    part->is_used = is_used;
    if (!is_used)
        atomic_store(&part->check->backend->cert_expires[part - part->check->parts], 0);
    if (!is_used || !part->check->pool->config->check.is_on)
        part->state = BACKEND_UNKNOWN;
    if (has_moved || !is_used)
        part->is_asked = false;
    if (has_moved) {
        part->streak = 0;
        part->shared_number = 0;
        probe_cancel(&part->probe);
    }
    if (has_moved && was_running && check_begin(part) == 0)
        return;
    if (!probe_is_running(&part->probe) && !part->is_asked &&
        (has_moved || part->is_scheduled != check_is_due(part)))
        check_schedule_first(part);
}

/* ---- all of them ---- */

/* What is known of a backend stays; what runs against an address that it no longer has begins anew.
 */
static void checks_follow_pool(struct checks *c, const struct pool *p)
{
    unsigned used = health_protocols(c->pools, p->config);
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i], *old;
        struct backend_check *k = health_find(c, m->backend);
        if (!k)
            k = check_new(c, m->backend);
        if (!k) {
            LOG_EVENT(LOG_LEVEL_ERROR, "backend-unchecked", KV_STR("backend", m->backend->name),
                      KV_ERR("error", -ERR_NOMEM));
            continue;
        }
        old = k->member;
        bool has_moved =
            old && (strcmp(old->host, m->host) != 0 ||
                    memcmp(old->ports, m->ports, sizeof(m->ports)) != 0 || old->tls != m->tls);
        k->is_wanted = true;
        k->pool = p;
        k->member = m;
        backend_set_checked(k->backend, p->config->check.is_on && used != 0);
        for (unsigned j = 0; j < PROTO_COUNT; j++)
            check_follow_part(&k->parts[j], used & 1u << j, has_moved);
    }
}

void checks_configure(struct checks *c, struct pools *pools)
{
    struct pools *old = c->pools;
    c->pools = pools_ref(pools);
    LIST_FOREACH (it, &c->list)
        LIST_ITEM(it, struct backend_check, link)->is_wanted = false;
    for (size_t i = 0; i < pools->n; i++)
        checks_follow_pool(c, &pools->v[i]);
    LIST_FOREACH_SAFE (it, &c->list) {
        struct backend_check *k = LIST_ITEM(it, struct backend_check, link);
        if (!k->is_wanted)
            check_free(k, -ERR_NO_BACKEND);
    }
    pools_unref(old);
}

/* Changes that logins found, and backends that operators took back in. */
static void on_check_look(struct loop_timer *t)
{
    struct checks *c = CONTAINER_OF(t, struct checks, look);
    loop_timer_set(c->loop, t, CHECK_LOOK_MS);
    LIST_FOREACH_SAFE (it, &c->list) {
        struct backend_check *k = LIST_ITEM(it, struct backend_check, link);
        for (size_t i = 0; i < PROTO_COUNT; i++) {
            struct check_part *part = &k->parts[i];
            if (!part->is_scheduled && !part->is_asked && !probe_is_running(&part->probe) &&
                check_is_due(part))
                check_schedule_first(part);
        }
        check_tell(k);
    }
}

int checks_new(struct loop *l, struct resolver *r, void (*on_changed)(void *arg, struct backend *b),
               void *arg, struct checks **ret)
{
    struct checks *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    *c = (struct checks){.loop = l, .resolver = r, .on_changed = on_changed, .arg = arg};
    list_init(&c->list);
    loop_timer_init(&c->look, on_check_look);
    loop_timer_set(l, &c->look, CHECK_LOOK_MS);
    *ret = c;
    return 0;
}

void checks_free(struct checks *c)
{
    if (!c)
        return;
    LIST_FOREACH_SAFE (it, &c->list)
        check_free(LIST_ITEM(it, struct backend_check, link), -ERR_SHUTDOWN);
    loop_timer_cancel(c->loop, &c->look);
    pools_unref(c->pools);
    free(c);
}

void checks_share(struct checks *c, const struct check_sharing *s)
{
    c->sharing = s ? *s : (struct check_sharing){0};
    LIST_FOREACH (it, &c->list)
        for (size_t i = 0; !s && i < PROTO_COUNT; i++)
            LIST_ITEM(it, struct backend_check, link)->parts[i].is_asked =
                false; /* on_check_look goes on */
}

void checks_heard(struct checks *c, const char *pool, const char *backend, enum proto_id proto,
                  const struct check_finding *f)
{
    const struct pool_member *m = c->pools ? pools_member(c->pools, pool, backend, NULL) : NULL;
    struct backend_check *k = m ? health_find(c, m->backend) : NULL;
    struct check_part *part = k ? &k->parts[proto] : NULL;
    if (!part || !part->is_asked)
        return; /* it was checked meanwhile, or is gone */
    part->is_asked = false;
    /* The store does not bring back what was found before. */
    if (f && check_is_due(part) && !check_has_trouble(part) && f->number >= part->shared_number)
        check_take_shared(part, f);
    else
        check_begin_due(part);
}

/* ---- by hand ---- */

/* Begins whatever does not run yet. What cannot begin fails the check. */
static void check_begin_all(struct backend_check *k, struct check_waiter *w)
{
    for (unsigned i = 0; i < PROTO_COUNT; i++) {
        if (!k->parts[i].is_used)
            continue;
        int err = check_begin(&k->parts[i]);
        if (err < 0)
            check_note_waiter(w, i, BACK_FAIL_SHORTAGE, err_text(err));
        else
            w->todo |= 1u << i;
    }
}

int check_now(struct checks *c, const char *pool, const char *name,
              void (*cb)(void *arg, const struct check_result *r), void *arg)
{
    const struct pool_member *m = c->pools ? pools_member(c->pools, pool, name, NULL) : NULL;
    struct backend_check *k = m ? health_find(c, m->backend) : NULL;
    if (!k)
        return -ERR_NO_BACKEND;
    if (health_protocols(c->pools, k->pool->config) == 0)
        return -ERR_UNSUPPORTED;
    struct check_waiter *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct check_waiter){.cb = cb, .arg = arg, .begun_us = clock_us()};
    check_begin_all(k, w);
    if (w->todo == 0) {
        buf_fini(&w->text);
        free(w);
        return -ERR_NOMEM;
    }
    list_add_tail(&k->waiters, &w->link);
    return 0;
}
