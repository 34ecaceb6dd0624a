/* SPDX-License-Identifier: ISC */
/* The hash map against a plain array: insert, replace, remove, iterate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/container/map.h"
#include "base/hash.h"

static void test_empty(void **state)
{
    struct map m = {0};
    size_t pos = 0;
    assert_null(map_get(&m, STR("x")));
    assert_null(map_del(&m, STR("x")));
    assert_false(map_next(&m, &pos, NULL, NULL));
    map_fini(&m);
}

static void test_keys(void **state)
{
    struct map m = {0};
    int a, b, c;
    void *old = &a;
    assert_int_equal(map_put(&m, STR("k"), &a, &old), 0);
    assert_null(old);
    assert_int_equal(map_put(&m, STR("k"), &b, &old), 0);
    assert_ptr_equal(old, &a);
    assert_int_equal(m.count, 1);
    /* keys are bytes: a NUL counts, so does nothing at all */
    assert_int_equal(map_put(&m, STR("k\0x"), &a, NULL), 0);
    assert_int_equal(map_put(&m, STR_NULL, &c, NULL), 0);
    assert_ptr_equal(map_get(&m, STR("k")), &b);
    assert_ptr_equal(map_get(&m, STR("k\0x")), &a);
    assert_ptr_equal(map_get(&m, STR("")), &c);
    assert_null(map_get(&m, STR("K")));
    uint64_t id = 7, other = 8;
    assert_int_equal(map_put(&m, map_key_u64(&id), &a, NULL), 0);
    assert_ptr_equal(map_get(&m, map_key_u64(&id)), &a);
    assert_null(map_get(&m, map_key_u64(&other)));
    assert_ptr_equal(map_del(&m, STR("")), &c);
    assert_null(map_get(&m, STR("")));
    map_fini(&m);
}

#define KEYS 500

/* Changes drawn by a fixed generator; an array knows what has to be there. */
static void test_many(void **state)
{
    struct map m = {0};
    static int values[KEYS];
    bool is_in[KEYS] = {false};
    size_t count = 0;
    for (uint64_t turn = 1; turn < 20000; turn++) {
        size_t i = hash_mix(turn) % KEYS;
        char key[16];
        snprintf(key, sizeof(key), "key-%zu", i);
        if (hash_mix(turn ^ 0x5555) % 5 < 3) {
            void *old;
            assert_int_equal(map_put(&m, str_of(key), &values[i], &old), 0);
            assert_ptr_equal(old, is_in[i] ? &values[i] : NULL);
            count += !is_in[i];
            is_in[i] = true;
        } else {
            assert_ptr_equal(map_del(&m, str_of(key)), is_in[i] ? &values[i] : NULL);
            count -= is_in[i];
            is_in[i] = false;
        }
        assert_int_equal(m.count, count);
    }
    size_t pos = 0, seen = 0;
    struct str key;
    void *value;
    bool was_seen[KEYS] = {false};
    while (map_next(&m, &pos, &key, &value)) {
        size_t i = (size_t)((int *)value - values);
        assert_true(is_in[i] && !was_seen[i]);
        assert_ptr_equal(map_get(&m, key), value);
        was_seen[i] = true;
        seen++;
    }
    assert_int_equal(seen, count);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
