/* SPDX-License-Identifier: ISC */
/* The table of items against a plain array, while it grows and shrinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/container/table.h"
#include "base/hash.h"

struct item {
    uint64_t number;
    bool is_in;
};

static struct str item_key(const void *item)
{
    const struct item *i = item;
    return str_n((const char *)&i->number, sizeof(i->number));
}

/* For the next call. */
static const struct hashed_key *key_of(const struct item *i)
{
    static struct hashed_key key;
    key = hashed_key_of(item_key(i));
    return &key;
}

#define ITEMS 5000
static struct item items[ITEMS];

static int setup(void **state)
{
    for (uint64_t i = 0; i < ITEMS; i++)
        items[i] = (struct item){.number = i};
    return 0;
}

static void expect_all(const struct table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(table_get(t, key_of(&items[i])), items[i].is_in ? &items[i] : NULL);
        n += items[i].is_in;
    }
    assert_int_equal(t->count, n);
}

static void put(struct table *t, struct item *i)
{
    assert_int_equal(table_add(t, key_of(i), i), 0);
    i->is_in = true;
}

static void take(struct table *t, struct item *i)
{
    assert_ptr_equal(table_del(t, key_of(i)), i->is_in ? i : NULL);
    i->is_in = false;
}

static void test_empty(void **state)
{
    struct table t = {.key = item_key};
    expect_all(&t);
    assert_null(table_del(&t, key_of(&items[0])));
    put(&t, &items[7]);
    expect_all(&t);
    assert_null(table_del(&t, key_of(&items[8])));
    take(&t, &items[7]);
    expect_all(&t);
    assert_int_equal(t.slots.cap, 16); /* ready for the next one, but no more than that */
    table_fini(&t);
}

/* Every size on the way up and down, looked at again and again. */
static void test_sizes(void **state)
{
    struct table t = {.key = item_key};
    for (size_t i = 0; i < ITEMS; i++) {
        put(&t, &items[i]);
        if (i % 97 == 0)
            expect_all(&t);
    }
    expect_all(&t);
    for (size_t i = 0; i < ITEMS; i++) {
        take(&t, &items[i * 7 % ITEMS]);
        if (i % 97 == 0)
            expect_all(&t);
    }
    assert_int_equal(t.count, 0);
    table_fini(&t);
}

/* Changes drawn by a fixed generator, more coming than going, then the other way round. */
static void test_many(void **state)
{
    struct table t = {.key = item_key};
    for (uint64_t step = 1; step <= 60000; step++) {
        uint64_t r = hash_mix(step);
        struct item *i = &items[(r >> 8) % ITEMS];
        bool is_growing = step % 20000 < 10000;
        if (i->is_in ? r % 4 == 0 || !is_growing : r % 4 != 0 && is_growing)
            i->is_in ? take(&t, i) : put(&t, i);
        assert_ptr_equal(table_get(&t, key_of(i)), i->is_in ? i : NULL);
        if (step % 1000 == 0)
            expect_all(&t);
    }
    size_t cap = t.slots.cap;
    assert_true(cap <= 16 * (t.count + 16)); /* what came and went holds no memory */
    table_fini(&t);
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, setup),
        cmocka_unit_test_setup(test_sizes, setup),
        cmocka_unit_test_setup(test_many, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
