/* SPDX-License-Identifier: ISC */
/* Pins: counts that never drift, claims that hold only when nothing moved, conflicts, bounds. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/pins/pin_table.h"

#define NOW 1000000
#define WALL UINT64_C(1700000000000)

static struct pin_key key_of(const char *user, const char *pool)
{
    struct pin_key k = {.pool = pool};
    memcpy(k.user, user, strlen(user) < PIN_HASH_BYTES ? strlen(user) : PIN_HASH_BYTES);
    return k;
}

static struct pin *ask(struct pin_table *t, const char *user, struct pin_view *ret)
{
    const struct pin_key k = key_of(user, "main");
    struct pin *p = pin_begin(t, &k, user, NOW, ret);
    assert_non_null(p);
    return p;
}

static struct pin_backend *login(struct pin_table *t, const char *user, const char *backend,
                                 uint64_t gen)
{
    struct pin_view unused;
    struct pin_backend *b = pin_settle(t, ask(t, user, &unused), backend, gen, PIN_BALANCED, WALL);
    assert_non_null(b);
    return b;
}

static struct pin_view look(struct pin_table *t, const char *user)
{
    const struct pin_key k = key_of(user, "main");
    struct pin_view v;
    assert_true(pin_look(t, &k, &v));
    return v;
}

static void test_login_and_end(void **state)
{
    struct pin_table t;
    struct pin_view v;
    pin_table_init(&t, PIN_STRIPES, PIN_IDLE_MAX);
    struct pin *p = ask(&t, "anna", &v);
    assert_string_equal(v.backend, "");
    assert_int_equal(v.sessions, 0);
    struct pin_backend *a = pin_settle(&t, p, "b1", 3, PIN_BALANCED, WALL);
    struct pin_backend *b = login(&t, "anna", "b1", 3);
    assert_ptr_equal(a, b);
    assert_int_equal(look(&t, "anna").sessions, 2);
    assert_int_equal(atomic_load(&t.n_pins), 1);
    pin_leave(&t, a, false, NOW);
    pin_leave(&t, b, false, NOW);
    v = look(&t, "anna"); /* remembered */
    assert_string_equal(v.backend, "b1");
    assert_int_equal(v.gen, 3);
    assert_int_equal(v.sessions, 0);
    assert_int_equal(atomic_load(&t.n_pins), 0);
    /* The same user in another pool is another pin. */
    const struct pin_key other = key_of("anna", "archive");
    assert_false(pin_look(&t, &other, &v));
    pin_table_fini(&t);
}

static void test_given_up(void **state)
{
    struct pin_table t;
    struct pin_view v;
    pin_table_init(&t, 1, PIN_IDLE_MAX);
    struct pin *p = ask(&t, "anna", &v);
    assert_int_equal(atomic_load(&t.n_pins), 1);
    pin_give_up(&t, p, NOW);
    assert_int_equal(atomic_load(&t.n_pins), 0);
    const struct pin_key k = key_of("anna", "main");
    assert_false(pin_look(&t, &k, &v)); /* nobody has logged in */
    pin_leave(&t, login(&t, "anna", "b1", 1), true, NOW);
    assert_false(pin_look(&t, &k, &v));
    struct pin_backend *b = login(&t, "anna", "b1", 1);
    pin_leave(&t, login(&t, "anna", "b1", 1), false, NOW);
    pin_leave(&t, b, true, NOW);
    assert_true(pin_look(&t, &k, &v));
    pin_table_fini(&t);
}

