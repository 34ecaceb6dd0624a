/* SPDX-License-Identifier: ISC */
/* What engines tell a real store again: after it lost everything, after a login that it did not
 * hear of; who wins where two tell otherwise; and that counts end where they should. */
#include "base/cleanup.h"
#include "fleet/claims.h"
#include "tests/unit/fleet/pins/redis_case.h"

static struct claims *claims_of(struct redis_case *k, size_t engine)
{
    struct claims *c;
    assert_int_equal(claims_new(k->loop, k->engines[engine].shared, &c), 0);
    claims_set_redis(c, k->engines[engine].client);
    return c;
}

/* A login of an engine; gen 0: the store has not heard of it. */
static struct pin_backend *login(struct redis_case *k, size_t engine, const char *user,
                                 const char *backend, uint64_t gen)
{
    struct pins_shared *s = k->engines[engine].shared;
    struct pin_key key = {.pool = "main"};
    struct pin_view unused;
    pins_hash_user(s, user, key.user);
    struct pin *p = pin_begin(&s->table, &key, user, 0, &unused);
    assert_non_null(p);
    return pin_settle(&s->table, p, backend, gen, PIN_BALANCED, clock_wall_ms());
}

static char *field(struct redis_case *k, const char *user, const char *name)
{
    uint8_t hash[PIN_HASH_BYTES];
    char key[PINS_KEY_SIZE];
    pins_hash_user(k->engines[0].shared, user, hash);
    pins_user_key(k->engines[0].shared, hash, key);
    redisReply *r = redis_say(k, "HGET %s %s", key, name);
    char *text = str_dup_c(r->str ? r->str : "");
    freeReplyObject(r);
    assert_non_null(text);
    return text;
}

static bool field_begins(struct redis_case *k, const char *user, const char *name,
                         const char *expected)
{
    AUTO_FREE char *text = field(k, user, name);
    return str_is_prefix(str_of(text), str_of(expected));
}

static uint64_t sessions(struct redis_case *k, size_t engine, const char *user)
{
    AUTO_FREE char *name = str_printf("h:%s:main", k->engines[engine].shared->holder);
    AUTO_FREE char *text = field(k, user, name);
    return strtoull(text, NULL, 10);
}

/* Turns of the loop until it holds. */
struct until {
    struct redis_case *k;
    struct loop_timer timer;
    bool (*is_so)(struct redis_case *k);
};

static void on_until(struct loop_timer *t)
{
    struct until *u = CONTAINER_OF(t, struct until, timer);
    if (u->is_so(u->k))
        loop_stop(u->k->loop);
    else
        loop_timer_set(u->k->loop, &u->timer, 1);
}

static void until(struct redis_case *k, bool (*is_so)(struct redis_case *k))
{
    struct until u = {.k = k, .is_so = is_so};
    loop_timer_init(&u.timer, on_until);
    loop_timer_set(k->loop, &u.timer, 1);
    redis_case_run(k);
    loop_timer_cancel(k->loop, &u.timer);
}

static bool is_told(struct redis_case *k)
{
    return sessions(k, 0, "anna") == 2 && sessions(k, 0, "otto") == 1 &&
           field_begins(k, "anna", "p:main", "b1\0375\037");
}

/* Nothing is in the store: everybody is told, with the generation that was known. */
static void test_everything_again(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct claims *c = claims_of(k, 0);
    struct pin_table *t = &k->engines[0].shared->table;
    struct pin_backend *a = login(k, 0, "anna", "b1", 5), *b = login(k, 0, "anna", "b1", 5),
                       *o = login(k, 0, "otto", "b2", 1);
    claims_begin(c);
    until(k, is_told);
    struct claims_facts f;
    claims_look(c, &f);
    assert_true(f.begun_ms > 0);
    pin_leave(t, a, false, 0);
    pin_leave(t, b, false, 0);
    pin_leave(t, o, false, 0);
    claims_free(c);
    redis_case_end(k);
}

static bool is_single_told(struct redis_case *k)
{
    return sessions(k, 0, "anna") == 1;
}

static bool is_end_told(struct redis_case *k)
{
    return sessions(k, 0, "anna") == 0;
}

