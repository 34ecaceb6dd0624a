/* SPDX-License-Identifier: ISC */
/* Commands about the same, and their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/str.h"
#include "fleet/commands/fleet_order.h"

static json_t *message(const char *text)
{
    json_t *m = json_loads(text, 0, NULL);
    assert_non_null(m);
    return m;
}

static void test_meets(void **state)
{
    static const struct {
        const char *a, *b;
        bool meets;
    } rows[] = {
        {"{'method': 'user.lock', 'params': {'name': 'a'}}",
         "{'method': 'user.unlock', 'params': {'name': 'a'}}", true},
        {"{'method': 'user.lock', 'params': {'name': 'a'}}",
         "{'method': 'user.unlock', 'params': {'name': 'b'}}", false},
        {"{'method': 'user.remove', 'params': {'name': ['b', 'a']}}",
         "{'method': 'user.lock', 'params': {'name': 'a'}}", true},
        {"{'method': 'user.remove', 'params': {'name': ['b', 'a']}}",
         "{'method': 'user.remove', 'params': {'name': ['c', 'd']}}", false},
        {"{'method': 'user.lock', 'params': {'name': 'a'}}",
         "{'method': 'backend.drain', 'params': {'name': 'a'}}", false},
        {"{'method': 'ban.add', 'params': {'subject': ['10.0.0.1']}}",
         "{'method': 'ban.remove', 'params': {'subject': ['10.0.0.1']}}", true},
        {"{'method': 'ban.add', 'params': {'subject': ['10.0.0.1']}}",
         "{'method': 'ban.remove', 'params': {'subject': ['10.0.0.2']}}", false},
        {"{'method': 'ban.add', 'params': {'subject': ['10.0.0.1']}}",
         "{'method': 'ban.clear', 'params': {}}", true},
        {"{}", "{'method': 1}", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char a[200], b[200];
        snprintf(a, sizeof(a), "%s", rows[i].a);
        snprintf(b, sizeof(b), "%s", rows[i].b);
        for (size_t k = 0; k < sizeof(a); k++) {
            a[k] = a[k] == '\'' ? '"' : a[k];
            b[k] = b[k] == '\'' ? '"' : b[k];
        }
        json_t *x = message(a), *y = message(b);
        if (fleet_order_meets(x, y) != rows[i].meets || fleet_order_meets(y, x) != rows[i].meets)
            fail_msg("%s and %s", a, b);
        json_decref(x);
        json_decref(y);
    }
}

static void test_positions(void **state)
{
    assert_true(fleet_order_is_behind("2-0", "1-9"));
    assert_true(fleet_order_is_behind("10-0", "9-0")); /* numbers, not texts */
    assert_true(fleet_order_is_behind("9-10", "9-9"));
    assert_false(fleet_order_is_behind("9-9", "9-9"));
    assert_false(fleet_order_is_behind("0", "1-1"));
    assert_true(fleet_order_is_behind("1-1", "what"));
}

static void note(struct fleet_order *o, const char *position, const char *verb, const char *name)
{
    json_t *m = json_pack("{s:s, s:{s:s}}", "method", verb, "params", "name", name);
    fleet_order_note(o, position, m);
    json_decref(m);
}

static void add_word(void *arg, const json_t *m)
{
    struct buf *words = arg;
    const char *method = json_string_value(json_object_get(m, "method"));
    assert_int_equal(buf_printf(words, " %s", method), 0);
}

static void assert_behind(const struct fleet_order *o, const char *position, const char *name,
                          const char *expected)
{
    AUTO_BUF words = BUF_INIT;
    json_t *m = json_pack("{s:s, s:{s:s}}", "method", "user.set", "params", "name", name);
    fleet_order_behind(o, position, m, add_word, &words);
    assert_true(str_eq(buf_str(&words), str_of(expected)));
    json_decref(m);
}

static void test_behind(void **state)
{
    struct fleet_order o;
    fleet_order_init(&o);
    assert_behind(&o, "0", "a", "");
    note(&o, "30-0", "user.unlock", "a");
    note(&o, "10-0", "user.lock", "a");
    note(&o, "20-0", "user.hold", "a");
    note(&o, "25-0", "user.hold", "b");
    json_t *route = json_pack("{s:s, s:{s:i}}", "method", "user.odd", "params", "number", 1);
    fleet_order_note(&o, "40-0", route);
    json_decref(route);
    assert_behind(&o, "5-0", "a", " user.lock user.hold user.unlock");
    assert_behind(&o, "10-0", "a", " user.hold user.unlock");
    assert_behind(&o, "30-0", "a", "");
    assert_behind(&o, "5-0", "c", "");
    fleet_order_fini(&o);
    assert_int_equal(o.n, 0);
    assert_int_equal(o.bytes, 0);
}

/* However many come, and however long they are. */
static void test_bounds(void **state)
{
    struct fleet_order o;
    char position[32], long_name[8000];
    fleet_order_init(&o);
    for (int i = 1; i <= 3 * FLEET_ORDER_MAX; i++) {
        snprintf(position, sizeof(position), "%d-0", i);
        note(&o, position, "user.lock", "a");
    }
    assert_int_equal(o.n, FLEET_ORDER_MAX);
    snprintf(position, sizeof(position), "%d-0", 3 * FLEET_ORDER_MAX - 1);
    assert_behind(&o, position, "a", " user.lock");
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    for (int i = 1; i <= FLEET_ORDER_MAX; i++)
        note(&o, "1-0", "user.lock", long_name);
    assert_true(o.n < FLEET_ORDER_MAX && o.bytes <= FLEET_ORDER_BYTES_MAX);
    fleet_order_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meets),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
