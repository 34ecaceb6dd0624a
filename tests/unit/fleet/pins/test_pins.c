/* SPDX-License-Identifier: ISC */
/* One backend for a user over three engines and a real store: chosen once, kept, moved, limited,
 * given back, told again; and what happens without the store. */
#include "tests/unit/fleet/pins/redis_case.h"

/* What the last answer was. */
static struct {
    struct pins_answer a;
    char backend[PIN_NAME_SIZE];
    unsigned n;
} said;

static void on_answer(void *arg, const struct pins_answer *a)
{
    struct redis_case *k = arg;
    said.a = *a;
    (void)str_copy(said.backend, sizeof(said.backend), str_of(a->backend));
    said.n++;
    if (k)
        loop_stop(k->loop);
}

static struct pins_request request(const char *proposal)
{
    return (struct pins_request){
        .user = "Anna@example.org", .pool = "main", .proposal = proposal, .timeout_ms = 5000};
}

static void ask(struct redis_case *k, size_t engine, const struct pins_request *q)
{
    struct pins_answer now;
    said.n = 0;
    if (!pins_ask(k->engines[engine].pins, q, on_answer, k, &now))
        on_answer(NULL, &now);
    while (said.n == 0)
        redis_case_run(k);
}

/* A login at an engine: where it goes. */
static struct pin_backend *login(struct redis_case *k, size_t engine, const char *proposal,
                                 const char *expected)
{
    const struct pins_request q = request(proposal);
    ask(k, engine, &q);
    assert_int_equal(said.a.verdict, PINS_HERE);
    assert_string_equal(said.backend, expected);
    return said.a.held;
}

static void user_key(struct redis_case *k, char ret[PINS_KEY_SIZE])
{
    uint8_t user[PIN_HASH_BYTES];
    pins_hash_user(k->engines[0].shared, "anna@example.org", user);
    pins_user_key(k->engines[0].shared, user, ret);
}

static void on_shown(void *arg, const struct redis_result *r)
{
    struct redis_case *k = arg;
    (void)r;
    loop_stop(k->loop);
}

/* All that the engine has said before has been done when this is answered. */
static void settle(struct redis_case *k, size_t engine)
{
    const struct str ping = STR("PING");
    assert_int_equal(redis_call(k->engines[engine].client, &ping, 1, 5000, on_shown, k, NULL), 0);
    redis_case_run(k);
}

static long long sessions_of(struct redis_case *k, size_t engine)
{
    char key[PINS_KEY_SIZE];
    user_key(k, key);
    settle(k, engine);
    redisReply *r = redis_say(k, "HGET %s h:%s:main", key, k->engines[engine].shared->holder);
    long long n = r->str ? strtoll(r->str, NULL, 10) : 0;
    freeReplyObject(r);
    return n;
}

static void leave(struct redis_case *k, size_t engine, struct pin_backend *held)
{
    pins_leave(k->engines[engine].pins, held, false);
    settle(k, engine);
}

static void test_one_backend(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pin_backend *a = login(k, 0, "b1", "b1");
    struct pin_backend *b = login(k, 1, "b2", "b1");
    struct pin_backend *c = login(k, 2, "b3", "b1");
    assert_int_equal(sessions_of(k, 0), 1);
    assert_int_equal(sessions_of(k, 1), 1);
    leave(k, 0, a);
    assert_int_equal(sessions_of(k, 0), 0);
    leave(k, 1, b);
    leave(k, 2, c);
    /* It outlives the sessions. */
    leave(k, 1, login(k, 1, "b2", "b1"));
    redis_case_end(k);
}

/* After the time of retention the next login chooses anew. */
static void test_retention(void **state)
{
    struct redis_case *k = redis_case_begin();
    pins_set_redis(k->engines[1].pins, NULL);
    pins_set_retention(k->engines[1].pins, 0);
    leave(k, 0, login(k, 0, "b1", "b1"));
    struct pins_request q = request("b2");
    const char *servers[] = {k->server};
    const struct redis_spec spec = {.servers = servers,
                                    .n_servers = 1,
                                    .timeout_ms = 5000,
                                    .changed = on_case_changed,
                                    .arg = k};
    assert_int_equal(redis_client_new(k->loop, &spec, &k->engines[1].client), 0);
    pins_set_redis(k->engines[1].pins, k->engines[1].client);
    redis_case_run(k);
    ask(k, 1, &q);
    assert_string_equal(said.backend, "b2");
    leave(k, 1, said.a.held);
    redis_case_end(k);
}

