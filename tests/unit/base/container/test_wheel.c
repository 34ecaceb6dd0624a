/* SPDX-License-Identifier: ISC */
/* The timer wheel: never early, late by a tick at most, moved and cancelled, far deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/container/wheel.h"
#include "base/hash.h"
#include <cmocka.h>

struct item {
    struct wheel_timer timer;
    uint64_t due_ms;
    bool is_expired;
};

static struct wheel wheel; /* too big for a stack frame */

static size_t advance(uint64_t now_ms)
{
    struct list expired;
    size_t n = 0;
    list_init(&expired);
    wheel_advance(&wheel, now_ms, &expired);
    LIST_FOREACH_SAFE (it, &expired) {
        struct item *i = CONTAINER_OF(LIST_ITEM(it, struct wheel_timer, link), struct item, timer);
        assert_int_equal(i->timer.due_ms, 0);
        assert_true(i->due_ms <= now_ms);
        i->is_expired = true;
        list_del(it);
        n++;
    }
    return n;
}

static void set(struct item *i, uint64_t due_ms)
{
    i->due_ms = due_ms;
    i->is_expired = false;
    wheel_set(&wheel, &i->timer, due_ms);
}

static int setup(void **state)
{
    wheel_init(&wheel, 1000000);
    return 0;
}

static void test_one(void **state)
{
    struct item i;
    wheel_timer_init(&i.timer);
    set(&i, 1000300);
    assert_int_equal(wheel.count, 1);
    assert_int_equal(advance(1000299), 0);
    assert_int_equal(advance(1000300 + WHEEL_TICK_MS), 1);
    assert_int_equal(wheel.count, 0);
    /* one that is due already comes with the next tick */
    set(&i, 5);
    assert_int_equal(advance(1000300 + WHEEL_TICK_MS), 0);
    assert_int_equal(advance(1000300 + 2 * WHEEL_TICK_MS), 1);
}

static void test_move(void **state)
{
    struct item i;
    wheel_timer_init(&i.timer);
    set(&i, 1001000);
    set(&i, 1003000); /* later: found early and put right */
    assert_int_equal(wheel.count, 1);
    assert_int_equal(advance(1002000), 0);
    set(&i, 1002500); /* earlier */
    assert_int_equal(advance(1002500 + WHEEL_TICK_MS), 1);
    set(&i, 1004000);
    wheel_cancel(&wheel, &i.timer);
    wheel_cancel(&wheel, &i.timer);
    assert_int_equal(wheel.count, 0);
    assert_int_equal(advance(1010000), 0);
    set(&i, 0); /* 0 says "not set": the deadline is over all the same */
    assert_true(i.timer.due_ms != 0);
    assert_int_equal(advance(1010000 + WHEEL_TICK_MS), 1);
}

static void test_far(void **state)
{
    const uint64_t turn = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS;
    struct item near, far;
    wheel_timer_init(&near.timer);
    wheel_timer_init(&far.timer);
    set(&far, 1000000 + 3 * turn + 1000);
    set(&near, 1000000 + 1000); /* in the same slot */
    assert_int_equal(advance(1000000 + 2000), 1);
    assert_true(near.is_expired);
    for (uint64_t now = 1000000 + turn; now < far.due_ms; now += turn / 7)
        assert_int_equal(advance(now), 0);
    /* after a long sleep nothing is missed */
    assert_int_equal(advance(1000000 + 50 * turn), 1);
}

#define ITEMS 400

static void test_many(void **state)
{
    static struct item items[ITEMS];
    uint64_t seed = 0, now = 1000000, last = now;
    for (size_t i = 0; i < ITEMS; i++)
        wheel_timer_init(&items[i].timer);
    for (size_t i = 0; i < ITEMS; i++)
        set(&items[i], now + hash_mix(++seed) % 300000);
    for (int turn = 0; turn < 2000; turn++) {
        struct item *moved = &items[hash_mix(++seed) % ITEMS];
        if (moved->timer.due_ms != 0)
            set(moved, now + hash_mix(++seed) % 300000);
        now += hash_mix(++seed) % 400;
        (void)advance(now);
        for (size_t i = 0; i < ITEMS; i++)
            if (!items[i].is_expired)
                assert_true(items[i].due_ms + WHEEL_TICK_MS > last);
        last = now;
    }
    (void)advance(now + 300000 + WHEEL_TICK_MS);
    for (size_t i = 0; i < ITEMS; i++)
        assert_true(items[i].is_expired);
    assert_int_equal(wheel.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one, setup),
        cmocka_unit_test_setup(test_move, setup),
        cmocka_unit_test_setup(test_far, setup),
        cmocka_unit_test_setup(test_many, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
