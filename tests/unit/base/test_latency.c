/* SPDX-License-Identifier: ISC */
/* Buckets of durations: bounds, percentiles, differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/latency.h"

static struct latency_counts counts_of(const struct latency *l)
{
    struct latency_counts c = {{0}};
    latency_add(&c, l);
    return c;
}

/* A bound belongs to its bucket, and the next µs to the next one. */
static void test_bounds(void **state)
{
    for (unsigned i = 0; i + 1 < LATENCY_BUCKETS; i++) {
        struct latency l = {0};
        uint64_t bound = latency_bound_us(i);
        assert_true(bound < latency_bound_us(i + 1));
        latency_note(&l, bound);
        latency_note_owned(&l, bound + 1);
        assert_int_equal(l.n[i], 1);
        assert_int_equal(l.n[i + 1], 1);
        assert_int_equal(l.sum_us, 2 * bound + 1);
    }
    struct latency l = {0};
    latency_note(&l, 0);
    latency_note(&l, UINT64_MAX);
    assert_int_equal(l.n[0], 1);
    assert_int_equal(l.n[LATENCY_BUCKETS - 1], 1);
    assert_true(latency_bound_us(LATENCY_BUCKETS - 1) == UINT64_MAX);
}

static void test_percentiles(void **state)
{
    struct latency l = {0};
    struct latency_counts none = {{0}};
    assert_int_equal(latency_percentile_us(&none, 99), 0);
    for (int i = 0; i < 90; i++)
        latency_note(&l, 1000 + (uint64_t)i);
    for (int i = 0; i < 10; i++)
        latency_note(&l, 400000);
    struct latency_counts c = counts_of(&l);
    assert_int_equal(latency_total(&c), 100);
    assert_in_range(latency_percentile_us(&c, 50), 1000, 1500);
    assert_in_range(latency_percentile_us(&c, 90), 1000, 1500);
    assert_in_range(latency_percentile_us(&c, 91), 300000, 400000);
    assert_in_range(latency_percentile_us(&c, 99), 390000, 400000);
    assert_int_equal(latency_percentile_us(&c, 100), 400000);
    latency_note(&l, 3600000000); /* beyond all bounds */
    c = counts_of(&l);
    assert_int_equal(latency_percentile_us(&c, 100), 60000000);
}

static void test_difference(void **state)
{
    struct latency l = {0};
    for (int i = 0; i < 1000; i++)
        latency_note(&l, 500000);
    struct latency_counts before = counts_of(&l);
    latency_note(&l, 2000);
    struct latency_counts c = counts_of(&l);
    latency_subtract(&c, &before);
    assert_int_equal(latency_total(&c), 1);
    assert_int_equal(latency_percentile_us(&c, 99), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
