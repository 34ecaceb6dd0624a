/* SPDX-License-Identifier: ISC */
/* Places on backends: limits, the queue and its order, and counts that never drift. */
#include "pools_case.h"

#include <pthread.h>

#include "backend/places.h"

#define NOW 1000000 /* monotonic ms */

struct places_case {
    struct pools_case c;
    struct config_pool *pool;
    struct pools *pools;
    unsigned round_robin;
    struct mailbox *mailbox;
    uint64_t granted[16]; /* sessions, in the order of their grants */
    const char *where[16];
    size_t n_granted;
};

/* Two members with these limits; by turns, so that "a" is as good as "b". */
static void case_init(struct places_case *k, unsigned max_a, unsigned max_b)
{
    *k = (struct places_case){0};
    pools_case_init(&k->c);
    k->pool = pools_case_add(&k->c, "main", BALANCE_ROUND_ROBIN);
    pools_case_member(k->pool, "a", "10.0.0.1", 100)->max_sessions = max_a;
    pools_case_member(k->pool, "b", "10.0.0.2", 100)->max_sessions = max_b;
    k->pools = pools_case_build(&k->c, NULL, 0);
    places_apply(k->pools);
    assert_int_equal(mailbox_new(&k->mailbox), 0);
}

static const struct pool *case_pool(const struct places_case *k)
{
    return &k->pools->v[0];
}

static struct backend *case_backend(const struct places_case *k, size_t i)
{
    return case_pool(k)->members[i].backend;
}

static void case_fini(struct places_case *k)
{
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(atomic_load(&case_backend(k, i)->places), 0);
    assert_int_equal(places_waiting(case_pool(k)), 0);
    mailbox_free(k->mailbox);
    pools_unref(k->pools);
    pools_case_fini(&k->c);
}

static struct pool_choice case_choice(struct places_case *k)
{
    return (struct pool_choice){.user = STR("anna"), .now_ms = NOW, .round_robin = &k->round_robin};
}

/* Where a login goes, "full". */
static const char *case_pick(struct places_case *k)
{
    const struct pool_choice c = case_choice(k);
    const struct pool_member *m = NULL;
    int err = places_pick(case_pool(k), &c, &m);
    assert_true(err == 0 || err == -ERR_POOL_FULL);
    return err == 0 ? m->backend->name : "full";
}

static void on_granted(struct mail *m, void *owner)
{
    struct place_grant *g = CONTAINER_OF(m, struct place_grant, mail);
    struct places_case *k = owner;
    k->granted[k->n_granted] = g->session;
    k->where[k->n_granted++] = g->backend->name;
    backend_unref(STEAL(g->backend)); /* the place is kept */
    places_drop_grant(m);
}

static void case_wait(struct places_case *k, struct place_wait *w, struct backend *fixed,
                      uint64_t session)
{
    const struct pool_choice c = case_choice(k);
    const struct place_request r = {.pool = case_pool(k),
                                    .fixed = fixed,
                                    .choice = &c,
                                    .mailbox = k->mailbox,
                                    .granted = on_granted,
                                    .session = session};
    assert_int_equal(places_wait(w, &r), 0);
}

static void test_full(void **state)
{
    struct places_case k;
    case_init(&k, 1, 2);
    for (int i = 0; i < 3; i++)
        assert_string_not_equal(case_pick(&k), "full");
    assert_string_equal(case_pick(&k), "full");
    assert_true(backend_is_full(case_backend(&k, 0)) && backend_is_full(case_backend(&k, 1)));
    places_give(case_backend(&k, 1));
    assert_string_equal(case_pick(&k), "b");
    assert_string_equal(case_pick(&k), "full");
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(backend_places_print(case_backend(&k, 1), &text), 0);
    assert_string_equal(buf_cstr(&text), "2 of 2");
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    places_give(case_backend(&k, 1));
    case_fini(&k);
}

/* Sessions and logins of an older engine fill it, too. */
static void test_elsewhere(void **state)
{
    struct places_case k;
    case_init(&k, 2, 1);
    atomic_store(&case_backend(&k, 0)->elsewhere_places, 2);
    assert_string_equal(case_pick(&k), "b");
    assert_string_equal(case_pick(&k), "full");
    atomic_store(&case_backend(&k, 0)->elsewhere_places, 1);
    assert_string_equal(case_pick(&k), "a");
    assert_string_equal(case_pick(&k), "full");
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    case_fini(&k);
}

