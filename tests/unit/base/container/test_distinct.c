/* SPDX-License-Identifier: ISC */
/* Estimates of how many different things there were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/container/distinct.h"
#include "base/hash.h"

static unsigned count_of(unsigned n, uint64_t seed)
{
    struct distinct d = {0};
    for (unsigned round = 0; round < 3; round++) /* the same things again change nothing */
        for (unsigned i = 0; i < n; i++)
            (void)distinct_add(&d, (uint32_t)hash_mix(seed + i));
    return distinct_count(&d);
}

static void test_estimates(void **state)
{
    assert_int_equal(count_of(0, 1), 0);
    for (unsigned n = 1; n <= DISTINCT_EXACT; n++)
        for (uint64_t seed = 0; seed < 100; seed++)
            assert_int_equal(count_of(n, seed << 32), n);
    static const unsigned sizes[] = {5, 20, 50, 100, 200, 500};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned sum = 0, n = sizes[i];
        for (uint64_t seed = 0; seed < 50; seed++)
            sum += count_of(n, seed << 32);
        assert_in_range(sum / 50, n - n / 10 - 1, n + n / 10 + 1);
    }
    assert_in_range(count_of(1000000, 7), 1500, 1600);
}

static void test_new_and_full(void **state)
{
    struct distinct d = {0};
    assert_true(distinct_add(&d, 77));
    assert_false(distinct_add(&d, 77));
    assert_true(distinct_add(&d, 78));
    assert_false(distinct_is_full(&d));
    for (unsigned i = 0; i < DISTINCT_BITS; i++)
        (void)distinct_add(&d, i);
    assert_true(distinct_is_full(&d));
    assert_false(distinct_add(&d, (uint32_t)hash_mix(99)));
}

/* What two have seen counts once, whether they are few or many. */
static void test_together(void **state)
{
    static const unsigned sizes[] = {1, 5, 8, 20, 100};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct distinct a = {0}, b = {0};
        struct distinct_bits of_b = {0}, both = {0};
        unsigned n = sizes[i];
        for (unsigned k = 0; k < n; k++) {
            (void)distinct_add(&a, (uint32_t)hash_mix(k));
            (void)distinct_add(&b, (uint32_t)hash_mix(k + n / 2));
        }
        assert_int_equal(distinct_count_with(&a, NULL), distinct_count(&a));
        assert_true(distinct_bits_is_empty(&of_b));
        assert_int_equal(distinct_count_with(&a, &of_b), distinct_count(&a));
        distinct_bits_add(&of_b, &b);
        assert_false(distinct_bits_is_empty(&of_b));
        unsigned all = n + n / 2;
        assert_in_range(distinct_count_with(&a, &of_b), all - all / 6 - 1, all + all / 6 + 1);
        distinct_bits_add(&both, &a);
        distinct_bits_merge(&both, &of_b);
        assert_int_equal(distinct_count_with(&b, &both), distinct_count_with(&a, &of_b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates),
        cmocka_unit_test(test_new_and_full),
        cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
