/* SPDX-License-Identifier: ISC */
/* Lists of routes: copies that stand alone, comparison, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/routes.h"
#include "proto/registry/registry.h"

static void test_copy(void **state)
{
    char domain[] = "example.org", pool[] = "main";
    const struct config_route v[] = {
        {.domain = domain, .pool = pool},
        {.user = "a*", .listener = "imap", .proto = proto_get(PROTO_IMAP), .pool = "two"},
    };
    struct routes *r = NULL;
    assert_int_equal(routes_new(v, 2, &r), 0);
    assert_true(routes_are_equal(r->v, r->n, v, 2));
    domain[0] = 'x';
    pool[0] = 'x';
    assert_string_equal(r->v[0].domain, "example.org");
    assert_string_equal(r->v[0].pool, "main");
    assert_false(routes_are_equal(r->v, r->n, v, 2));
    assert_true(routes_are_equal(r->v + 1, 1, v + 1, 1));
    assert_false(routes_are_equal(r->v, 1, v, 2));
    assert_ptr_equal(routes_ref(r), r);
    routes_unref(r);
    routes_unref(r);
    routes_unref(NULL);
    assert_null(routes_ref(NULL));
    assert_int_equal(routes_new(NULL, 0, &r), 0);
    assert_int_equal(r->n, 0);
    assert_true(routes_are_equal(r->v, 0, NULL, 0));
    routes_unref(r);
}

/* A condition that is not there is not the same as one that is. */
static void test_differences(void **state)
{
    const struct config_route base = {.pool = "main"};
    const struct config_route others[] = {
        {.pool = "two"},
        {.pool = "main", .domain = "d"},
        {.pool = "main", .user = "u"},
        {.pool = "main", .listener = "l"},
        {.pool = "main", .proto = proto_get(PROTO_POP3)},
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(routes_are_equal(&base, 1, &others[i], 1));
}

static void test_print(void **state)
{
    AUTO_BUF text = BUF_INIT;
    const struct config_route all = {.pool = "main"};
    const struct config_route one = {.domain = "d",
                                     .user = "u*",
                                     .listener = "l",
                                     .proto = proto_get(PROTO_SMTP),
                                     .pool = "main"};
    assert_int_equal(route_print(&all, &text), 0);
    assert_int_equal(text.len, 0);
    assert_int_equal(route_print(&one, &text), 0);
    assert_string_equal(buf_cstr(&text), "domain=d user=u* listener=l protocol=smtp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
