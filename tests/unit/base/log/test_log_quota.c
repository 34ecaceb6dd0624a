/* SPDX-License-Identifier: ISC */
/* Quotas of log lines: per address, in all, counts of what was left out, and a flood of addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/log/log_quota.h"

#define MINUTE_MS 60000

static struct log_quota *quota;
static struct log_quota_max max;
static uint64_t now_ms;

static int setup(void **state)
{
    max = (struct log_quota_max){.per_address = 3};
    now_ms = 1000000;
    return log_quota_new(&quota);
}

static int teardown(void **state)
{
    log_quota_free(quota);
    return 0;
}

static bool take(const char *from, bool is_login)
{
    struct addr a;
    assert_int_equal(addr_parse(str_of(from), &a), 0);
    return log_quota_take(quota, &a, is_login, &max, now_ms);
}

static char told[4096];
static size_t n_told;

static void on_told(void *arg, const struct log_quota_report *r)
{
    char ip[ADDR_TEXT_MAX] = "all";
    size_t n = strlen(told);
    (void)arg;
    n_told++;
    if (r->addr)
        addr_format_ip(ip, r->addr);
    snprintf(told + n, sizeof(told) - n, "%s %llu %llu;", ip, (unsigned long long)r->lines,
             (unsigned long long)r->logins);
}

static const char *tell(bool is_end)
{
    told[0] = '\0';
    n_told = 0;
    log_quota_tell(quota, is_end, now_ms, on_told, NULL);
    return told;
}

static void test_address(void **state)
{
    for (int i = 0; i < 3; i++)
        assert_true(take("192.0.2.1", true));
    assert_false(take("192.0.2.1", true));
    assert_false(take("192.0.2.1:99", false));
    assert_true(take("192.0.2.2", true));
    assert_string_equal(tell(false), ""); /* more may come */
    now_ms += MINUTE_MS;
    assert_true(take("192.0.2.1", true)); /* a new minute; what was left out is told all the same */
    assert_string_equal(tell(false), "192.0.2.1 2 1;");
    assert_string_equal(tell(false), "");
    assert_int_equal(log_quota_left_out(quota), 2);
}

static void test_v6_counts_by_64(void **state)
{
    assert_true(take("2001:db8::1", true));
    assert_true(take("2001:db8::2", true));
    assert_true(take("2001:db8::3", true));
    assert_false(take("2001:db8::4", true));
    assert_true(take("2001:db8:0:1::4", true));
    assert_string_equal(tell(true), "2001:db8:: 1 1;");
}

static void test_total(void **state)
{
    max.total = 5;
    unsigned written = 0;
    char ip[32];
    for (int i = 0; i < 100; i++) {
        snprintf(ip, sizeof(ip), "192.0.2.%d", i);
        written += take(ip, true);
    }
    assert_int_equal(written, 5);
    now_ms += MINUTE_MS;
    assert_string_equal(tell(false), "all 95 95;");
    assert_true(take("192.0.2.77", true));
}

static void test_off(void **state)
{
    max = (struct log_quota_max){0};
    for (int i = 0; i < 10000; i++)
        assert_true(take("192.0.2.1", false));
    assert_string_equal(tell(true), "");
}

/* Each of a million addresses writes a line: what bounds them is the total; nobody's count of what
 * was left out is lost for them. */
static void test_flood_of_addresses(void **state)
{
    for (int i = 0; i < 10; i++)
        (void)take("192.0.2.1", true);
    max.total = 1000;
    unsigned written = 0;
    struct addr a;
    assert_int_equal(addr_parse(STR("10.0.0.0"), &a), 0);
    for (uint32_t i = 0; i < 1000000; i++) {
        memcpy(a.ip + 12, &i, 4);
        written += log_quota_take(quota, &a, true, &max, now_ms);
    }
    assert_int_equal(written, 1000);
    now_ms += MINUTE_MS;
    assert_non_null(strstr(tell(false), "192.0.2.1 7 7;"));
    assert_true(n_told == 2);
}

static void *flood_thread(void *arg)
{
    unsigned *written = arg;
    struct addr a;
    assert_int_equal(addr_parse(STR("10.0.0.1"), &a), 0);
    for (int i = 0; i < 50000; i++)
        *written += log_quota_take(quota, &a, true, &max, now_ms);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    unsigned written[4] = {0}, sum = 0;
    max.per_address = 1000;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, flood_thread, &written[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += written[i];
    }
    assert_int_equal(sum, 1000);
    assert_string_equal(tell(true), "10.0.0.1 199000 199000;");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_address), T(test_v6_counts_by_64),    T(test_total),
        T(test_off),     T(test_flood_of_addresses), T(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