/* An engine that is silent for too long holds nobody. */
static void test_dead_holder(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pins_request q = request("b1");
    q.max_sessions = 1;
    ask(k, 0, &q);
    struct pin_backend *a = said.a.held;
    ask(k, 1, &q);
    assert_int_equal(said.a.verdict, PINS_LIMIT);
    freeReplyObject(redis_say(k, "ZADD %s %llu %s", k->engines[0].shared->nodes,
                              (unsigned long long)clock_wall_ms() - CASE_LEASE_MS - 1000,
                              k->engines[0].shared->holder));
    ask(k, 1, &q);
    assert_int_equal(said.a.verdict, PINS_HERE);
    assert_int_equal(sessions_of(k, 0), 0);
    pins_leave(k->engines[1].pins, said.a.held, false);
    leave(k, 0, a);
    assert_int_equal(sessions_of(k, 0), 0); /* never below */
    redis_case_end(k);
}

/* Where nobody could say for a while that it lives, the store was away, and nobody has died. */
static void test_gap(void **state)
{
    (void)state;
    struct redis_case *k = redis_case_begin();
    struct pins_request q = request("b1");
    q.max_sessions = 1;
    ask(k, 0, &q);
    struct pin_backend *a = said.a.held;
    uint64_t then = clock_wall_ms() - 2 * CASE_LEASE_MS;
    const uint64_t ages[CASE_ENGINES] = {CASE_LEASE_MS * 2 / 5, 0, CASE_LEASE_MS + 1000};
    for (size_t i = 0; i < CASE_ENGINES; i++)
        freeReplyObject(redis_say(k, "ZADD %s %llu %s", k->engines[i].shared->nodes,
                                  (unsigned long long)(then - ages[i]),
                                  k->engines[i].shared->holder));
    ask(k, 1, &q);
    assert_int_equal(said.a.verdict, PINS_LIMIT);
    assert_int_equal(sessions_of(k, 0), 1);
    /* One that had died before has. */
    leave(k, 0, a);
    ask(k, 2, &q);
    struct pin_backend *c = said.a.held;
    assert_int_equal(sessions_of(k, 2), 1);
    ask(k, 1, &q);
    assert_int_equal(said.a.verdict, PINS_HERE);
    leave(k, 1, said.a.held);
    leave(k, 2, c);
    redis_case_end(k);
}

static void test_avoid(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pin_backend *a = login(k, 0, "b1", "b1"), *b = login(k, 1, "b1", "b1");
    /* strict: the other engine's session keeps it there. */
    struct pins_request q = request("b2");
    q.avoid = "b1";
    q.is_strict = true;
    q.held = b;
    ask(k, 1, &q);
    assert_int_equal(said.a.verdict, PINS_UNAVAILABLE);
    assert_int_equal(sessions_of(k, 1), 0);
    /* prefer: it moves, and the sessions of the other engine are on a second backend then. */
    q.held = login(k, 1, "b1", "b1");
    q.is_strict = false;
    ask(k, 1, &q);
    assert_string_equal(said.backend, "b2");
    assert_int_equal(sessions_of(k, 1), 1);
    struct pin_backend *moved = said.a.held;
    struct pin_backend *c = login(k, 0, "b1", "b2");
    assert_int_equal(atomic_load(&k->engines[0].shared->table.n_misplaced), 1);
    leave(k, 0, a);
    assert_int_equal(atomic_load(&k->engines[0].shared->table.n_misplaced), 0);
    /* strict, and nobody else is there. */
    leave(k, 0, c);
    q = request("b3");
    q.avoid = "b2";
    q.is_strict = true;
    q.held = moved;
    ask(k, 1, &q);
    assert_string_equal(said.backend, "b3");
    leave(k, 1, said.a.held);
    redis_case_end(k);
}

