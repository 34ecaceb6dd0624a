/* SPDX-License-Identifier: ISC */
/* Pins follow the store: where it was away, or has other data, everything is told again. */
#include "fleet/fleet_pins.h"

#include <stdio.h>

#include "base/log/log.h"
#include "base/zalloc.h"
#include "fleet/conflicts.h"
#include "fleet/pins/pin_scripts.h"
#include "runtime/state.h"

struct fleet_pins {
    struct fleet *fleet;
    struct fleet_watch watch;
    struct claims *claims;
    struct conflicts *conflicts;
    struct list shows; /* struct pins_show */
    struct redis_client *redis;
    struct pins_shared *pins;
};

/* ---- a user's pins, for operators ---- */

#define SHOW_TIMEOUT_MS 1000
#define SHOW_TEXTS_MAX 1000

struct pins_show {
    struct list link;
    struct redis_call *call;
    void (*fn)(void *arg, struct pins_shown *shown);
    void *arg;
};

void pins_shown_free(struct pins_shown *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        free(s->v[i]);
    free(s);
}

static struct pins_shown *shown_read(const struct redisReply *r)
{
    size_t n = r->type != REDIS_REPLY_ARRAY   ? 0
               : r->elements < SHOW_TEXTS_MAX ? r->elements
                                              : SHOW_TEXTS_MAX;
    struct pins_shown *s = zalloc(sizeof(*s) + n * sizeof(s->v[0]));
    for (size_t i = 0; s && i < n; i++)
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            (s->v[s->n] = str_dup(str_n(r->element[i]->str, r->element[i]->len))))
            s->n++;
    return s;
}

static void show_end(struct pins_show *show, struct pins_shown *shown)
{
    list_del(&show->link);
    redis_cancel(show->call);
    show->fn(show->arg, shown);
    free(show);
}

static void on_shown(void *arg, const struct redis_result *r)
{
    struct pins_show *show = arg;
    show->call = NULL;
    show_end(show, r->err == 0 ? shown_read(r->reply) : NULL);
}

int fleet_pins_show(struct fleet_pins *p, const char *user,
                    void (*fn)(void *arg, struct pins_shown *shown), void *arg)
{
    uint8_t hash[PIN_HASH_BYTES];
    char key[PINS_KEY_SIZE], lease[24];
    struct pins_show *show = zalloc(sizeof(*show));
    if (!show)
        return -ERR_NOMEM;
    pins_hash_user(p->pins, user, hash);
    pins_user_key(p->pins, hash, key);
    *str_put_number(lease, p->pins->lease_ms, 10, 0) = '\0';
    show->fn = fn;
    show->arg = arg;
    const struct str words[] = {str_of(key), str_of(p->pins->nodes), str_of(lease)};
    int err = redis_eval(p->redis, &pin_script_show, words, ARRAY_LEN(words), 2, SHOW_TIMEOUT_MS,
                         on_shown, show, &show->call);
    if (err < 0) {
        free(show);
        return err;
    }
    list_add_tail(&p->shows, &show->link);
    return 0;
}

bool pins_shown_find(const struct pins_shown *s, const char *pool, struct pin_facts *ret)
{
    bool is_there = false;
    *ret = (struct pin_facts){0};
    for (size_t i = 0; i < s->n; i++) {
        struct str text = str_of(s->v[i]);
        struct str kind = str_cut(&text, '\x1f');
        if (!str_eq(str_cut(&text, '\x1f'), str_of(pool)))
            continue;
        if (str_eq(kind, STR("p"))) {
            (void)str_copy(ret->backend, sizeof(ret->backend), str_cut(&text, '\x1f'));
            struct str gen = str_cut(&text, '\x1f'), age = str_cut(&text, '\x1f');
            (void)str_copy(ret->source, sizeof(ret->source), text);
            is_there = str_to_u64(gen, INT64_MAX, &ret->gen) == 0 &&
                       str_to_u64(age, INT64_MAX, &ret->age_ms) == 0;
            continue;
        }
        /* "px1 2" of "px1#0123456789abcdef" and "2" */
        struct str holder = str_cut(&text, '\x1f'), node = str_cut(&holder, '#');
        size_t at = strlen(ret->holders);
        uint64_t n;
        if (str_to_u64(text, UINT32_MAX, &n) < 0)
            continue;
        ret->sessions += n;
        snprintf(ret->holders + at, sizeof(ret->holders) - at, "%s%.*s %llu", at ? ", " : "",
                 STR_ARG(node), (unsigned long long)n);
    }
    return is_there;
}

/* ---- life ---- */

static void on_fleet_pins_back(struct fleet_watch *w, bool is_other)
{
    struct fleet_pins *p = CONTAINER_OF(w, struct fleet_pins, watch);
    (void)is_other; /* writes may be lost in both cases */
    claims_begin(p->claims);
}

static void on_fleet_pins_nodes(struct fleet_watch *w)
{
    struct fleet_pins *p = CONTAINER_OF(w, struct fleet_pins, watch);
    struct fleet_counts counts;
    fleet_count(p->fleet, &counts);
    claims_set_nodes(p->claims, counts.alive);
}

int fleet_pins_new(struct control *c, struct fleet *f, struct fleet_pins **ret)
{
    struct fleet_pins *p = zalloc(sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    list_init(&p->watch.link);
    list_init(&p->shows);
    p->fleet = f;
    p->redis = fleet_redis(f);
    p->pins = c->host->pins;
    p->watch.back = on_fleet_pins_back;
    p->watch.nodes = on_fleet_pins_nodes;
    int err = claims_new(c->host->loop, c->host->pins, &p->claims);
    if (err == 0)
        err = conflicts_new(c, c->host->pins, &p->conflicts);
    if (err < 0) {
        fleet_pins_free(p);
        return err;
    }
    claims_set_redis(p->claims, fleet_redis(f));
    fleet_watch(f, &p->watch);
    *ret = p;
    return 0;
}

void fleet_pins_free(struct fleet_pins *p)
{
    if (!p)
        return;
    list_del(&p->watch.link);
    while (!list_is_empty(&p->shows))
        show_end(LIST_ITEM(p->shows.next, struct pins_show, link), NULL);
    conflicts_free(p->conflicts);
    claims_free(p->claims);
    free(p);
}
