/* SPDX-License-Identifier: ISC */
/* Which backends are slow beside the others of their pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "control/backend/latency_row.h"

static void expect(const char *rows_text, const char *const *slow)
{
    json_t *rows = json_loads(rows_text, 0, NULL);
    assert_non_null(rows);
    latency_mark_slow(rows);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(rows, i), "slow"));
        if (slow[i])
            assert_string_equal(text, slow[i]);
        else
            assert_null(text);
    }
    json_decref(rows);
}

static void test_slow(void **state)
{
    /* Three times the median, but under 200 ms; over 200 ms, but not three times; both. */
    expect("[{\"pool\":\"a\",\"p95\":10},{\"pool\":\"a\",\"p95\":12},{\"pool\":\"a\",\"p95\":200},"
           "{\"pool\":\"b\",\"p95\":100},{\"pool\":\"b\",\"p95\":300},"
           "{\"pool\":\"c\",\"p95\":10},{\"pool\":\"c\"},{\"pool\":\"c\",\"p95\":201}]",
           (const char *const[]){NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                 "201 ms, the pool's median 10 ms"});
    /* Alone, or all alike, nobody is. */
    expect(
        "[{\"pool\":\"a\",\"p95\":9000},{\"pool\":\"b\",\"p95\":900},{\"pool\":\"b\",\"p95\":950}]",
        (const char *const[]){NULL, NULL, NULL});
    expect("[{\"pool\":\"a\",\"p95\":9},{\"pool\":\"a\",\"p95\":17917},{\"pool\":\"a\",\"p95\":9}]",
           (const char *const[]){NULL, "17 s, the pool's median 9 ms", NULL});
    expect("[]", NULL);
    expect("[{\"pool\":\"a\"}]", (const char *const[]){NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
