/* SPDX-License-Identifier: ISC */
/* A file system that refuses the index of SQLite's log, which is mapped into memory. */
#include "store_case.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
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

static const char *file(const char *end)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s%s", store_case.path, end);
    return path;
}

/* False: not here, or not by us. */
static bool set_immutable(const char *end, bool is_on)
{
    int flags = 0;
    AUTO_CLOSE int fd = open(file(end), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return false;
    /* the kernel looks at a page again only once it has been written to the disk */
    if (fsync(fd) < 0)
        return false;
    flags = is_on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static void expect_writable_soon(void)
{
    uint64_t late = clock_ms() + 20000;
    AUTO_FREE char *text = NULL;
    while (store_check(store_case.store, &text) != 0) { /* it looks once a second */
        free(STEAL(text));
        assert_true(clock_ms() < late);
        usleep(10000);
    }
}

/* What it had is served on, changes are refused until it can be written. */
static void refused(const char *const *ends, size_t n)
{
    store_case_open(); /* here: cmocka has a handler of its own before */
    assert_int_equal(add("first"), 0);
    assert_int_equal(count(), 1);
    for (size_t i = 0; i < n; i++)
        if (!set_immutable(ends[i], true)) {
            print_message("this file system has no immutable files, or not for us\n");
            skip();
        }
    int err = add("second");
    assert_true(err == 0 || err == -ERR_STORE_READONLY);
    assert_int_equal(count(), err == 0 ? 2 : 1);
    assert_int_equal(add("third"), -ERR_STORE_READONLY);
    assert_int_equal(count(), err == 0 ? 2 : 1);
    AUTO_FREE char *text = NULL;
    if (n == 1) /* else the log refused first, and nothing but changes needs more than the files */
        assert_int_equal(store_check(store_case.store, &text), -ERR_STORE_READONLY);
    for (size_t i = 0; i < n; i++)
        assert_true(set_immutable(ends[i], false));
    expect_writable_soon();
    assert_int_equal(add("fourth"), 0);
    store_case_close();
    store_case_open();
    assert_int_equal(count(), err == 0 ? 3 : 2);
}

static void test_index_refused(void **state)
{
    static const char *const ends[] = {"-shm"};
    refused(ends, ARRAY_LEN(ends));
}

static void test_all_refused(void **state)
{
    static const char *const ends[] = {"-shm", "-wal", ""};
    refused(ends, ARRAY_LEN(ends));
}

/* Somebody cuts the file: not even its content is left. */
static void test_index_cut(void **state)
{
    store_case_open();
    assert_int_equal(add("first"), 0);
    assert_int_equal(truncate(file("-shm"), 0), 0);
    assert_int_equal(count(), 1);
    expect_writable_soon();
    assert_int_equal(add("second"), 0);
    assert_int_equal(count(), 2);
    store_case_close();
    store_case_open();
    assert_int_equal(count(), 2);
}

static int setup(void **state)
{
    return store_case_setup_folder(state);
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (access(file(ends[i]), F_OK) == 0)
            (void)set_immutable(ends[i], false);
    return store_case_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_index_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