static void test_generations(void **state)
{
    struct pin_table t;
    pin_table_init(&t, 1, PIN_IDLE_MAX);
    struct pin_backend *a = login(&t, "anna", "b1", 3);
    /* Another node has moved the pin. */
    struct pin_backend *b = login(&t, "anna", "b2", 4);
    assert_string_equal(look(&t, "anna").backend, "b2");
    assert_int_equal(look(&t, "anna").misplaced, 1);
    assert_int_equal(atomic_load(&t.n_misplaced), 1);
    assert_int_equal(atomic_load(&t.counts[PIN_COUNT_CONFLICTS]), 1);
    /* An answer that was overtaken changes nothing but its own session. */
    struct pin_backend *late = login(&t, "anna", "b1", 3);
    assert_ptr_equal(late, a);
    assert_string_equal(look(&t, "anna").backend, "b2");
    assert_int_equal(look(&t, "anna").misplaced, 2);
    pin_leave(&t, a, false, NOW);
    assert_int_equal(atomic_load(&t.n_misplaced), 1);
    pin_leave(&t, late, false, NOW);
    assert_int_equal(atomic_load(&t.n_misplaced), 0);
    pin_leave(&t, b, false, NOW);
    /* Without sessions the store is right, whatever it lost. */
    b = login(&t, "anna", "b7", 1);
    assert_string_equal(look(&t, "anna").backend, "b7");
    assert_int_equal(look(&t, "anna").gen, 1);
    pin_leave(&t, b, false, NOW);
    pin_table_fini(&t);
}

/* The store was away: the login goes on as it can, and the store hears of it later. */
static void test_unconfirmed(void **state)
{
    struct pin_table t;
    struct pin_walk w = {0};
    struct pin_claim c;
    pin_table_init(&t, 1, PIN_IDLE_MAX);
    struct pin_backend *a = login(&t, "anna", "b1", 5);
    assert_false(pin_claim_next(&t, &w, &c));
    struct pin_backend *b = login(&t, "anna", "b1", 0);
    assert_int_equal(look(&t, "anna").gen, 5);
    assert_true(pin_claim_next(&t, &w, &c));
    assert_int_equal(c.sessions, 2);
    assert_int_equal(c.gen, 5);
    assert_string_equal(c.backend, "b1");
    assert_string_equal(c.key.pool, "main");
    assert_false(pin_claim_next(&t, &w, &c));
    pin_claim_over(&t, &c, PIN_CLAIM_HELD, "b1", 6, NOW, WALL);
    assert_int_equal(look(&t, "anna").gen, 6);
    pin_leave(&t, a, false, NOW);
    pin_leave(&t, b, false, NOW);
    /* A remembered backend that nobody is on does not bind one that cannot use it. */
    a = login(&t, "anna", "b2", 0);
    assert_string_equal(look(&t, "anna").backend, "b2");
    assert_int_equal(look(&t, "anna").misplaced, 0);
    pin_leave(&t, a, false, NOW);
    pin_table_fini(&t);
}

/* A login in between: the count that was told may be wrong, so that it is told again. */
static void test_claim_is_overtaken(void **state)
{
    struct pin_table t;
    struct pin_walk w = {0};
    struct pin_claim c, unused;
    struct pin_view v;
    pin_table_init(&t, 1, PIN_IDLE_MAX);
    struct pin_backend *a = login(&t, "anna", "b1", 1);
    pin_walk_begin(&t, &w);
    assert_true(pin_claim_next(&t, &w, &c));
    assert_false(pin_claim_next(&t, &w, &unused));
    struct pin *p = ask(&t, "anna", &v);
    pin_change(&t, p);
    pin_claim_over(&t, &c, PIN_CLAIM_HELD, "b1", 1, NOW, WALL);
    assert_false(pin_claim_next(&t, &w, &c)); /* its change is under way */
    pin_changed(&t, p, true, NOW);
    struct pin_backend *b = pin_settle(&t, p, "b1", 1, PIN_BALANCED, WALL);
    assert_true(pin_claim_next(&t, &w, &c));
    assert_int_equal(c.sessions, 2);
    pin_claim_over(&t, &c, PIN_CLAIM_HELD, "b1", 1, NOW, WALL);
    assert_false(pin_claim_next(&t, &w, &c));
    /* A walk that meets a change under way comes back to it. */
    pin_change(&t, p);
    pin_walk_begin(&t, &w);
    assert_false(pin_claim_next(&t, &w, &c));
    pin_leave(&t, b, false, NOW);
    pin_changed(&t, p, true, NOW);
    assert_true(pin_claim_next(&t, &w, &c));
    assert_int_equal(c.sessions, 1);
    /* No answer: again. The last session ends meanwhile: 0 is told. */
    pin_leave(&t, a, false, NOW);
    pin_claim_over(&t, &c, PIN_CLAIM_FAILED, NULL, 0, NOW, WALL);
    assert_true(pin_claim_next(&t, &w, &c));
    assert_int_equal(c.sessions, 0);
    pin_claim_over(&t, &c, PIN_CLAIM_HELD, "b1", 1, NOW, WALL);
    pin_table_fini(&t);
}

