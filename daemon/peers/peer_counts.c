/* SPDX-License-Identifier: ISC */
/* Counters by their public names, and sessions of each backend. */
#include "peers/peer_counts.h"

#include "backend/places.h"
#include "proto/registry/registry.h"
#include "rpc/request.h"
#include "runtime/engine_api.h"

#define PEER_COUNTS_BACKENDS_MAX 16384

struct peer_counts {
    uint64_t v[PROTO_COUNT][COUNTER_COUNT]; /* as they were told last */
    bool is_begun;
    struct peer_backend {
        struct backend *backend; /* one reference */
        uint64_t sessions, places;
    } * backends;
    size_t n;
};

/* ---- telling ---- */

static json_t *counters_json(const struct engine_api *h)
{
    json_t *all = json_object();
    for (unsigned p = 0; p < PROTO_COUNT; p++) {
        json_t *of = json_object();
        for (int i = 0; i < COUNTER_COUNT; i++)
            (void)json_object_set_new(
                of, counter_name((enum counter)i),
                json_integer((json_int_t)engine_api_counter(h, p, (enum counter)i)));
        (void)json_object_set_new(all, proto_get(p)->name, of);
    }
    return all;
}

static void backend_add(json_t *list, const struct backend *b)
{
    uint64_t n = atomic_load_explicit(&b->sessions, memory_order_relaxed);
    uint64_t places = atomic_load_explicit(&b->places, memory_order_relaxed);
    if (n > 0 || places > 0)
        (void)json_array_append_new(
            list, json_pack("[s, s, I, I]", b->pool, b->name, (json_int_t)n, (json_int_t)places));
}

static json_t *backends_json(const struct engine_api *h)
{
    json_t *list = json_array();
    const struct pools *pools = engine_api_snapshot(h)->pools;
    struct backend **dynamics = NULL;
    size_t n = 0;
    for (size_t i = 0; i < pools->n; i++)
        for (size_t k = 0; k < pools->v[i].n_members; k++)
            backend_add(list, pools->v[i].members[k].backend);
    if (backend_registry_dynamics(h->registry, &dynamics, &n) < 0)
        return list;
    for (size_t i = 0; i < n; i++) {
        backend_add(list, dynamics[i]);
        backend_unref(dynamics[i]);
    }
    free(dynamics);
    return list;
}

void peer_counts_send(const struct engine_api *h, struct peer_engine *e)
{
    json_pipe_send(
        e->pipe, "counts",
        json_pack("{s:o, s:o}", "counters", counters_json(h), "backends", backends_json(h)));
}

/* ---- taking in ---- */

static void counters_take(struct counters *others, struct peer_counts *counts, const json_t *all)
{
    for (unsigned p = 0; p < PROTO_COUNT; p++) {
        const json_t *of = json_object_get(all, proto_get(p)->name);
        for (int i = 0; i < COUNTER_COUNT; i++) {
            const json_t *v = json_object_get(of, counter_name((enum counter)i));
            if (!json_is_integer(v) || json_integer_value(v) < 0)
                continue;
            /* Of what is no gauge the first value is where it begins. */
            uint64_t now = (uint64_t)json_integer_value(v), *last = &counts->v[p][i];
            bool is_gauge = counter_type((enum counter)i) == COUNTER_IS_GAUGE;
            if (is_gauge || (counts->is_begun && now >= *last))
                counter_add(others, p, (enum counter)i, (int64_t)(now - *last));
            *last = now;
        }
    }
    counts->is_begun = true;
}

static void backends_add(struct peer_backend *v, size_t n, bool is_on)
{
    for (size_t i = 0; i < n; i++)
        if (is_on) {
            atomic_fetch_add(&v[i].backend->elsewhere, v[i].sessions);
            atomic_fetch_add(&v[i].backend->elsewhere_places, v[i].places);
        } else {
            atomic_fetch_sub(&v[i].backend->elsewhere, v[i].sessions);
            atomic_fetch_sub(&v[i].backend->elsewhere_places, v[i].places);
        }
}

