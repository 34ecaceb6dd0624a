/* SPDX-License-Identifier: ISC */
/* The choice of a member: distribution and stability of the hash, states, fewest sessions, turns.
 */
#include "pools_case.h"

#include "base/hash.h"

#define NOW 1000000 /* monotonic ms */
#define USERS 20000

struct pick {
    struct pools_case c;
    struct config_pool *pool;
    struct pools *pools;
    unsigned round_robin;
};

/* Members "a", "b".. of these weights. */
static void pick_init(struct pick *k, enum config_balance balance, const unsigned *weights,
                      size_t n)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    pools_case_init(&k->c);
    k->pool = pools_case_add(&k->c, "main", balance);
    for (size_t i = 0; i < n; i++)
        (void)pools_case_member(k->pool, names[i], "10.0.0.1", weights[i]);
    k->pools = pools_case_build(&k->c, NULL, 0);
    k->round_robin = 0;
}

static void pick_fini(struct pick *k)
{
    pools_unref(k->pools);
    pools_case_fini(&k->c);
}

static struct pool_choice pick_choice(struct pick *k, const char *user)
{
    return (struct pool_choice){
        .user = str_of(user), .now_ms = NOW, .round_robin = &k->round_robin};
}

/* Name of the chosen one, or "busy", "none". */
static const char *pick_name(struct pick *k, const struct pool_choice *c)
{
    const struct pool_member *m = NULL;
    int err = pool_pick(&k->pools->v[0], c, &m);
    if (err == 0)
        return m->backend->name;
    assert_null(m);
    assert_true(err == -ERR_BUSY || err == -ERR_POOL_EMPTY || err == -ERR_POOL_DRAINED ||
                err == -ERR_POOL_DOWN);
    return err == -ERR_BUSY ? "busy" : "none";
}

static const char *pick(struct pick *k, const char *user)
{
    struct pool_choice c = pick_choice(k, user);
    return pick_name(k, &c);
}

static struct backend *member(struct pick *k, const char *name)
{
    return pools_case_backend(k->pools, name);
}

static void user_name(char dst[32], unsigned i)
{
    snprintf(dst, 32, "user%u@example.org", i);
}

/* ---- by user ---- */

/* Shares follow the weights; 0 gets nobody. */
static void test_distribution(void **state)
{
    static const struct {
        unsigned weights[8];
        size_t n;
    } rows[] = {{{100}, 1},      {{100, 100}, 2},
                {{1, 1, 1}, 3},  {{100, 100, 100, 100, 100, 100, 100, 100}, 8},
                {{100, 50}, 2},  {{300, 200, 100}, 3},
                {{1000, 10}, 2}, {{100, 0, 100}, 3}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick k;
        unsigned counts[8] = {0}, total = 0;
        pick_init(&k, BALANCE_USER, rows[i].weights, rows[i].n);
        for (size_t j = 0; j < rows[i].n; j++)
            total += rows[i].weights[j];
        for (unsigned u = 0; u < USERS; u++) {
            char name[32];
            user_name(name, u);
            counts[pick(&k, name)[0] - 'a']++;
        }
        for (size_t j = 0; j < rows[i].n; j++) {
            double want = (double)USERS * rows[i].weights[j] / total;
            /* five times the deviation that chance has */
            double slack = 5 * 71 + 1; /* sqrt(USERS / 4) = 71 */
            if (counts[j] < want - slack || counts[j] > want + slack)
                fail_msg("row %zu member %zu: %u users, want %.0f", i, j, counts[j], want);
            assert_int_equal(rows[i].weights[j] == 0, counts[j] == 0);
        }
        pick_fini(&k);
    }
}

/* A choice that changes with the version or the machine would move everybody at an update. */
static void test_stable(void **state)
{
    static const unsigned weights[] = {100, 100, 50};
    static const char *const users[] = {"anna", "bert", "carl", "dora", "emil", "fred", "gina"};
    struct pick k;
    AUTO_BUF seen = BUF_INIT;
    pick_init(&k, BALANCE_USER, weights, 3);
    for (size_t i = 0; i < ARRAY_LEN(users); i++)
        assert_int_equal(buf_append_c(&seen, pick(&k, users[i])), 0);
    assert_int_equal(buf_append_char(&seen, '\0'), 0);
    assert_string_equal(buf_str(&seen).p, "bbbabba");
    assert_string_equal(pick(&k, "ANNA"), pick(&k, "anna"));
    pick_fini(&k);
}

