/* SPDX-License-Identifier: ISC */
/* Who is in a fleet, as the store tells it: in order, and whatever it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "fleet/fleet_nodes.h"
#include "io/redis/redis_reader.h"

/* "(1 a (2 b))" as the reply of a server: words are texts. */
static struct redisReply *reply_of(const char *text)
{
    struct redis_reader r;
    struct redisReply *reply = NULL;
    AUTO_BUF wire = BUF_INIT;
    for (const char *p = text; *p; p++) {
        if (*p == '(') {
            size_t n = 0, depth = 0;
            for (const char *q = p + 1; *q && !(*q == ')' && depth == 0); q++) {
                depth += (*q == '(') - (*q == ')');
                n += depth == 0 && *q != ' ' && *q != ')' && (q[-1] == ' ' || q[-1] == '(');
                n += depth == 1 && *q == '(';
            }
            assert_int_equal(buf_printf(&wire, "*%zu\r\n", n), 0);
        } else if (*p != ' ' && *p != ')') {
            size_t n = strcspn(p, " ()");
            const char *word = *p == '-' ? "" : p;
            size_t word_n = *p == '-' ? 0 : n;
            assert_int_equal(buf_printf(&wire, "$%zu\r\n%.*s\r\n", word_n, (int)word_n, word), 0);
            p += n - 1;
        }
    }
    assert_int_equal(redis_reader_init(&r, 1 << 20), 0);
    assert_int_equal(redis_reader_feed(&r, buf_str(&wire)), 0);
    assert_int_equal(redis_reader_next(&r, &reply), 0);
    redis_reader_fini(&r);
    return reply;
}

static int read_text(const char *text, struct fleet_nodes *ret)
{
    struct redisReply *reply = reply_of(text);
    int err = fleet_nodes_read(reply, ret);
    redis_reply_free(reply);
    return err;
}

static void test_nodes(void **state)
{
    struct fleet_nodes n;
    assert_int_equal(read_text("(1000 epoch 1 (b#2 990 state serving sessions 5 users 3 load 0.5)"
                               " (a#1 400 state finishing version 0.1.0)"
                               " (a#3 980 state serving started 77 proof p schema 1))",
                               &n),
                     0);
    assert_int_equal(n.n, 3);
    assert_int_equal(n.now_ms, 1000);
    assert_int_equal(n.schema, 1);
    assert_string_equal(n.epoch, "epoch");
    assert_string_equal(n.v[0].holder, "a#3"); /* who serves first */
    assert_string_equal(n.v[1].holder, "a#1");
    assert_string_equal(n.v[2].name, "b");
    assert_int_equal(n.v[2].sessions, 5);
    assert_int_equal(n.v[2].users, 3);
    assert_string_equal(n.v[2].load, "0.5");
    assert_int_equal(n.v[0].started_ms, 77);
    assert_true(fleet_nodes_is_first(&n, 0));
    assert_false(fleet_nodes_is_first(&n, 1));
    assert_true(fleet_nodes_is_first(&n, 2));
    assert_string_equal(fleet_nodes_find(&n, "a")->holder, "a#3");
    assert_null(fleet_nodes_find(&n, "c"));
    fleet_nodes_fini(&n);
    assert_int_equal(n.n, 0);
}

static void test_refused(void **state)
{
    struct fleet_nodes n;
    assert_int_equal(read_text("(1000 - 2)", &n), 0);
    assert_string_equal(n.epoch, "");
    assert_int_equal(n.schema, 2);
    assert_int_equal(n.n, 0);
    fleet_nodes_fini(&n);
}

/* A store that others write into, too. */
static void test_nonsense(void **state)
{
    static const char *const bad[] = {"x", "()", "(1)", "(1 2)"};
    static const char *const none[] = {
        "(1 e 1 x)",     "(1 e 1 ())",     "(1 e 1 (a))",
        "(1 e 1 (- 5))", "(1 e 1 (#5 5))", "(1 e 1 ((a) 5))",
    };
    struct fleet_nodes n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(read_text(bad[i], &n), -ERR_PROTOCOL);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(read_text(none[i], &n), 0);
        assert_int_equal(n.n, 0);
        fleet_nodes_fini(&n);
    }
    assert_int_equal(
        read_text("(x e x (a#1 x sessions -5 users (1) state (2) version) (b 7 odd))", &n), 0);
    assert_int_equal(n.n, 2);
    assert_int_equal(n.now_ms, 0);
    assert_int_equal(n.v[0].sessions, 0);
    assert_string_equal(n.v[0].state, "");
    assert_string_equal(n.v[1].name, "b");
    fleet_nodes_fini(&n);
}

/* A node is not silent while the store answers nobody; before and after that it is. */
static void test_silence(void **state)
{
    static const struct {
        struct fleet_nodes before, now;
        uint64_t seen_ms, silence_ms;
    } cases[] = {
        {{.now_ms = 0}, {.now_ms = 5000}, 1000, 4000},    /* the first answer */
        {{.now_ms = 4500}, {.now_ms = 5000}, 4800, 200},  /* as always */
        {{.now_ms = 4500}, {.now_ms = 5000}, 1000, 4000}, /* one that is gone */
        {{.now_ms = 4500}, {.now_ms = 5000}, 6000, 0},
        {{.now_ms = 4500}, {.now_ms = 5501}, 4400, 100},  /* a gap: said before it */
        {{.now_ms = 4500}, {.now_ms = 9500}, 4600, 0},    /* in it */
        {{.now_ms = 4500}, {.now_ms = 9500}, 3000, 1500}, /* silent before it, too */
        {{.now_ms = 9500, .gap_from_ms = 4500, .gap_to_ms = 9500}, {.now_ms = 10000}, 4400, 600},
        {{.now_ms = 9500, .gap_from_ms = 4500, .gap_to_ms = 9500}, {.now_ms = 10000}, 9600, 400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fleet_nodes now = cases[i].now;
        const struct fleet_node n = {.seen_ms = cases[i].seen_ms};
        fleet_nodes_follow(&now, &cases[i].before, 500);
        if (fleet_nodes_silence_ms(&now, &n) != cases[i].silence_ms)
            fail_msg("case %zu: %llu", i, (unsigned long long)fleet_nodes_silence_ms(&now, &n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nodes), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_nonsense),
                                       cmocka_unit_test(test_silence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
