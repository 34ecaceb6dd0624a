/* SPDX-License-Identifier: ISC */
/* Blocks that are kept: each has one owner at a time, and there are no more of them than was said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/container/free_list.h"

#define BLOCK 1500

static void test_taken_again(void **state)
{
    struct free_list s;
    free_list_init(&s, BLOCK, 2);
    char *p = free_list_take(&s), *q = free_list_take(&s);
    assert_ptr_not_equal(p, q);
    memset(p, 'x', BLOCK);
    memset(q, 'y', BLOCK);
    free_list_give(&s, p);
    size_t n_kept = s.n; /* none under AddressSanitizer */
    p = free_list_take(&s);
    assert_int_equal(s.n, 0);
    memset(p, 'x', BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        assert_int_equal(q[i], 'y');
    free_list_give(&s, p);
    assert_int_equal(s.n, n_kept);
    free_list_give(&s, NULL);
    assert_int_equal(s.n, n_kept);
    free_list_give(&s, q);
    free_list_fini(&s);
}

static void test_no_more_than_that(void **state)
{
    struct free_list s;
    void *blocks[5];
    free_list_init(&s, BLOCK, 2);
    for (size_t i = 0; i < 5; i++)
        assert_non_null(blocks[i] = free_list_take(&s));
    for (size_t i = 0; i < 5; i++)
        free_list_give(&s, blocks[i]);
    assert_true(s.n <= 2 && s.n == s.max);
    free_list_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_again),
        cmocka_unit_test(test_no_more_than_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
