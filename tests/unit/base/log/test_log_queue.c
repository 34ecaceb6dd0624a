/* SPDX-License-Identifier: ISC */
/* The queue of log lines: order, whole lines, what a full one drops and counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/log/log_queue.h"

#define CAP 4096

static bool put(struct log_queue *q, const char *line)
{
    return log_queue_put(q, line, strlen(line));
}

static void expect(struct log_queue *q, size_t max, const char *lines)
{
    const char *p;
    size_t n = log_queue_next(q, max, &p);
    assert_int_equal(n, strlen(lines));
    assert_memory_equal(p, lines, n);
    log_queue_advance(q, n);
}

static uint64_t turn(struct log_queue *q)
{
    uint64_t dropped;
    assert_true(log_queue_turn(q, &dropped));
    return dropped;
}

static void test_order(void **state)
{
    struct log_queue q;
    uint64_t dropped = 1;
    assert_int_equal(log_queue_init(&q, CAP), 0);
    assert_true(log_queue_is_empty(&q));
    assert_false(log_queue_turn(&q, &dropped));
    assert_int_equal(dropped, 0);
    assert_true(put(&q, "one\n") && put(&q, "two\n"));
    assert_false(log_queue_is_empty(&q));
    assert_int_equal(turn(&q), 0);
    assert_true(put(&q, "three\n")); /* while the others are written */
    expect(&q, 100, "one\ntwo\n");
    expect(&q, 100, "");
    assert_false(log_queue_is_empty(&q));
    assert_int_equal(turn(&q), 0);
    expect(&q, 100, "three\n");
    assert_true(log_queue_is_empty(&q));
    log_queue_fini(&q);
}

static void test_whole_lines(void **state)
{
    struct log_queue q;
    assert_int_equal(log_queue_init(&q, CAP), 0);
    assert_true(put(&q, "first line\n") && put(&q, "b\n") && put(&q, "c\n") && put(&q, "d\n"));
    turn(&q);
    expect(&q, 1, "first line\n"); /* longer than asked for, but never in pieces */
    expect(&q, 5, "b\nc\n");
    log_queue_advance(&q, 1); /* a short write */
    expect(&q, 1, "\n");
    expect(&q, 1, "");
    log_queue_fini(&q);
}

static void test_overflow(void **state)
{
    struct log_queue q;
    char line[64];
    size_t n_in = 0;
    assert_int_equal(log_queue_init(&q, CAP), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "this is line %06d\n", i);
        n_in += put(&q, line);
    }
    assert_int_equal(n_in, CAP / 20);
    assert_false(put(&q, "x\n")); /* would have room, but behind the gap */
    assert_int_equal(q.dropped_total, 1001 - n_in);
    assert_int_equal(turn(&q), 1001 - n_in);
    for (size_t i = 0; i < n_in; i++) { /* the oldest ones */
        snprintf(line, sizeof(line), "this is line %06zu\n", i);
        expect(&q, 1, line);
    }
    assert_true(put(&q, "later\n"));
    assert_int_equal(turn(&q), 0); /* told once */
    expect(&q, 1, "later\n");
    assert_int_equal(q.dropped_total, 1001 - n_in);
    log_queue_fini(&q);
}

static void test_discard(void **state)
{
    struct log_queue q;
    assert_int_equal(log_queue_init(&q, CAP), 0);
    assert_true(put(&q, "a\n") && put(&q, "b\n") && put(&q, "c\n"));
    turn(&q);
    expect(&q, 1, "a\n");
    log_queue_discard(&q);
    assert_true(log_queue_is_empty(&q));
    assert_int_equal(q.dropped_total, 2);
    log_queue_fini(&q);
    log_queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_whole_lines),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_discard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