struct told {
    unsigned n, most; /* most 0: any number */
    char last[300];
};

static bool on_conflict(void *arg, const struct pin_conflict *c)
{
    struct told *told = arg;
    told->n++;
    snprintf(told->last, sizeof(told->last), "%s %s %s/%s %u", c->user, c->pool, c->backend,
             c->pinned, c->sessions);
    return told->n != told->most;
}

static unsigned conflicts(struct pin_table *t, enum pin_conflict_pick pick, unsigned most,
                          struct told *ret)
{
    *ret = (struct told){.most = most};
    pin_conflicts(t, pick, on_conflict, ret);
    return ret->n;
}

static void test_conflict(void **state)
{
    struct pin_table t;
    struct pin_walk w = {0};
    struct pin_claim c;
    struct told told;
    pin_table_init(&t, PIN_STRIPES, PIN_IDLE_MAX);
    struct pin_backend *a = login(&t, "anna", "b1", 1), *o = login(&t, "otto", "b1", 1);
    pin_walk_begin(&t, &w);
    while (pin_claim_next(&t, &w, &c)) {
        bool is_lost = memcmp(c.key.user, "anna", 4) == 0;
        pin_claim_over(&t, &c, is_lost ? PIN_CLAIM_LOST : PIN_CLAIM_HELD, "b2", 2, NOW, WALL);
    }
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_ALL, 0, &told), 1);
    assert_string_equal(told.last, "anna main b1/b2 1");
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_UNTOLD, 0, &told), 1);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_UNTOLD, 0, &told), 0);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_NOT_ENDED, 0, &told), 1);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_NOT_ENDED, 0, &told), 0);
    /* One more there: told it was, ended it has to be again. */
    struct pin_backend *late = login(&t, "anna", "b1", 1);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_UNTOLD, 0, &told), 0);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_NOT_ENDED, 0, &told), 1);
    pin_leave(&t, late, false, NOW);
    pin_leave(&t, a, false, NOW);
    pin_leave(&t, o, false, NOW);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_ALL, 0, &told), 0);
    pin_table_fini(&t);
}

/* A few at a time. */
static void test_conflicts_in_parts(void **state)
{
    struct pin_table t;
    struct told told;
    struct pin_backend *held[20][2];
    char user[17];
    pin_table_init(&t, PIN_STRIPES, PIN_IDLE_MAX);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(user, sizeof(user), "%cu%u", 'a' + (int)i, i);
        held[i][0] = login(&t, user, "b1", 1);
        held[i][1] = login(&t, user, "b2", 2);
    }
    assert_int_equal(atomic_load(&t.n_misplaced), 20);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(conflicts(&t, PIN_CONFLICTS_NOT_ENDED, 5, &told), 5);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_NOT_ENDED, 5, &told), 0);
    assert_int_equal(conflicts(&t, PIN_CONFLICTS_ALL, 0, &told), 20);
    for (unsigned i = 0; i < 20; i++) {
        pin_leave(&t, held[i][0], false, NOW);
        pin_leave(&t, held[i][1], false, NOW);
    }
    pin_table_fini(&t);
}

static void test_again(void **state)
{
    struct pin_table t;
    struct pin_view v;
    pin_table_init(&t, 1, PIN_IDLE_MAX);
    struct pin_backend *a = login(&t, "anna", "b1", 1);
    struct pin *p = pin_again(&t, a, &v);
    assert_string_equal(v.backend, "b1");
    assert_int_equal(v.sessions, 0);
    assert_int_equal(atomic_load(&t.n_pins), 1);
    a = pin_settle(&t, p, "b2", 2, PIN_BALANCED, WALL);
    assert_int_equal(look(&t, "anna").sessions, 1);
    assert_int_equal(look(&t, "anna").misplaced, 0);
    pin_leave(&t, a, false, NOW);
    assert_int_equal(atomic_load(&t.n_pins), 0);
    pin_table_fini(&t);
}