/* How many users go elsewhere between two tables, and how many of these to or from `name`. */
static void count_moves(struct pick *before, struct pick *after, const char *name, unsigned *moved,
                        unsigned *with)
{
    *moved = *with = 0;
    for (unsigned u = 0; u < USERS; u++) {
        char user[32];
        user_name(user, u);
        const char *x = pick(before, user), *y = pick(after, user);
        if (strcmp(x, y) == 0)
            continue;
        (*moved)++;
        *with += strcmp(x, name) == 0 || strcmp(y, name) == 0;
    }
}

/* When a member comes, goes or changes its weight, only its own users move. */
static void test_minimal_movement(void **state)
{
    static const struct {
        unsigned before[8], after[8]; /* weight 0 = not there */
        size_t n;
        const char *who;
        double share; /* of all users */
    } rows[] = {
        {{100, 100, 100}, {100, 100, 0}, 3, "c", 1.0 / 3},
        {{100, 100, 0}, {100, 100, 100}, 3, "c", 1.0 / 3},
        {{100, 50, 30, 20}, {0, 50, 30, 20}, 4, "a", 0.5},
        {{100, 100}, {100, 50}, 2, "b", 0.5 - 1.0 / 3},
        {{10, 20, 30, 40}, {10, 20, 30, 100}, 4, "d", 100.0 / 160 - 0.4},
        {{100, 100, 100, 100, 100, 100, 100, 100},
         {100, 100, 0, 100, 100, 100, 100, 100},
         8,
         "c",
         0.125},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick before, after;
        unsigned moved, with;
        pick_init(&before, BALANCE_USER, rows[i].before, rows[i].n);
        pick_init(&after, BALANCE_USER, rows[i].after, rows[i].n);
        count_moves(&before, &after, rows[i].who, &moved, &with);
        assert_int_equal(moved, with);
        double want = rows[i].share * USERS;
        if (moved < want - 356 || moved > want + 356)
            fail_msg("row %zu: %u moved, want %.0f", i, moved, want);
        pick_fini(&before);
        pick_fini(&after);
    }
}

/* Users of a member that is out go to the next one in their order, and come back. */
static void test_next_in_order(void **state)
{
    static const unsigned weights[] = {100, 100, 100, 0};
    struct pick k;
    pick_init(&k, BALANCE_USER, weights, 4);
    for (unsigned u = 0; u < 200; u++) {
        char user[32];
        const struct pool_member *order[4];
        user_name(user, u);
        pool_order(&k.pools->v[0], str_of(user), NOW, order);
        assert_string_equal(order[3]->backend->name, "d"); /* without weight: the last */
        assert_string_equal(pick(&k, user), order[0]->backend->name);
        backend_set_admin(order[0]->backend, BACKEND_DRAIN, 1, NULL);
        assert_string_equal(pick(&k, user), order[1]->backend->name);
        (void)backend_set_health(order[1]->backend, BACKEND_DOWN, NOW, 1, NULL);
        assert_string_equal(pick(&k, user), order[2]->backend->name);
        backend_set_admin(order[2]->backend, BACKEND_DISABLED, 1, NULL);
        assert_string_equal(pick(&k, user), "none");
        backend_set_admin(order[2]->backend, BACKEND_READY, 1, NULL);
        (void)backend_set_health(order[1]->backend, BACKEND_UP, NOW, 1, NULL);
        backend_set_admin(order[0]->backend, BACKEND_READY, 1, NULL);
        assert_string_equal(pick(&k, user), order[0]->backend->name);
    }
    pick_fini(&k);
}

static void test_tried(void **state)
{
    static const unsigned weights[] = {100, 100};
    static const enum config_balance ways[] = {BALANCE_USER, BALANCE_LEAST, BALANCE_ROUND_ROBIN};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct pick k;
        pick_init(&k, ways[i], weights, 2);
        struct pool_choice c = pick_choice(&k, "anna");
        const char *first = pick_name(&k, &c);
        c.tried[c.n_tried++] = member(&k, first);
        const char *second = pick_name(&k, &c);
        assert_string_not_equal(first, second);
        c.tried[c.n_tried++] = member(&k, second);
        assert_string_equal(pick_name(&k, &c), "none");
        pick_fini(&k);
    }
}

