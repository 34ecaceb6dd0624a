/* SPDX-License-Identifier: ISC */
/* Bans that are told: in their order, as many as there is room for, and none forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "fleet/limits/ban_queue.h"

#define MANY 5000
#define A_MESSAGE 200

static struct rules bans;
static struct ban_queue queue;
static unsigned told[MANY], lifted[MANY];

static const struct rules_time now = {.ms = 1000, .wall_ms = 1000000};

static int setup(void **state)
{
    rules_init(&bans, 65536, now.ms);
    memset(told, 0, sizeof(told));
    memset(lifted, 0, sizeof(lifted));
    return ban_queue_init(&queue);
}

static int teardown(void **state)
{
    ban_queue_fini(&queue);
    rules_fini(&bans);
    return 0;
}

static struct rule *ban(unsigned i, const char *by)
{
    struct rule_spec spec = {.is_automatic = true,
                             .created_ms = now.wall_ms + i,
                             .until_ms = now.wall_ms + 3600000,
                             .by = by};
    struct rule *r;
    char text[32];
    snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
    assert_int_equal(limit_target_parse(str_of(text), &spec.subject), 0);
    assert_int_equal(rules_put(&bans, &spec, &now, &r), 0);
    if (!by)
        ban_queue_add(&queue, r, false);
    return r;
}

/* The number of a message's bans. */
static size_t take(void)
{
    json_t *rows = ban_queue_take(&queue, &bans, A_MESSAGE), *row;
    size_t i, n = json_array_size(rows);
    assert_non_null(rows);
    assert_true(n <= A_MESSAGE);
    json_array_foreach (rows, i, row) {
        unsigned a, b;
        assert_int_equal(sscanf(json_string_value(json_array_get(row, 0)), "10.0.%u.%u", &a, &b),
                         2);
        if (json_array_size(row) == 3)
            told[a * 250 + b]++;
        else
            lifted[a * 250 + b]++;
    }
    json_decref(rows);
    return n;
}

static size_t take_all(void)
{
    size_t n_messages = 0;
    while (ban_queue_has_more(&queue)) {
        take();
        assert_true(n_messages++ < 1000);
    }
    return n_messages;
}

static void test_order(void **state)
{
    struct rule *r = ban(1, NULL);
    ban_queue_add(&queue, r, true);
    rules_remove(&bans, r);
    (void)ban(2, "px2"); /* another node's */
    json_t *rows = ban_queue_take(&queue, &bans, A_MESSAGE);
    assert_int_equal(json_array_size(rows), 2);
    assert_int_equal(json_array_size(json_array_get(rows, 0)), 3);
    assert_int_equal(json_array_size(json_array_get(rows, 1)), 2);
    json_decref(rows);
    assert_false(ban_queue_has_more(&queue));
    assert_int_equal(take(), 0);
}

/* Within a second: all are told, no message is longer than others, and those that were told
 * already are not all told again. */
static void test_burst(void **state)
{
    for (unsigned i = 0; i < MANY; i++)
        (void)ban(i, NULL);
    assert_true(json_array_size(queue.rows) <= BAN_QUEUE_MAX);
    assert_int_equal(queue.left_out, MANY - BAN_QUEUE_MAX);
    assert_true(take_all() <= MANY / A_MESSAGE + 2);
    for (unsigned i = 0; i < MANY; i++)
        if (told[i] != 1)
            fail_msg("%u was told %u times", i, told[i]);
}

/* Another burst while that is told: nothing is left over. */
static void test_second_burst(void **state)
{
    for (unsigned i = 0; i < MANY / 2; i++)
        (void)ban(i, NULL);
    for (int i = 0; i < BAN_QUEUE_MAX / A_MESSAGE; i++)
        assert_int_equal(take(), A_MESSAGE);
    assert_true(ban_queue_has_more(&queue));
    (void)take();
    assert_true(queue.is_walking);
    for (unsigned i = MANY / 2; i < MANY; i++)
        (void)ban(i, NULL);
    (void)take_all();
    for (unsigned i = 0; i < MANY; i++)
        assert_true(told[i] >= 1);
}

/* No walk finds what was lifted: it is not left out because of bans. */
static void test_lifted(void **state)
{
    for (unsigned i = 0; i < MANY; i++) {
        struct rule *r = ban(i, NULL);
        if (i % 2 == 0)
            continue;
        ban_queue_add(&queue, r, true);
        rules_remove(&bans, r);
    }
    (void)take_all();
    for (unsigned i = 0; i < MANY; i++)
        assert_true(i % 2 == 0 ? told[i] >= 1 && lifted[i] == 0 : lifted[i] == 1);
}

/* A walk over bans of others only looks at so many a time. */
static void test_others(void **state)
{
    for (unsigned i = 0; i < MANY; i++)
        (void)ban(i, "px2");
    ban_queue_again(&queue, &bans);
    assert_int_equal(take(), 0);
    assert_true(ban_queue_has_more(&queue));
    assert_true(take_all() >= MANY / BAN_QUEUE_LOOKED_AT - 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* What the store did not take comes again, in front of what came since. */
static void test_returned(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        ban_queue_add(&queue, ban(i, NULL), true);
    json_t *rows = ban_queue_take(&queue, &bans, A_MESSAGE);
    assert_int_equal(json_array_size(rows), 6);
    (void)ban(3, NULL);
    ban_queue_return(&queue, rows);
    json_t *again = ban_queue_take(&queue, &bans, A_MESSAGE);
    assert_int_equal(json_array_size(again), 7);
    for (size_t i = 0; i < 6; i++)
        assert_true(json_equal(json_array_get(rows, i), json_array_get(again, i)));
    json_decref(rows);
    json_decref(again);
    assert_false(ban_queue_has_more(&queue));
}

/* Where there is no room for them any more: a walk finds those in force. */
static void test_returned_without_room(void **state)
{
    for (unsigned i = 0; i < 100; i++)
        (void)ban(i, NULL);
    json_t *rows = ban_queue_take(&queue, &bans, A_MESSAGE);
    assert_int_equal(json_array_size(rows), 100);
    for (unsigned i = 100; i < BAN_QUEUE_MAX + 100; i++)
        (void)ban(i, NULL);
    ban_queue_return(&queue, rows);
    json_decref(rows);
    assert_true(json_array_size(queue.rows) <= BAN_QUEUE_MAX);
    (void)take_all();
    for (unsigned i = 0; i < BAN_QUEUE_MAX + 100; i++)
        if (told[i] == 0)
            fail_msg("%u was not told", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_order),
        CASE(test_burst),
        CASE(test_second_burst),
        CASE(test_lifted),
        CASE(test_others),
        cmocka_unit_test_setup_teardown(test_returned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_returned_without_room, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
