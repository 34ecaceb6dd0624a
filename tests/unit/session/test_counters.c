/* SPDX-License-Identifier: ISC */
/* Counters and histograms: sums, bounds of buckets, names after Prometheus' conventions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "session/counters.h"

static struct counters counters;

static int begin(void **state)
{
    memset(&counters, 0, sizeof(counters));
    return 0;
}

static void test_sums(void **state)
{
    counter_add(&counters, PROTO_IMAP, COUNTER_SESSIONS, 3);
    counter_add(&counters, PROTO_SMTP, COUNTER_SESSIONS, 2);
    counter_add(&counters, PROTO_IMAP, COUNTER_SESSIONS, -1);
    assert_int_equal(counter_get(&counters, PROTO_IMAP, COUNTER_SESSIONS), 2);
    assert_int_equal(counter_total(&counters, COUNTER_SESSIONS), 4);
    assert_int_equal(counter_total(&counters, COUNTER_LOGINS), 0);
}

static uint64_t bucket(enum histogram which, unsigned i)
{
    return histogram_bucket(&counters.histograms[PROTO_IMAP][which], i);
}

/* A bound belongs to its bucket: "le" means less or equal. */
static void test_buckets(void **state)
{
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = histogram_bound_us(i);
        assert_true(bound < histogram_bound_us(i + 1));
        counter_observe(&counters, PROTO_IMAP, HISTOGRAM_LOGIN, bound);
        assert_int_equal(bucket(HISTOGRAM_LOGIN, i), i == 0 ? 1 : 2);
        counter_observe(&counters, PROTO_IMAP, HISTOGRAM_LOGIN, bound + 1);
        assert_int_equal(bucket(HISTOGRAM_LOGIN, i + 1), 1);
    }
    assert_true(histogram_bound_us(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    counter_observe(&counters, PROTO_IMAP, HISTOGRAM_BACKEND_LOGIN, UINT64_MAX);
    assert_int_equal(bucket(HISTOGRAM_BACKEND_LOGIN, HISTOGRAM_BUCKETS - 1), 1);
    assert_int_equal(bucket(HISTOGRAM_BACKEND_LOGIN, 0), 0);
}

static void test_sum_of_durations(void **state)
{
    counter_observe(&counters, PROTO_POP3, HISTOGRAM_LOGIN, 1500);
    counter_observe(&counters, PROTO_POP3, HISTOGRAM_LOGIN, 2500);
    assert_int_equal(atomic_load(&counters.histograms[PROTO_POP3][HISTOGRAM_LOGIN].sum_us), 4000);
    assert_int_equal(atomic_load(&counters.histograms[PROTO_IMAP][HISTOGRAM_LOGIN].sum_us), 0);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

static void test_names(void **state)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        bool is_counter = counter_type(i) == COUNTER_IS_COUNTER;
        assert_int_equal(ends_with(counter_name(i), "_total"), is_counter);
        assert_true(str_is_prefix(str_of(counter_name(i)), STR("mailproxy_")));
        assert_true(strlen(counter_help(i)) > 0);
    }
    for (int i = 0; i < HISTOGRAM_COUNT; i++)
        assert_true(ends_with(histogram_name(i), "_seconds"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sums, begin),
        cmocka_unit_test_setup(test_buckets, begin),
        cmocka_unit_test_setup(test_sum_of_durations, begin),
        cmocka_unit_test_setup(test_names, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