/* A login while the store was away, and its end then. */
static void test_single(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct claims *c = claims_of(k, 0);
    struct pin_table *t = &k->engines[0].shared->table;
    struct pin_backend *a = login(k, 0, "anna", "b1", 0);
    until(k, is_single_told);
    assert_true(field_begins(k, "anna", "p:main", "b1\0371\037"));
    pin_change(t, a->pin);
    struct pin *p = a->pin;
    pin_leave(t, a, false, 0);
    pin_changed(t, p, false, 0); /* it could not be told */
    until(k, is_end_told);
    claims_free(c);
    redis_case_end(k);
}

static bool is_in_conflict(struct redis_case *k)
{
    return atomic_load(&k->engines[1].shared->table.n_misplaced) == 1 &&
           sessions(k, 0, "anna") == 1 && sessions(k, 1, "anna") == 1;
}

/* Two engines have the user on two backends: the newer generation wins, whoever speaks first. */
static void test_conflict(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct claims *old = claims_of(k, 1), *new = claims_of(k, 0);
    struct pin_backend *a = login(k, 0, "anna", "b1", 7), *b = login(k, 1, "anna", "b2", 6);
    claims_begin(old);
    claims_begin(new);
    until(k, is_in_conflict);
    assert_true(field_begins(k, "anna", "p:main", "b1\0377\037"));
    assert_int_equal(atomic_load(&k->engines[0].shared->table.n_misplaced), 0);
    pin_leave(&k->engines[0].shared->table, a, false, 0);
    pin_leave(&k->engines[1].shared->table, b, false, 0);
    assert_int_equal(atomic_load(&k->engines[1].shared->table.n_misplaced), 0);
    claims_free(old);
    claims_free(new);
    redis_case_end(k);
}

static void on_turn(void *arg)
{
    loop_stop(arg);
}

/* The client goes while claims are under way: they are due again. */
static void test_client_gone(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct claims *c = claims_of(k, 0);
    struct pin_table *t = &k->engines[0].shared->table;
    struct pin_backend *a = login(k, 0, "anna", "b1", 0);
    struct claims_facts f = {0};
    kill(k->pid, SIGSTOP);
    loop_on_turn(k->loop, on_turn, k->loop);
    while (f.n_pending == 0) {
        assert_int_equal(loop_run(k->loop), 0);
        claims_look(c, &f);
    }
    loop_on_turn(k->loop, NULL, NULL);
    pins_set_redis(k->engines[0].pins, NULL); /* frees it */
    claims_set_redis(c, NULL);
    claims_look(c, &f);
    assert_int_equal(f.n_pending, 0);
    struct pin_walk w = {0};
    struct pin_claim claim;
    assert_true(pin_claim_next(t, &w, &claim));
    pin_claim_over(t, &claim, PIN_CLAIM_HELD, "b1", 1, 0, 0);
    pin_leave(t, a, false, 0);
    kill(k->pid, SIGCONT);
    claims_free(c);
    redis_case_end(k);
}

static bool is_some_told(struct redis_case *k)
{
    return sessions(k, 0, "user0") == 1;
}

/* A store that is slow gets no more before it has answered; the more nodes, the less each tells. */
static void test_pace(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct claims *c = claims_of(k, 0);
    struct pin_backend *held[100];
    struct claims_facts f = {0};
    char user[16];
    for (size_t i = 0; i < ARRAY_LEN(held); i++) {
        snprintf(user, sizeof(user), "user%zu", i);
        held[i] = login(k, 0, user, "b1", 1);
    }
    claims_set_nodes(c, 400); /* half a claim of a tick: one */
    kill(k->pid, SIGSTOP);
    claims_begin(c);
    loop_on_turn(k->loop, on_turn, k->loop);
    for (int i = 0; i < 20 || f.n_pending == 0; i++) {
        assert_int_equal(loop_run(k->loop), 0);
        claims_look(c, &f);
        assert_true(f.n_pending <= 1);
    }
    claims_set_nodes(c, 40);
    kill(k->pid, SIGCONT);
    size_t most = 0;
    while (f.walked_ms == 0) {
        assert_int_equal(loop_run(k->loop), 0);
        claims_look(c, &f);
        most = f.n_pending > most ? f.n_pending : most;
    }
    loop_on_turn(k->loop, NULL, NULL);
    assert_int_equal(most, 5);
    until(k, is_some_told);
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        pin_leave(&k->engines[0].shared->table, held[i], false, 0);
    claims_free(c);
    redis_case_end(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),        cmocka_unit_test(test_everything_again),
        cmocka_unit_test(test_single),      cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_client_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
