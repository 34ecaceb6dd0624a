/* SPDX-License-Identifier: ISC */
/* Windows of a minute and of ten over totals that only grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/history/windows.h"

/* A login a second, of which every fifth fails. */
static void live(struct windows *w, struct window_counts *now, uint64_t from, uint64_t to)
{
    for (uint64_t second = from; second < to; second++) {
        windows_take(w, now, second);
        now->logins += second % 5 != 0;
        now->failures += second % 5 == 0;
    }
}

static uint32_t seen(const struct windows *w, enum window which, const struct window_counts *now)
{
    struct window_counts c;
    windows_get(w, which, now, &c);
    return c.logins + c.failures;
}

static void test_windows(void **state)
{
    struct windows *w = calloc(1, sizeof(*w));
    struct window_counts now = {.logins = 5}; /* before the first copy */
    assert_non_null(w);
    assert_int_equal(seen(w, WINDOW_MINUTE, &now), 5);
    live(w, &now, 0, 30);
    assert_int_equal(seen(w, WINDOW_MINUTE, &now), 35);
    assert_int_equal(seen(w, WINDOW_TEN_MINUTES, &now), 35);
    for (uint64_t second = 30; second < 3000; second++) {
        live(w, &now, second, second + 1);
        uint32_t minute = seen(w, WINDOW_MINUTE, &now);
        uint32_t ten = seen(w, WINDOW_TEN_MINUTES, &now);
        assert_in_range(minute, second < 60 ? second : 60, 70);
        assert_in_range(ten, second < 600 ? second : 600, 655);
    }
    struct window_counts c;
    windows_get(w, WINDOW_TEN_MINUTES, &now, &c);
    assert_int_equal(window_fail_percent(&c), 20);
    free(w);
}

/* What happened before the first copy is no older than the window; what happened before anybody
 * looked is left out. */
static void test_begin(void **state)
{
    struct windows *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->base.logins = 100;
    struct window_counts now = {.logins = 103};
    windows_take(w, &now, 0);
    now.logins += 2;
    assert_int_equal(seen(w, WINDOW_MINUTE, &now), 5);
    assert_int_equal(seen(w, WINDOW_TEN_MINUTES, &now), 5);
    free(w);
}

/* What is over is seen no more: a slow minute does not stay slow. */
static void test_forgets(void **state)
{
    struct windows *w = calloc(1, sizeof(*w));
    struct window_counts now = {0};
    assert_non_null(w);
    for (uint64_t second = 0; second < 200; second++) {
        windows_take(w, &now, second);
        now.login.n[second < 100 ? 40 : 10]++;
    }
    struct window_counts c;
    windows_get(w, WINDOW_MINUTE, &now, &c);
    assert_int_equal(c.login.n[40], 0);
    windows_get(w, WINDOW_TEN_MINUTES, &now, &c);
    assert_int_equal(c.login.n[40], 100);
    free(w);
}

static void test_fail_percent(void **state)
{
    const struct {
        uint32_t logins, failures;
        unsigned percent;
    } rows[] = {{0, 0, 0},  {10, 0, 0},  {999, 1, 1},
                {1, 1, 50}, {0, 7, 100}, {UINT32_MAX, UINT32_MAX, 50}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct window_counts c = {.logins = rows[i].logins, .failures = rows[i].failures};
        assert_int_equal(window_fail_percent(&c), rows[i].percent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_fail_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