static void test_fixed(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pin_backend *a = login(k, 0, "b1", "b1");
    struct pins_request q = request("b5");
    q.is_fixed = true;
    ask(k, 1, &q);
    assert_string_equal(said.backend, "b5");
    struct pin_backend *b = said.a.held;
    struct pin_backend *c = login(k, 2, "b2", "b5");
    leave(k, 0, a);
    leave(k, 1, b);
    leave(k, 2, c);
    redis_case_end(k);
}

/* Of a login that came to nothing nothing stays, but no more goes than it made. */
static void test_void(void **state)
{
    struct redis_case *k = redis_case_begin();
    char key[PINS_KEY_SIZE];
    user_key(k, key);
    /* Two at once, whoever of them made the pin. */
    struct pin_backend *a = login(k, 0, "b1", "b1"), *b = login(k, 1, "b2", "b1");
    pins_leave(k->engines[0].pins, a, true);
    settle(k, 0);
    pins_leave(k->engines[1].pins, b, true);
    settle(k, 1);
    redisReply *r = redis_say(k, "EXISTS %s", key);
    assert_int_equal(r->integer, 0);
    freeReplyObject(r);
    /* One succeeds: then others may try what they want. */
    leave(k, 1, login(k, 1, "b2", "b2"));
    pins_leave(k->engines[0].pins, login(k, 0, "b1", "b2"), true);
    settle(k, 0);
    leave(k, 2, login(k, 2, "b3", "b2"));
    redis_case_end(k);
}

static void test_cancelled(void **state)
{
    struct redis_case *k = redis_case_begin();
    const struct pins_request q = request("b1");
    struct pins_answer unused;
    said.n = 0;
    struct pins_call *c = pins_ask(k->engines[0].pins, &q, on_answer, k, &unused);
    assert_non_null(c);
    pins_cancel(c);
    settle(k, 0); /* its answer is there, */
    settle(k, 0); /* and was given back */
    assert_int_equal(sessions_of(k, 0), 0);
    assert_int_equal(said.n, 0);
    assert_int_equal(atomic_load(&k->engines[0].shared->table.n_pins), 0);
    redis_case_end(k);
}

/* The store has lost everything: sessions that are here count more than what the login would
 * choose. */
static void test_flushed(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pin_backend *a = login(k, 0, "b1", "b1");
    freeReplyObject(redis_say(k, "FLUSHALL"));
    struct pin_backend *b = login(k, 0, "b2", "b1");
    leave(k, 0, a);
    leave(k, 0, b);
    redis_case_end(k);
}

static void test_without_store(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pin_table *t = &k->engines[0].shared->table;
    struct pin_backend *a = login(k, 0, "b1", "b1");
    redis_case_stop(k);
    struct pins_request q = request("b2");
    ask(k, 0, &q); /* the session here says where, whether the break was seen or not */
    assert_string_equal(said.backend, "b1");
    assert_true(said.a.is_open);
    pins_leave(k->engines[0].pins, said.a.held, false);
    pins_leave(k->engines[0].pins, a, false);
    ask(k, 0, &q); /* remembered */
    assert_string_equal(said.backend, "b1");
    pins_leave(k->engines[0].pins, said.a.held, false);
    q.user = "otto";
    ask(k, 0, &q);
    assert_string_equal(said.backend, "b2");
    pins_leave(k->engines[0].pins, said.a.held, false);
    q.is_strict = true;
    ask(k, 0, &q);
    assert_int_equal(said.a.verdict, PINS_UNAVAILABLE);
    q.is_fixed = true;
    ask(k, 0, &q);
    assert_int_equal(said.a.verdict, PINS_HERE);
    pins_leave(k->engines[0].pins, said.a.held, false);
    assert_int_equal(atomic_load(&t->counts[PIN_COUNT_FAILED_OPEN]), 4);
    assert_int_equal(atomic_load(&t->counts[PIN_COUNT_FAILED_SHUT]), 1);
    assert_int_equal(atomic_load(&t->n_pins), 0);
    redis_case_end(k);
}