static void backends_free(struct peer_counts *counts)
{
    backends_add(counts->backends, counts->n, false);
    for (size_t i = 0; i < counts->n; i++)
        backend_unref(counts->backends[i].backend);
    free(counts->backends);
    counts->backends = NULL;
    counts->n = 0;
}

static uint64_t peer_count(const json_t *v)
{
    json_int_t n = json_integer_value(v);
    return n < 0 ? 0 : n < UINT32_MAX ? (uint64_t)n : UINT32_MAX;
}

/* New ones first: nobody sees a backend without sessions in between. */
static int backends_take(const struct engine_api *h, struct peer_counts *counts, const json_t *list)
{
    size_t n = json_array_size(list), used = 0;
    if (n > PEER_COUNTS_BACKENDS_MAX)
        return -ERR_PROTOCOL;
    struct peer_backend *v = calloc(n + 1, sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(list, i);
        const char *pool = json_string_value(json_array_get(row, 0));
        const char *name = json_string_value(json_array_get(row, 1));
        struct backend *b =
            pool && name ? backend_registry_get(h->registry, pool, name, NULL) : NULL;
        uint64_t sessions = peer_count(json_array_get(row, 2));
        uint64_t places = peer_count(json_array_get(row, 3));
        if (b) /* an older engine tells no places */
            v[used++] = (struct peer_backend){b, sessions, places > sessions ? places : sessions};
    }
    backends_add(v, used, true);
    backends_free(counts);
    counts->backends = v;
    counts->n = used;
    return 0;
}

int peer_counts_take(const struct engine_api *h, struct peer_engine *e, const json_t *m)
{
    if (!e->counts && !(e->counts = calloc(1, sizeof(*e->counts))))
        return -ERR_NOMEM;
    counters_take(h->others, e->counts, json_object_get(m, "counters"));
    return backends_take(h, e->counts, json_object_get(m, "backends"));
}

void peer_counts_drop(const struct engine_api *h, struct peer_engine *e)
{
    struct peer_counts *counts = STEAL(e->counts);
    if (!counts)
        return;
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        for (int i = 0; i < COUNTER_COUNT; i++)
            if (counter_type((enum counter)i) == COUNTER_IS_GAUGE)
                counter_add(h->others, p, (enum counter)i, -(int64_t)counts->v[p][i]);
    backends_free(counts);
    free(counts);
}

/* ---- before the first message ---- */

struct peer_claim {
    size_t n;
    struct peer_backend v[];
};

struct peer_claim *peer_counts_claim(const struct engine_api *h)
{
    const struct pools *pools = engine_api_snapshot(h)->pools;
    size_t n = 0;
    for (size_t i = 0; i < pools->n; i++)
        n += pools->v[i].n_members;
    struct peer_claim *claim = calloc(1, sizeof(*claim) + n * sizeof(claim->v[0]));
    if (!claim)
        return NULL;
    for (size_t i = 0; i < pools->n; i++)
        for (size_t k = 0; k < pools->v[i].n_members; k++) {
            const struct pool_member *m = &pools->v[i].members[k];
            if (m->max_sessions > 0)
                claim->v[claim->n++] = (struct peer_backend){.backend = backend_ref(m->backend),
                                                             .places = m->max_sessions};
        }
    backends_add(claim->v, claim->n, true);
    if (claim->n == 0) {
        free(claim);
        return NULL;
    }
    return claim;
}

void peer_counts_unclaim(const struct engine_api *h, struct peer_claim *claim)
{
    if (!claim)
        return;
    const struct pools *pools = engine_api_snapshot(h)->pools;
    backends_add(claim->v, claim->n, false);
    for (size_t i = 0; i < claim->n; i++)
        backend_unref(claim->v[i].backend);
    free(claim);
    for (size_t i = 0; i < pools->n; i++)
        places_serve(&pools->v[i]);
}
