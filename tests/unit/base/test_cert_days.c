/* SPDX-License-Identifier: ISC */
/* Days until a certificate ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cert_days.h"
#include "base/cleanup.h"
#include <cmocka.h>

static void test_days(void **state)
{
    static const struct {
        int64_t left_s, days;
    } cases[] = {
        {14 * 86400, 14}, {14 * 86400 - 1, 13}, {86400, 1},   {86399, 0}, {0, 0},
        {-1, -1},         {-86400, -1},         {-86401, -2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(cert_days(1800000000 + cases[i].left_s, 1800000000), cases[i].days);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
