/* SPDX-License-Identifier: ISC */
/* Error codes: stable names and numbers, texts, errno. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

static void test_names(void **state)
{
    for (int i = 1; i < ERR_COUNT; i++) {
        assert_memory_equal(err_name(i), "E_", 2);
        assert_string_equal(err_name(-i), err_name(i));
        assert_string_equal(err_text(-i), err_text(i));
        assert_int_equal(err_from_name(err_name(i)), i); /* no name twice */
        assert_true(strlen(err_text(i)) > 2);
    }
    assert_string_equal(err_name(-ERR_NOT_FOUND), "E_NOT_FOUND");
    assert_string_equal(err_name(0), "OK");
}

static void test_unknown(void **state)
{
    static const int numbers[] = {ERR_COUNT, -ERR_COUNT, 1000000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_string_equal(err_name(numbers[i]), "E_INTERNAL");
    assert_int_equal(err_from_name("E_NONSENSE"), ERR_OK);
    assert_int_equal(err_from_name(""), ERR_OK);
}

/* Functions of other programs know these by their numbers: rows are only ever added at the end. */
static void test_numbers(void **state)
{
    assert_int_equal(ERR_NOMEM, 1);
    assert_int_equal(ERR_NOT_FOUND, 7);
    assert_int_equal(ERR_PERM, 24);
    assert_int_equal(ERR_INTERNAL, 50);
}

static void test_errno(void **state)
{
    assert_int_equal(err_from_errno(0), 0);
    assert_int_equal(err_from_errno(ENOMEM), -ERR_NOMEM);
    assert_int_equal(err_from_errno(ECONNREFUSED), -ERR_REFUSED);
    assert_int_equal(err_from_errno(ECONNRESET), -ERR_CLOSED);
    assert_int_equal(err_from_errno(ENOSPC), -ERR_STORE_FULL);
    assert_int_equal(err_from_errno(EAGAIN), -ERR_AGAIN);
    assert_int_equal(err_from_errno(EBADF), -ERR_IO);
    assert_int_equal(err_from_errno(-1), -ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