static void test_protocol(void **state)
{
    static const unsigned weights[] = {100, 100};
    struct pick k;
    pick_init(&k, BALANCE_ROUND_ROBIN, weights, 2);
    (void)backend_set_down_protocols(member(&k, "a"), 1u << PROTO_POP3, NULL);
    struct pool_choice c = pick_choice(&k, "anna");
    c.proto = PROTO_POP3;
    for (int i = 0; i < 4; i++)
        assert_string_equal(pick_name(&k, &c), "b");
    c.proto = PROTO_IMAP;
    assert_string_not_equal(pick_name(&k, &c), pick_name(&k, &c));
    pick_fini(&k);
}

/* ---- states ---- */

/* Each letter is the state of one member: r ready, d drained, x disabled, h held, - down. For the
 * hash the members come in the order of the user. */
static void test_states(void **state)
{
    static const struct {
        const char *states, *hash, *others; /* 1.. = the n-th member, h busy, 0 none */
    } rows[] = {
        {"rr", "1", "12"}, {"dr", "2", "2"},  {"xr", "2", "2"},  {"-r", "2", "2"},
        {"hr", "h", "2"},  {"rd", "1", "1"},  {"rx", "1", "1"},  {"r-", "1", "1"},
        {"rh", "1", "1"},  {"dd", "0", "0"},  {"xx", "0", "0"},  {"--", "0", "0"},
        {"hh", "h", "h"},  {"dh", "h", "h"},  {"hd", "h", "h"},  {"-h", "h", "h"},
        {"xh", "h", "h"},  {"x-", "0", "0"},  {"dhr", "h", "3"}, {"-dr", "3", "3"},
        {"d-h", "h", "h"}, {"rhd", "1", "1"},
    };
    static const unsigned weights[] = {100, 100, 100};
    static const enum config_balance ways[] = {BALANCE_USER, BALANCE_LEAST, BALANCE_ROUND_ROBIN};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
            struct pick k;
            const struct pool_member *order[3];
            size_t n = strlen(rows[i].states);
            pick_init(&k, ways[w], weights, n);
            pool_order(&k.pools->v[0], STR("anna"), NOW, order);
            for (size_t j = 0; j < n; j++) {
                struct backend *b = order[j]->backend;
                char s = rows[i].states[j];
                (void)backend_set_health(b, s == '-' ? BACKEND_DOWN : BACKEND_UP, NOW, 1, NULL);
                backend_set_admin(b,
                                  s == 'd'   ? BACKEND_DRAIN
                                  : s == 'x' ? BACKEND_DISABLED
                                  : s == 'h' ? BACKEND_HOLD
                                             : BACKEND_READY,
                                  1, NULL);
            }
            const char *name = pick(&k, "anna");
            char got = strcmp(name, "busy") == 0 ? 'h' : '0';
            for (size_t j = 0; j < n; j++)
                if (strcmp(order[j]->backend->name, name) == 0)
                    got = (char)('1' + j);
            const char *want = ways[w] == BALANCE_USER ? rows[i].hash : rows[i].others;
            if (!strchr(want, got))
                fail_msg("%s, way %zu: %c, want one of %s", rows[i].states, w, got, want);
            pick_fini(&k);
        }
}

/* A member that is down gets one login when its time has come, and only one. */
static void test_probe(void **state)
{
    static const unsigned weights[] = {100};
    static const enum config_balance ways[] = {BALANCE_USER, BALANCE_LEAST, BALANCE_ROUND_ROBIN};
    for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
        struct pick k;
        pick_init(&k, ways[w], weights, 1);
        (void)backend_set_health(member(&k, "a"), BACKEND_DOWN, NOW - 60000, 1, NULL);
        assert_string_equal(pick(&k, "anna"), "a");
        assert_string_equal(pick(&k, "anna"), "none");
        pick_fini(&k);
    }
}

static void test_empty(void **state)
{
    static const unsigned weights[] = {0};
    static const enum config_balance ways[] = {BALANCE_USER, BALANCE_LEAST, BALANCE_ROUND_ROBIN};
    for (size_t w = 0; w < ARRAY_LEN(ways); w++)
        for (size_t n = 0; n < 2; n++) {
            struct pick k;
            pick_init(&k, ways[w], weights, n);
            assert_string_equal(pick(&k, "anna"), "none");
            pick_fini(&k);
        }
}