/* First come, first served; who is pinned waits for that backend only, and holds nobody up. */
static void test_order(void **state)
{
    struct places_case k;
    struct place_wait w[4] = {0};
    case_init(&k, 1, 1);
    assert_string_not_equal(case_pick(&k), case_pick(&k));
    case_wait(&k, &w[0], case_backend(&k, 0), 10);
    case_wait(&k, &w[1], NULL, 11);
    case_wait(&k, &w[2], NULL, 12);
    case_wait(&k, &w[3], NULL, 13);
    case_wait(&k, &w[1], NULL, 11); /* asks again: keeps its rank */
    assert_int_equal(places_waiting(case_pool(&k)), 4);
    places_leave(&w[2]);
    assert_false(places_is_waiting(&w[2]));
    places_give(case_backend(&k, 1)); /* of no use for the pinned one */
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 0));
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 3);
    assert_int_equal(k.granted[0], 11);
    assert_string_equal(k.where[0], "b");
    assert_int_equal(k.granted[1], 10);
    assert_string_equal(k.where[1], "a");
    assert_int_equal(k.granted[2], 13);
    assert_string_equal(case_pick(&k), "full"); /* the places are theirs */
    for (int i = 0; i < 4; i++)
        places_leave(&w[i]);
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    case_fini(&k);
}

/* The limit was raised, lowered, taken away. */
static void test_limit_changes(void **state)
{
    struct places_case k;
    struct place_wait w[2] = {0};
    case_init(&k, 1, 1);
    (void)case_pick(&k);
    (void)case_pick(&k);
    case_wait(&k, &w[0], NULL, 1);
    case_wait(&k, &w[1], NULL, 2);
    struct pool_edit e = {.pool = (char[]){"main"},
                          .name = (char[]){"a"},
                          .weight = -1,
                          .has_max_sessions = true,
                          .max_sessions = 2};
    struct pools *raised = pools_case_build(&k.c, &e, 1);
    places_apply(raised);
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 1);
    assert_int_equal(k.granted[0], 1);
    pools_unref(raised);
    places_apply(k.pools); /* lowered: the next place that is given back goes to nobody */
    places_give(case_backend(&k, 0));
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 1);
    places_give(case_backend(&k, 0));
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 2);
    for (int i = 0; i < 2; i++)
        places_leave(&w[i]);
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    e.max_sessions = 0;
    struct pools *unlimited = pools_case_build(&k.c, &e, 1);
    places_apply(unlimited);
    for (int i = 0; i < 20; i++)
        assert_string_not_equal(case_pick(&k), "full");
    while (atomic_load(&case_backend(&k, 0)->places) > 0)
        places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    pools_unref(unlimited);
    case_fini(&k);
}

/* A worker that ends drops its mail: the place goes to the next one, of another worker. */
static void test_grant_that_nobody_takes(void **state)
{
    struct places_case k;
    struct place_wait w[2] = {0};
    struct mailbox *closed;
    const struct pool_choice c = case_choice(&k);
    case_init(&k, 1, 1);
    assert_int_equal(mailbox_new(&closed), 0);
    mailbox_close(closed);
    (void)case_pick(&k);
    (void)case_pick(&k);
    const struct place_request gone = {.pool = case_pool(&k),
                                       .choice = &c,
                                       .mailbox = closed,
                                       .granted = on_granted,
                                       .session = 1};
    assert_int_equal(places_wait(&w[0], &gone), 0);
    case_wait(&k, &w[1], NULL, 2);
    places_give(case_backend(&k, 0));
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 1);
    assert_int_equal(k.granted[0], 2);
    for (int i = 0; i < 2; i++)
        places_leave(&w[i]);
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    mailbox_free(closed);
    case_fini(&k);
}

/* ---- many threads ---- */

#define STORM_THREADS 4
#define STORM_LOGINS 300

struct storm {
    struct places_case *k;
    struct mailbox *mailbox;
    struct backend *granted;
    _Atomic uint64_t *highest;
};

