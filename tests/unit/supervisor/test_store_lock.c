/* SPDX-License-Identifier: ISC */
/* One daemon for a store: who has it, who is told so, and when it is free again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "supervisor/store_lock.h"

static char folder[64], store[80], other[80];

static int setup(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-lock-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(store, sizeof(store), "%s/a.db", folder);
    snprintf(other, sizeof(other), "%s/b.db", folder);
    return 0;
}

static int teardown(void **state)
{
    AUTO_FREE char *command = str_printf("rm -r %s", folder);
    return system(command);
}

/* What another process is told; it ends at once. */
static int try_elsewhere(const char *path)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct store_locks l = {0};
        char *error = NULL;
        int err = store_locks_take(&l, path, &error);
        AUTO_FREE char *who = str_printf("(PID %d)", (int)getppid());
        _exit(err == 0 ? 0 : err == -ERR_BUSY && error && strstr(error, who) ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void take(struct store_locks *l, const char *path)
{
    AUTO_FREE char *error = NULL;
    assert_int_equal(store_locks_take(l, path, &error), 0);
    assert_null(error);
}

static void test_one_has_it(void **state)
{
    struct store_locks l = {0};
    assert_int_equal(try_elsewhere(store), 0); /* a file that stays behind is no obstacle */
    take(&l, store);
    take(&l, store); /* again, and by another way there: nothing is opened and closed */
    AUTO_FREE char *detour = str_printf("%s/./a.db", folder);
    take(&l, detour);
    assert_int_equal(l.n, 1);
    assert_int_equal(try_elsewhere(store), 1);
    assert_int_equal(try_elsewhere(other), 0);
    store_locks_fini(&l);
    assert_int_equal(try_elsewhere(store), 0);
}

/* Another store comes with an upgrade; the first is given back when nobody needs it. */
static void test_two_stores(void **state)
{
    struct store_locks l = {0};
    take(&l, store);
    take(&l, other);
    store_locks_keep(&l, (const char *const[]){store, other}, 2);
    assert_int_equal(l.n, 2);
    store_locks_keep(&l, (const char *const[]){other}, 1);
    assert_int_equal(l.n, 1);
    assert_int_equal(try_elsewhere(store), 0);
    assert_int_equal(try_elsewhere(other), 1);
    store_locks_fini(&l);
}

/* As a program does that takes the process over: same process, same descriptors. */
static void test_hand_over(void **state)
{
    struct store_locks l = {0}, next = {0};
    take(&l, store);
    take(&l, other);
    store_locks_hand_over(&l, true);
    assert_non_null(getenv(STORE_LOCK_ENV));
    store_locks_adopt(&next);
    assert_null(getenv(STORE_LOCK_ENV));
    assert_int_equal(next.n, 2);
    take(&next, store);
    assert_int_equal(next.n, 2);
    assert_int_equal(try_elsewhere(store), 1);
    assert_int_equal(try_elsewhere(other), 1);
    free(l.v);
    store_locks_fini(&next);
    setenv(STORE_LOCK_ENV, "x,,99999", 1); /* nothing of ours */
    store_locks_adopt(&next);
    assert_int_equal(next.n, 0);
}

/* What is no file, or leads elsewhere, is left alone. */
static void test_strange_files(void **state)
{
    struct store_locks l = {0};
    AUTO_FREE char *error = NULL;
    AUTO_FREE char *lock = str_printf("%s" STORE_LOCK_SUFFIX, store);
    (void)unlink(lock);
    assert_int_equal(symlink("/etc/passwd", lock), 0);
    assert_int_not_equal(store_locks_take(&l, store, &error), 0);
    unlink(lock);
    assert_int_equal(mkfifo(lock, 0600), 0);
    assert_int_not_equal(store_locks_take(&l, store, &error), 0);
    unlink(lock);
    assert_int_not_equal(store_locks_take(&l, "/nonexistent/x.db", &error), 0);
    assert_int_not_equal(store_locks_take(&l, "/proc/x.db", &error), 0);
    assert_null(error);
    assert_int_equal(l.n, 0);
    store_locks_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_has_it),
        cmocka_unit_test(test_two_stores),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_strange_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