/* ---- fewest sessions ---- */

static void test_least(void **state)
{
    static const struct {
        unsigned weights[3];
        uint64_t sessions[3];
        const char *want;
    } rows[] = {
        {{100, 100, 100}, {5, 3, 4}, "b"},  {{100, 100, 100}, {0, 0, 1}, "ab"},
        {{100, 50, 100}, {10, 4, 12}, "b"}, {{100, 50, 100}, {10, 6, 12}, "a"},
        {{0, 100, 100}, {0, 9, 8}, "c"},    {{1, 1000, 1}, {0, 500, 0}, "b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick k;
        pick_init(&k, BALANCE_LEAST, rows[i].weights, 3);
        for (size_t j = 0; j < 3; j++)
            atomic_store(&k.pools->v[0].members[j].backend->sessions, rows[i].sessions[j]);
        for (int turn = 0; turn < 4; turn++) {
            const char *name = pick(&k, "anna");
            if (!strstr(rows[i].want, name))
                fail_msg("row %zu: %s, want %s", i, name, rows[i].want);
        }
        pick_fini(&k);
    }
}

/* Logins that come at once, before the first of them counts as a session, spread too. */
static void test_least_ties(void **state)
{
    static const unsigned weights[] = {100, 100, 100};
    unsigned counts[3] = {0};
    struct pick k;
    pick_init(&k, BALANCE_LEAST, weights, 3);
    for (int i = 0; i < 300; i++)
        counts[pick(&k, "anna")[0] - 'a']++;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(counts[i], 100);
    pick_fini(&k);
}

/* ---- by turns ---- */

static void test_turns(void **state)
{
    static const struct {
        unsigned weights[4];
        size_t n;
        const char *want; /* the first ones */
    } rows[] = {
        {{100, 100}, 2, "abababab"},     {{7, 7, 7}, 3, "abcabcabc"}, {{100, 50}, 2, "aabaabaab"},
        {{50, 100}, 2, "babbabbab"},     {{100}, 1, "aaaa"},          {{100, 0, 100}, 3, "acacac"},
        {{300, 100}, 2, "aaabaaabaaab"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick k;
        AUTO_BUF seen = BUF_INIT;
        pick_init(&k, BALANCE_ROUND_ROBIN, rows[i].weights, rows[i].n);
        for (size_t j = 0; j < strlen(rows[i].want); j++)
            assert_int_equal(buf_append_c(&seen, pick(&k, "anna")), 0);
        assert_int_equal(buf_append_char(&seen, '\0'), 0);
        assert_string_equal(buf_str(&seen).p, rows[i].want);
        pick_fini(&k);
    }
}

static void test_turns_in_proportion(void **state)
{
    static const unsigned weights[] = {1000, 999, 333, 1};
    unsigned counts[4] = {0};
    struct pick k;
    pick_init(&k, BALANCE_ROUND_ROBIN, weights, 4);
    for (unsigned i = 0; i < 2333 * 3; i++)
        counts[pick(&k, "anna")[0] - 'a']++;
    for (size_t i = 0; i < 4; i++)
        assert_in_range(counts[i], 3 * weights[i] - 3, 3 * weights[i] + 3);
    pick_fini(&k);
}

/* Those that are left take turns too. */
static void test_turns_of_the_rest(void **state)
{
    static const unsigned weights[] = {100, 100, 100};
    unsigned counts[3] = {0};
    struct pick k;
    pick_init(&k, BALANCE_ROUND_ROBIN, weights, 3);
    backend_set_admin(member(&k, "b"), BACKEND_DRAIN, 1, NULL);
    for (int i = 0; i < 100; i++)
        counts[pick(&k, "anna")[0] - 'a']++;
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 50);
    pick_fini(&k);
}

/* ---- slow start ---- */

/* One that came back gets its share little by little. */
static void test_slow_start(void **state)
{
    static const unsigned weights[] = {100, 100};
    static const struct {
        uint64_t since_ms; /* of the recovery */
        unsigned percent;  /* of full weight */
    } rows[] = {{0, 0}, {10000, 10}, {50000, 50}, {99999, 100}, {100000, 100}, {500000, 100}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick k;
        unsigned n = 0;
        pick_init(&k, BALANCE_ROUND_ROBIN, weights, 2);
        k.pool->slow_start_ms = 100000;
        (void)backend_set_health(member(&k, "b"), BACKEND_DOWN, 1, 1, NULL);
        (void)backend_set_health(member(&k, "b"), BACKEND_UP, NOW - rows[i].since_ms, 1, NULL);
        for (int j = 0; j < 1000; j++)
            n += pick(&k, "anna")[0] == 'b';
        unsigned want = 1000 * rows[i].percent / (100 + rows[i].percent);
        assert_in_range(n, want > 10 ? want - 10 : 0, want + 10);
        pick_fini(&k);
    }
    struct pick k;
    pick_init(&k, BALANCE_LEAST, weights, 2);
    k.pool->slow_start_ms = 100000;
    atomic_store(&member(&k, "a")->sessions, 99);
    atomic_store(&member(&k, "b")->sessions, 19);
    (void)backend_set_health(member(&k, "b"), BACKEND_DOWN, 1, 1, NULL);
    (void)backend_set_health(member(&k, "b"), BACKEND_UP, NOW - 10000, 1, NULL);
    assert_string_equal(pick(&k, "anna"), "a"); /* 19 sessions at a tenth are many */
    struct pool_choice c = pick_choice(&k, "anna");
    c.now_ms = NOW + 20000;
    assert_string_equal(pick_name(&k, &c), "b");
    pick_fini(&k);
}

/* Users come back to where their hash leads one after another, each once, and the order that is
 * told is the one that holds. */
static void test_slow_start_by_user(void **state)
{
    static const unsigned weights[] = {100, 100};
    static const uint64_t since_ms[] = {0, 10000, 30000, 60000, 100000};
    static bool is_back[USERS];
    struct pick k;
    pick_init(&k, BALANCE_USER, weights, 2);
    k.pool->slow_start_ms = 100000;
    memset(is_back, 0, sizeof(is_back));
    (void)backend_set_health(member(&k, "b"), BACKEND_DOWN, 1, 1, NULL);
    (void)backend_set_health(member(&k, "b"), BACKEND_UP, NOW, 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(since_ms); i++) {
        unsigned n = 0, percent = (unsigned)(since_ms[i] / 1000);
        for (unsigned u = 0; u < USERS; u++) {
            char user[32];
            const struct pool_member *order[2];
            user_name(user, u);
            struct pool_choice c = pick_choice(&k, user);
            c.now_ms = NOW + since_ms[i];
            bool is_there = pick_name(&k, &c)[0] == 'b';
            assert_true(is_there || !is_back[u]);
            is_back[u] = is_there;
            n += is_there;
            pool_order(&k.pools->v[0], c.user, c.now_ms, order);
            assert_int_equal(order[0]->backend->name[0] == 'b', is_there);
        }
        unsigned want = USERS * percent / (100 + percent);
        assert_in_range(n, want > USERS / 50 ? want - USERS / 50 : 0, want + USERS / 50);
    }
    pick_fini(&k);
}

/* ---- order ---- */

static void test_order(void **state)
{
    static const unsigned weights[] = {0, 100, 50, 100};
    static const struct {
        enum config_balance way;
        const char *want; /* NULL = any, but a (without weight) last */
    } rows[] = {{BALANCE_USER, NULL}, {BALANCE_LEAST, "dbca"}, {BALANCE_ROUND_ROBIN, "bcda"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick k;
        const struct pool_member *order[4];
        char seen[5] = "";
        pick_init(&k, rows[i].way, weights, 4);
        atomic_store(&member(&k, "b")->sessions, 4);
        atomic_store(&member(&k, "c")->sessions, 4);
        pool_order(&k.pools->v[0], STR("anna"), NOW, order);
        for (size_t j = 0; j < 4; j++)
            seen[j] = order[j]->backend->name[0];
        if (rows[i].want)
            assert_string_equal(seen, rows[i].want);
        assert_int_equal(seen[3], 'a');
        for (const char *p = "abcd"; *p; p++)
            assert_non_null(strchr(seen, *p));
        pick_fini(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_stable),
        cmocka_unit_test(test_minimal_movement),
        cmocka_unit_test(test_next_in_order),
        cmocka_unit_test(test_tried),
        cmocka_unit_test(test_protocol),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_least_ties),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_in_proportion),
        cmocka_unit_test(test_turns_of_the_rest),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_slow_start_by_user),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