/* A store that is there and does not answer costs a login its time-out, once. */
static void test_silent_store(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pins_request q = request("b1");
    kill(k->pid, SIGSTOP);
    q.timeout_ms = 50;
    ask(k, 0, &q);
    assert_true(said.a.is_open);
    assert_string_equal(said.backend, "b1");
    struct pin_backend *a = said.a.held;
    q.timeout_ms = 0;
    ask(k, 0, &q);
    assert_true(said.a.is_open);
    pins_leave(k->engines[0].pins, said.a.held, false);
    kill(k->pid, SIGCONT);
    pins_leave(k->engines[0].pins, a, false);
    redis_case_end(k);
}

/* A client that is replaced answers nobody: they go on. */
static void test_reconfigured(void **state)
{
    struct redis_case *k = redis_case_begin();
    const struct pins_request q = request("b1");
    struct pins_answer unused;
    said.n = 0;
    assert_non_null(pins_ask(k->engines[0].pins, &q, on_answer, k, &unused));
    pins_set_redis(k->engines[0].pins, NULL);
    assert_int_equal(said.n, 0);
    redis_case_run(k);
    assert_int_equal(said.n, 1);
    assert_true(said.a.is_open);
    pins_leave(k->engines[0].pins, said.a.held, false);
    redis_case_end(k);
}

/* Whose data answers a login is known with the answer. */
static void test_epoch(void **state)
{
    struct redis_case *k = redis_case_begin();
    struct pins_shared *s = k->engines[0].shared;
    static const struct {
        const char *now, *known; /* now "": the store is empty */
        bool is_other;
    } steps[] = {
        {"e1", "", false}, /* nobody has said yet which one it is */
        {"e1", "e1", false}, {"e2", "e1", true}, {"e2", "e2", false}, {"", "e2", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct pins_request q = request("b1");
        if (*steps[i].now)
            freeReplyObject(redis_say(k, "SET mp:mail:epoch %s", steps[i].now));
        else
            freeReplyObject(redis_say(k, "FLUSHALL"));
        pins_set_epoch(s, steps[i].known);
        ask(k, 0, &q);
        assert_int_equal(pins_take_other_epoch(s), steps[i].is_other);
        assert_false(pins_take_other_epoch(s));
        pins_leave(k->engines[0].pins, said.a.held, false);
        settle(k, 0);
    }
    redis_case_end(k);
}

/* What a store says that is no such store. */
static void test_nonsense(void **state)
{
    struct redis_case *k = redis_case_begin();
    static const char *const replies[] = {"return 7",
                                          "return {}",
                                          "return {'kept'}",
                                          "return {'kept', 'b1', 'x', 1, '', ''}",
                                          "return {'kept', 'b1', 1, 1, ''}",
                                          "return {'kept', string.rep('b', 100), 1, 1, '', ''}",
                                          "return {'kept', 'b\\n1', 1, 1, '', ''}",
                                          "return redis.error_reply('OOM command not allowed')"};
    const struct redis_script right = pin_script_ask;
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        pin_script_ask = (struct redis_script){.text = replies[i]};
        redis_script_init(&pin_script_ask);
        struct pins_request q = request("b9");
        ask(k, 0, &q);
        assert_true(said.a.is_open);
        assert_string_equal(said.backend, "b9");
        pins_leave(k->engines[0].pins, said.a.held, false);
        settle(k, 0);
    }
    pin_script_ask = right;
    redis_case_end(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_backend),  cmocka_unit_test(test_retention),
        cmocka_unit_test(test_dead_holder),  cmocka_unit_test(test_gap),
        cmocka_unit_test(test_avoid),        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_void),         cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_flushed),      cmocka_unit_test(test_without_store),
        cmocka_unit_test(test_silent_store), cmocka_unit_test(test_reconfigured),
        cmocka_unit_test(test_nonsense),     cmocka_unit_test(test_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
