/* SPDX-License-Identifier: ISC */
/* Backend objects over reloads, and the bounded set of those that auth servers name. */
#include "pools_case.h"

#include <pthread.h>

#define DYNAMIC_MAX 4096

static struct backend_registry *make(void)
{
    struct backend_registry *r = NULL;
    assert_int_equal(backend_registry_new(&r), 0);
    return r;
}

static void test_members(void **state)
{
    struct backend_registry *r = make();
    bool is_new = false;
    struct backend *a = backend_registry_get(r, "main", "b1", &is_new);
    assert_true(is_new);
    assert_string_equal(a->pool, "main");
    assert_string_equal(a->name, "b1");
    struct backend *again = backend_registry_get(r, "main", "b1", &is_new);
    assert_false(is_new);
    assert_ptr_equal(a, again);
    struct backend *other = backend_registry_get(r, "mainb", "1", NULL);
    assert_ptr_not_equal(a, other);
    backend_registry_sweep(r); /* all are held */
    assert_ptr_equal(backend_registry_get(r, "main", "b1", &is_new), a);
    assert_false(is_new);
    backend_unref(a);
    backend_unref(a);
    backend_unref(again);
    backend_registry_sweep(r);
    backend_unref(backend_registry_get(r, "main", "b1", &is_new));
    assert_true(is_new);
    backend_registry_free(r); /* what others hold lives on */
    assert_string_equal(other->pool, "mainb");
    backend_unref(other);
    backend_registry_free(NULL);
}

static void test_dynamic_names(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *name;
    } rows[] = {
        {"10.0.0.1", 143, "10.0.0.1:143"},
        {"fd00::1", 143, "[fd00::1]:143"},
        {"mail.test", 110, "mail.test:110"},
        {"unix:/run/x", 143, "unix:/run/x"},
    };
    struct backend_registry *r = make();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct backend *b = backend_registry_dynamic(r, rows[i].host, rows[i].port);
        assert_string_equal(b->name, rows[i].name);
        assert_string_equal(b->pool, "(dynamic)");
        struct backend *again = backend_registry_dynamic(r, rows[i].host, rows[i].port);
        assert_ptr_equal(b, again);
        backend_unref(b);
        backend_unref(again);
    }
    struct backend **all = NULL;
    size_t n = 0;
    assert_int_equal(backend_registry_dynamics(r, &all, &n), 0);
    assert_int_equal(n, ARRAY_LEN(rows));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(all[i]->name, rows[i].name);
        backend_unref(all[i]);
    }
    free(all);
    backend_registry_free(r);
}

static struct backend *dynamic(struct backend_registry *r, unsigned i)
{
    char host[32];
    snprintf(host, sizeof(host), "10.0.%u.%u", i / 256, i % 256);
    return backend_registry_dynamic(r, host, 143);
}

static size_t count(struct backend_registry *r)
{
    struct backend **all = NULL;
    size_t n = 0;
    assert_int_equal(backend_registry_dynamics(r, &all, &n), 0);
    for (size_t i = 0; i < n; i++)
        backend_unref(all[i]);
    free(all);
    return n;
}

/* The one that nobody asked for longest goes, but none in use and none that an operator drained. */
static void test_bound(void **state)
{
    struct backend_registry *r = make();
    struct backend *used = dynamic(r, 0), *drained = dynamic(r, 1);
    backend_set_admin(drained, BACKEND_DRAIN, 1, NULL);
    backend_unref(drained);
    for (unsigned i = 2; i < DYNAMIC_MAX; i++)
        backend_unref(dynamic(r, i));
    struct backend *two = dynamic(r, 2), *three = dynamic(r, 3);
    atomic_store(&two->logins, 77);
    atomic_store(&three->logins, 88);
    backend_unref(two); /* asked for again: now the youngest */
    backend_unref(three);
    assert_int_equal(count(r), DYNAMIC_MAX);
    backend_unref(dynamic(r, 4)); /* exists: nothing has to go */
    assert_int_equal(count(r), DYNAMIC_MAX);
    for (unsigned i = 0; i < DYNAMIC_MAX - 6; i++)
        backend_unref(dynamic(r, DYNAMIC_MAX + i));
    assert_int_equal(count(r), DYNAMIC_MAX);
    struct backend *b = dynamic(r, 0);
    assert_ptr_equal(b, used);
    backend_unref(b);
    b = dynamic(r, 1);
    assert_int_equal(b->admin, BACKEND_DRAIN);
    backend_unref(b);
    b = dynamic(r, 2);
    assert_int_equal(b->logins, 77);
    backend_unref(b);
    backend_unref(used);
    backend_registry_free(r);
}

static void test_all_in_use(void **state)
{
    static struct backend *held[DYNAMIC_MAX];
    struct backend_registry *r = make();
    for (unsigned i = 0; i < DYNAMIC_MAX; i++)
        held[i] = dynamic(r, i);
    assert_null(dynamic(r, DYNAMIC_MAX));
    struct backend *b = dynamic(r, 7);
    assert_ptr_equal(b, held[7]);
    backend_unref(b);
    backend_unref(held[9]);
    held[9] = dynamic(r, DYNAMIC_MAX);
    assert_non_null(held[9]);
    for (unsigned i = 0; i < DYNAMIC_MAX; i++)
        backend_unref(held[i]);
    backend_registry_free(r);
}

static void *run(void *arg)
{
    for (unsigned i = 0; i < 3 * DYNAMIC_MAX; i++) {
        struct backend *b = dynamic(arg, i * 7 % (2 * DYNAMIC_MAX));
        assert_non_null(b);
        assert_string_equal(b->pool, "(dynamic)");
        backend_unref(b);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct backend_registry *r = make();
    pthread_t threads[3];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, r), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(count(r), DYNAMIC_MAX);
    backend_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members), cmocka_unit_test(test_dynamic_names),
        cmocka_unit_test(test_bound),   cmocka_unit_test(test_all_in_use),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
