/* SPDX-License-Identifier: ISC */
/* Runtime edits and the audit trail in the store. */
#include "store_case.h"

#include <string.h>

/* ---- runtime edits ---- */

struct list_text {
    char text[512];
    size_t n, stop_at; /* 0 = never */
};

static bool on_runtime(void *arg, const char *kind, const char *name, const char *json,
                       uint64_t at_ms)
{
    struct list_text *l = arg;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof(l->text) - used, "%s %s %s %u;", kind, name, json,
             (unsigned)at_ms);
    return ++l->n != l->stop_at;
}

static void runtime_is(size_t stop_at, const char *text)
{
    struct list_text l = {.stop_at = stop_at};
    assert_int_equal(store_runtime_each(store_case.store, on_runtime, &l), 0);
    assert_string_equal(l.text, text);
}

static int runtime_put(const char *kind, const char *name, const char *json, uint64_t at_ms)
{
    return store_runtime_put(store_case.store, kind, name, json, at_ms);
}

static void test_runtime(void **state)
{
    runtime_is(0, "");
    assert_int_equal(runtime_put("pool", "main", "{}", 1), 0);
    assert_int_equal(runtime_put("backend", "main/b2", "{\"a\":'1'}", 2), 0);
    assert_int_equal(runtime_put("backend", "main/b1", "{}", 3), 0);
    runtime_is(0, "backend main/b1 {} 3;backend main/b2 {\"a\":'1'} 2;pool main {} 1;");
    runtime_is(2, "backend main/b1 {} 3;backend main/b2 {\"a\":'1'} 2;");
    assert_int_equal(runtime_put("backend", "main/b1", "[]", 4), 0);
    assert_int_equal(store_runtime_remove(store_case.store, "backend", "main/b2"), 0);
    assert_int_equal(store_runtime_remove(store_case.store, "backend", "main/b2"), -ERR_NOT_FOUND);
    assert_int_equal(store_runtime_remove(store_case.store, "pool", "main/b1"), -ERR_NOT_FOUND);
    store_case_close();
    store_case_open();
    runtime_is(0, "backend main/b1 [] 4;pool main {} 1;");
    for (int i = 0; i < 2; i++) /* the second finds nothing to remove */
        assert_int_equal(store_runtime_set(store_case.store, "pool", "main", NULL), 0);
    assert_int_equal(store_runtime_set(store_case.store, "backend", "main/b1", NULL), 0);
    assert_int_equal(store_runtime_set(store_case.store, "pool", "main", "{}"), 0);
    assert_int_equal(store_runtime_set(store_case.store, "pool", "main", NULL), 0);
    runtime_is(0, "");
}

/* ---- audit ---- */

static bool on_audit(void *arg, const struct store_audit *a)
{
    struct list_text *l = arg;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof(l->text) - used, "%u@%u ", (unsigned)a->id, (unsigned)a->at_ms);
    return ++l->n != l->stop_at;
}

static void audit_is(uint64_t before, size_t limit, size_t stop_at, const char *text)
{
    struct list_text l = {.stop_at = stop_at};
    assert_int_equal(store_audit_each(store_case.store, before, limit, on_audit, &l), 0);
    assert_string_equal(l.text, text);
}

static void audit_add(uint64_t at_ms)
{
    const struct store_audit a = {.at_ms = at_ms, .command = "user add"};
    assert_int_equal(store_audit_add(store_case.store, &a), 0);
}

static void test_audit_pages(void **state)
{
    audit_is(0, 10, 0, "");
    for (uint64_t i = 1; i <= 5; i++)
        audit_add(i * 100);
    audit_is(0, 10, 0, "5@500 4@400 3@300 2@200 1@100 ");
    audit_is(0, 2, 0, "5@500 4@400 ");
    audit_is(4, 2, 0, "3@300 2@200 ");
    audit_is(1, 2, 0, "");
    audit_is(0, 10, 3, "5@500 4@400 3@300 ");
    audit_is(UINT64_MAX, 1, 0, "5@500 ");
}

static void test_audit_expiry(void **state)
{
    for (uint64_t i = 1; i <= 4; i++)
        audit_add(i * 100);
    assert_int_equal(store_audit_expire(store_case.store, 300), 0);
    audit_is(0, 10, 0, "4@400 3@300 ");
    assert_int_equal(store_audit_expire(store_case.store, UINT64_MAX), 0);
    audit_is(0, 10, 0, "");
    audit_add(500); /* an id is never given twice: a cursor stays right */
    audit_is(0, 10, 0, "5@500 ");
}

static bool on_whole(void *arg, const struct store_audit *a)
{
    ++*(int *)arg;
    assert_int_equal(a->at_ms, INT64_MAX);
    assert_int_equal(a->uid, UINT32_MAX);
    assert_int_equal(a->pid, 4711);
    assert_string_equal(a->user, "root");
    assert_string_equal(a->command, "session kill");
    assert_string_equal(a->args, "{\"filter\":\"user='x'\"}");
    assert_null(a->reason);
    assert_string_equal(a->result, "E_NO_MATCH");
    assert_int_equal(a->count, 12);
    return true;
}

static void test_audit_fields(void **state)
{
    int n = 0;
    const struct store_audit a = {.at_ms = UINT64_MAX, /* SQLite's integers are signed */
                                  .uid = UINT32_MAX,
                                  .pid = 4711,
                                  .user = "root",
                                  .command = "session kill",
                                  .args = "{\"filter\":\"user='x'\"}",
                                  .result = "E_NO_MATCH",
                                  .count = 12};
    assert_int_equal(store_audit_add(store_case.store, &a), 0);
    store_case_close();
    store_case_open();
    assert_int_equal(store_audit_each(store_case.store, 0, 10, on_whole, &n), 0);
    assert_int_equal(n, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, store_case_setup, store_case_teardown)
    const struct CMUnitTest tests[] = {
        T(test_runtime),
        T(test_audit_pages),
        T(test_audit_expiry),
        T(test_audit_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