/* What is remembered is bounded in number and time, also what the store could not be told of. */
static void test_bounds(void **state)
{
    struct pin_table t;
    char user[17];
    struct pin_view v;
    pin_table_init(&t, 1, 100);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(user, sizeof(user), "u%u", i);
        pin_leave(&t, login(&t, user, "b1", i % 2), false, NOW);
    }
    assert_int_equal(t.stripes[0].n_idle, 100);
    assert_int_equal(t.stripes[0].by_key.count, 100);
    const struct pin_key first = key_of("u0", "main"), last = key_of("u999", "main");
    assert_false(pin_look(&t, &first, &v));
    assert_true(pin_look(&t, &last, &v));
    for (unsigned i = 0; i < 100; i++) {
        const struct pin_key k = key_of("otto", "main");
        struct pin *p = pin_begin(&t, &k, "otto", NOW + PIN_IDLE_MS + 1, &v);
        pin_give_up(&t, p, NOW + PIN_IDLE_MS + 1);
    }
    assert_int_equal(t.stripes[0].n_idle, 0);
    pin_table_fini(&t);
}

static void test_too_long(void **state)
{
    struct pin_table t;
    struct pin_view v;
    char name[400];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    pin_table_init(&t, 1, 100);
    const struct pin_key k = key_of("a", name), good = key_of("a", "main");
    assert_null(pin_begin(&t, &k, "anna", NOW, &v));
    assert_null(pin_begin(&t, &good, name, NOW, &v));
    assert_false(pin_look(&t, &k, &v));
    pin_table_fini(&t);
}

/* ---- several threads ---- */

struct crowd {
    struct pin_table t;
    atomic_bool is_over;
};

static void *crowd_log_in(void *arg)
{
    struct crowd *c = arg;
    char user[17];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(user, sizeof(user), "u%u", i % 37);
        struct pin_view v;
        struct pin *p = ask(&c->t, user, &v);
        pin_change(&c->t, p);
        pin_changed(&c->t, p, i % 5, NOW);
        struct pin_backend *b =
            pin_settle(&c->t, p, i % 3 ? "b1" : "b2", i % 7, PIN_BALANCED, WALL);
        if (i % 4 == 0)
            b = pin_settle(&c->t, pin_again(&c->t, b, &v), "b3", 9, PIN_BALANCED, WALL);
        pin_leave(&c->t, b, false, NOW);
    }
    return NULL;
}

static void *crowd_claim(void *arg)
{
    struct crowd *c = arg;
    struct pin_walk w = {0};
    struct pin_claim claim;
    struct told told = {0};
    unsigned n = 0;
    while (!atomic_load(&c->is_over)) {
        pin_walk_begin(&c->t, &w);
        while (pin_claim_next(&c->t, &w, &claim)) {
            n++;
            pin_claim_over(&c->t, &claim, n % 3, "b2", n, NOW, WALL);
        }
        pin_conflicts(&c->t, PIN_CONFLICTS_UNTOLD, on_conflict, &told);
    }
    pin_walk_end(&c->t, &w);
    return NULL;
}

static void test_threads(void **state)
{
    struct crowd *c = calloc(1, sizeof(*c));
    pthread_t threads[4];
    assert_non_null(c);
    pin_table_init(&c->t, PIN_STRIPES, 64);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i == 3 ? crowd_claim : crowd_log_in, c),
                         0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&c->is_over, true);
    pthread_join(threads[3], NULL);
    assert_int_equal(atomic_load(&c->t.n_pins), 0);
    assert_int_equal(atomic_load(&c->t.n_misplaced), 0);
    for (size_t i = 0; i < PIN_STRIPES; i++)
        assert_true(list_is_empty(&c->t.stripes[i].used));
    pin_table_fini(&c->t);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login_and_end),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_unconfirmed),
        cmocka_unit_test(test_claim_is_overtaken),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_conflicts_in_parts),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
