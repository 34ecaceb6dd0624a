/* SPDX-License-Identifier: ISC */
/* A store whose file is removed or replaced while it is open: what it had is read on, changes are
 * refused, the other file is left alone, and the first one goes on when it is back. */
#include "store_case.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static int add(const char *name)
{
    const struct store_user u = {.name = (char *)(uintptr_t)name, .is_stored = true};
    return store_user_put(store_case.store, &u, STORE_ADD, 1);
}

static uint64_t count(void)
{
    uint64_t n = 0;
    assert_int_equal(store_user_count(store_case.store, &n), 0);
    return n;
}

static const char *beside(const char *name)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/%s", store_case.folder, name);
    return path;
}

static void check_says(int err, const char *words)
{
    AUTO_FREE char *text = NULL;
    assert_int_equal(store_check(store_case.store, &text), err);
    if (words)
        assert_true(text && strstr(text, words) && strstr(text, store_case.path));
    else
        assert_null(text);
}

static int setup(void **state)
{
    if (store_case_setup(state) != 0)
        return -1;
    assert_int_equal(add("first"), 0);
    check_says(0, NULL);
    return 0;
}

/* Seen by whoever looks or writes first. */
static void test_removed(void **state)
{
    assert_int_equal(unlink(store_case.path), 0);
    check_says(-ERR_STORE_GONE, "was removed");
    assert_int_equal(count(), 1);
    assert_int_equal(add("second"), -ERR_STORE_GONE);
    const struct store_login login = {.name = "first", .at_ms = 1};
    assert_int_equal(store_user_logins(store_case.store, &login, 1), -ERR_STORE_GONE);
    assert_int_equal(store_user_remove(store_case.store, "first"), -ERR_STORE_GONE);
    assert_int_equal(store_runtime_put(store_case.store, "k", "n", "1", 1), -ERR_STORE_GONE);
    assert_int_equal(count(), 1);
    check_says(-ERR_STORE_GONE, "was removed");
    store_case_close();
    assert_true(access(store_case.path, F_OK) < 0);
}

static void test_replaced(void **state)
{
    AUTO_BUF before = BUF_INIT;
    AUTO_BUF after = BUF_INIT;
    struct store_user u;
    assert_int_equal(unlink(store_case.path), 0);
    store_case_write(STR("another file"), 0);
    store_case_read(&before);
    assert_int_equal(add("second"), -ERR_STORE_GONE);
    check_says(-ERR_STORE_GONE, "was replaced");
    assert_int_equal(store_user_get(store_case.store, "first", &u), 0);
    store_user_fini(&u);
    store_case_close();
    store_case_read(&after);
    assert_true(str_eq(buf_str(&before), buf_str(&after)));
}

/* Not noticed before the end: nothing is done to the other file either. */
static void test_replaced_before_the_end(void **state)
{
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(unlink(store_case.path), 0);
    store_case_write(STR("another file"), 0);
    store_case_close();
    store_case_read(&text);
    assert_true(str_eq(buf_str(&text), STR("another file")));
}

static void test_log_removed(void **state)
{
    char wal[96];
    snprintf(wal, sizeof(wal), "%s-wal", store_case.path);
    assert_int_equal(unlink(wal), 0);
    assert_int_equal(add("second"), -ERR_STORE_GONE);
    check_says(-ERR_STORE_GONE, "-wal was removed");
    assert_int_equal(count(), 1);
}

static void test_back(void **state)
{
    assert_int_equal(rename(store_case.path, beside("away")), 0);
    assert_int_equal(add("second"), -ERR_STORE_GONE);
    assert_int_equal(count(), 1);
    assert_int_equal(rename(beside("away"), store_case.path), 0);
    uint64_t late = clock_ms() + 20000;
    AUTO_FREE char *text = NULL;
    while (store_check(store_case.store, &text) != 0) { /* it looks once a second */
        free(STEAL(text));
        assert_true(clock_ms() < late);
        usleep(10000);
    }
    assert_int_equal(add("second"), 0);
    assert_int_equal(count(), 2);
    store_case_close();
    store_case_open();
    assert_int_equal(count(), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_removed, setup, store_case_teardown),
        cmocka_unit_test_setup_teardown(test_replaced, setup, store_case_teardown),
        cmocka_unit_test_setup_teardown(test_replaced_before_the_end, setup, store_case_teardown),
        cmocka_unit_test_setup_teardown(test_log_removed, setup, store_case_teardown),
        cmocka_unit_test_setup_teardown(test_back, setup, store_case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
