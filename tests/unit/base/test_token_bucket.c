/* SPDX-License-Identifier: ISC */
/* So many a second: evenly, no bursts, nothing lost. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/cleanup.h"
#include "base/token_bucket.h"

static void test_rates(void **state)
{
    static const struct {
        uint64_t rate, tick_ms, ticks;
        size_t sum;
        uint64_t per;
    } rows[] = {
        {50, 250, 40, 500, 0},    {1, 250, 40, 10, 0},   {1, 250, 3, 0, 0},   {3, 333, 30, 29, 0},
        {1000, 10, 100, 1000, 0}, {50, 250, 40, 5, 100}, {7, 250, 40, 5, 14}, {1, 250, 39, 0, 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct token_bucket p = {.rate = rows[i].rate, .per = rows[i].per, .at_ms = 5000};
        size_t sum = 0;
        for (uint64_t t = 1; t <= rows[i].ticks; t++)
            sum += token_bucket_take(&p, 5000 + t * rows[i].tick_ms);
        assert_int_equal(sum, rows[i].sum);
    }
}

static void test_no_burst(void **state)
{
    struct token_bucket p = {.rate = 10};
    assert_int_equal(token_bucket_take(&p, 3600 * 1000), 2);
    assert_int_equal(token_bucket_take(&p, 3600 * 1000), 0);
    assert_int_equal(token_bucket_take(&p, 3600 * 1000 + 50), 1);
}

static void test_slow_rate_after_a_pause(void **state)
{
    struct token_bucket p = {.rate = 1};
    assert_int_equal(token_bucket_take(&p, 3600 * 1000), 1);
    assert_int_equal(token_bucket_take(&p, 3600 * 1000 + 999), 0);
    assert_int_equal(token_bucket_take(&p, 3600 * 1000 + 1000), 1);
}

static void test_without_rate(void **state)
{
    struct token_bucket p = {0};
    assert_int_equal(token_bucket_take(&p, 1), TOKEN_BUCKET_AT_ONCE);
    assert_int_equal(token_bucket_time(&p, 1000), 0);
    p.rate = 50;
    assert_int_equal(token_bucket_time(&p, 1000), 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_no_burst),
        cmocka_unit_test(test_slow_rate_after_a_pause),
        cmocka_unit_test(test_without_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
