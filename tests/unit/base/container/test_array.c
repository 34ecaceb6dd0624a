/* SPDX-License-Identifier: ISC */
/* Arrays that grow: what was there stays, and there is always room for one more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/container/array.h"

static void test_growing(void **state)
{
    size_t *v = NULL, n = 0, cap = 0, grown = 0;
    while (n < 1000) {
        size_t before = cap;
        assert_true(ARRAY_ROOM(v, n, cap));
        assert_true(n < cap);
        grown += cap != before;
        v[n] = n;
        n++;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(v[i], i);
    assert_int_equal(grown, 7); /* 16, 32, ... 1024: doubled, not by one */
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_growing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