static void on_storm_granted(struct mail *m, void *owner)
{
    struct place_grant *g = CONTAINER_OF(m, struct place_grant, mail);
    struct storm *s = owner;
    if (!s->granted) /* one of an earlier login may have come late */
        s->granted = STEAL(g->backend);
    places_drop_grant(m);
}

/* Waits until it is granted, or (every third) leaves; a grant that came all the same is given back.
 */
static struct backend *storm_wait(struct storm *s, const struct pool_choice *c, int i)
{
    struct place_wait w = {0};
    const struct place_request r = {.pool = case_pool(s->k),
                                    .choice = c,
                                    .mailbox = s->mailbox,
                                    .granted = on_storm_granted,
                                    .session = (uint64_t)i};
    if (places_wait(&w, &r) < 0)
        return NULL;
    /* As a worker does: a grant that came too late for an earlier login is taken, never kept. */
    while (places_is_waiting(&w) && !s->granted && i % 3 != 0) {
        sched_yield();
        mailbox_run(s->mailbox, s);
    }
    places_leave(&w);
    mailbox_run(s->mailbox, s);
    return STEAL(s->granted);
}

static void *storm_run(void *arg)
{
    struct storm *s = arg;
    unsigned round_robin = 0;
    const struct pool_choice c = {.user = STR("anna"), .now_ms = NOW, .round_robin = &round_robin};
    for (int i = 0; i < STORM_LOGINS; i++) {
        const struct pool_member *m = NULL;
        int err = places_pick(case_pool(s->k), &c, &m);
        struct backend *b = err == 0 ? backend_ref(m->backend) : storm_wait(s, &c, i);
        if (!b)
            continue;
        uint64_t n = backend_places(b), highest = atomic_load(s->highest);
        while (n > highest && !atomic_compare_exchange_weak(s->highest, &highest, n))
            ;
        sched_yield();
        places_give(b);
        backend_unref(b);
    }
    mailbox_close(s->mailbox); /* what still comes goes to the others */
    return NULL;
}

static void test_storm(void **state)
{
    struct places_case k;
    struct storm storms[STORM_THREADS];
    pthread_t threads[STORM_THREADS];
    _Atomic uint64_t highest = 0;
    case_init(&k, 1, 1);
    for (int i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.k = &k, .highest = &highest};
        assert_int_equal(mailbox_new(&storms[i].mailbox), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, storm_run, &storms[i]), 0);
    }
    for (int i = 0; i < STORM_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < STORM_THREADS; i++)
        mailbox_free(storms[i].mailbox);
    assert_int_equal(highest, 1);
    case_fini(&k);
}

/* A thousand wait and cannot use it: the place goes to the first who can, whoever came before. (The
 * look at a thousand takes some 3 us.) */
static void test_a_thousand_wait(void **state)
{
    static struct place_wait waits[1001];
    struct places_case k;
    case_init(&k, 1, 1);
    assert_string_equal(case_pick(&k), "a");
    assert_string_equal(case_pick(&k), "b");
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        struct pool_choice c = case_choice(&k);
        c.tried[0] = case_backend(&k, i < 1000 ? 0 : 1);
        c.n_tried = 1;
        const struct place_request r = {.pool = case_pool(&k),
                                        .choice = &c,
                                        .mailbox = k.mailbox,
                                        .granted = on_granted,
                                        .session = i};
        assert_int_equal(places_wait(&waits[i], &r), 0);
    }
    places_give(case_backend(&k, 0));
    assert_int_equal(places_waiting(case_pool(&k)), 1000);
    assert_false(places_is_waiting(&waits[1000]));
    places_give(case_backend(&k, 1));
    assert_false(places_is_waiting(&waits[0]));
    assert_true(places_is_waiting(&waits[1]));
    mailbox_run(k.mailbox, &k);
    assert_int_equal(k.n_granted, 2);
    assert_int_equal(k.granted[0], 1000);
    assert_int_equal(k.granted[1], 0);
    for (size_t i = 0; i < ARRAY_LEN(waits); i++)
        places_leave(&waits[i]);
    places_give(case_backend(&k, 0));
    places_give(case_backend(&k, 1));
    case_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_wait), cmocka_unit_test(test_full),
        cmocka_unit_test(test_elsewhere),       cmocka_unit_test(test_order),
        cmocka_unit_test(test_limit_changes),   cmocka_unit_test(test_grant_that_nobody_takes),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
