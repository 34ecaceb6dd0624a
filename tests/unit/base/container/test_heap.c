/* SPDX-License-Identifier: ISC */
/* A heap hands out its elements in order, whichever way it came to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/container/heap.h"

#define MOST 300

/* Longer than what is swapped at once. */
struct element {
    int key;
    char rest[100];
    int same; /* as key */
};

static struct element v[MOST];

static bool is_above(const void *x, const void *y, const void *arg)
{
    const struct element *a = x, *b = y;
    return *(const bool *)arg ? a->key < b->key : a->key > b->key;
}

static bool is_lowest_first;
static struct heap heap = {
    .v = v, .size = sizeof(v[0]), .is_above = is_above, .arg = &is_lowest_first};

static struct element element(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    int key = (int)(*seed >> 16) % 100; /* many are alike */
    return (struct element){.key = key, .same = key};
}

/* Takes all out; what came before stands above or level. */
static void assert_in_order(size_t n)
{
    int before = v[0].key;
    assert_int_equal(heap.n, n);
    while (heap.n > 0) {
        struct element top = v[0];
        assert_int_equal(top.key, top.same);
        assert_true(is_lowest_first ? top.key >= before : top.key <= before);
        before = top.key;
        heap_swap(&heap, 0, --heap.n);
        heap_sift_down(&heap, 0);
    }
}

static void test_one_by_one(void **state)
{
    for (size_t n = 0; n < MOST; n += 7) {
        unsigned seed = (unsigned)n;
        is_lowest_first = n % 2;
        heap.n = 0;
        for (size_t i = 0; i < n; i++) {
            v[heap.n++] = element(&seed);
            heap_sift_up(&heap, i);
        }
        assert_in_order(n);
    }
}

static void test_all_at_once(void **state)
{
    for (size_t n = 0; n < MOST; n += 7) {
        unsigned seed = (unsigned)n;
        is_lowest_first = n % 2;
        for (heap.n = 0; heap.n < n; heap.n++)
            v[heap.n] = element(&seed);
        heap_make(&heap);
        assert_in_order(n);
    }
}

/* The best of many in a bounded heap: the worst of those kept is on top and makes room. */
static void test_bounded(void **state)
{
    int all[MOST];
    unsigned seed = 5;
    is_lowest_first = true;
    heap.n = 0;
    for (size_t i = 0; i < MOST; i++) {
        struct element e = element(&seed);
        all[i] = e.key;
        if (heap.n < 20) {
            v[heap.n++] = e;
            heap_sift_up(&heap, heap.n - 1);
        } else if (e.key > v[0].key) {
            v[0] = e;
            heap_sift_down(&heap, 0);
        }
    }
    size_t n_above = 0;
    for (size_t i = 0; i < MOST; i++)
        n_above += all[i] > v[0].key;
    assert_true(n_above < 20); /* none of those is missing */
    assert_in_order(20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
