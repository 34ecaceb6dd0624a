/* SPDX-License-Identifier: ISC */
/* Was a node away for longer than removals are remembered? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/container/list.h"
#include "fleet/user_mark.h"

static void test_judge(void **state)
{
    static const struct {
        struct user_mark last, now;
        enum user_lateness is;
    } cases[] = {
        {{"", 0, 0}, {"a", 9, 90 * USER_DAY_MS}, USER_IN_TIME}, /* a new node */
        {{"a", 5, 1}, {"a", 9, USER_LATE_MS}, USER_IN_TIME},
        {{"a", 5, 1}, {"a", 9, USER_LATE_MS + 1}, USER_LATE},
        {{"a", 5, 1}, {"a", 5, USER_LATE_MS + 1}, USER_LATE},
        {{"a", 5, 1}, {"a", 4, USER_LATE_MS + 1}, USER_LATE_OTHER}, /* it has lost some */
        {{"a", 5, 1}, {"b", 9, USER_LATE_MS + 1}, USER_LATE_OTHER},
        {{"a", 5, 1}, {"b", 9, 2}, USER_IN_TIME},
        {{"a", 5, 2 * USER_LATE_MS}, {"a", 9, 1}, USER_IN_TIME}, /* the clock was set back */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (user_mark_judge(&cases[i].last, &cases[i].now) != cases[i].is)
            fail_msg("case %zu", i);
    assert_true(USER_LATE_MS + USER_DAY_MS < USER_REMOVALS_KEPT_MS); /* for clocks that differ */
}

static void test_text(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "{}",
                                      "{\"epoch\":\"a\",\"number\":-1,\"at\":1}",
                                      "{\"epoch\":\"a\",\"number\":1,\"at\":0}",
                                      "{\"epoch\":7,\"number\":1,\"at\":1}",
                                      "{\"epoch\":\"0123456789012345678901234567890123456789\","
                                      "\"number\":1,\"at\":1}"};
    const struct user_mark m = {.epoch = "e1", .number = 7, .at_ms = 123456789012345};
    struct user_mark read = {.number = 1};
    char *text = user_mark_text(&m);
    assert_non_null(text);
    assert_int_equal(user_mark_read(text, &read), 0);
    assert_string_equal(read.epoch, "e1");
    assert_int_equal(read.number, 7);
    assert_int_equal(read.at_ms, m.at_ms);
    free(text);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(user_mark_read(bad[i], &read), -ERR_SYNTAX);
    assert_int_equal(read.number, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_judge), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
