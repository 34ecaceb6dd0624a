/* SPDX-License-Identifier: ISC */
/* The process that watches files: it ends when one has changed, and not before all rest, unless one
 * never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "supervisor/watch.h"

static char folder[64], path[128], other[128];

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-watch-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/a", folder);
    snprintf(other, sizeof(other), "%s/b", folder);
    write_file(path, "one");
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

/* How the child ends: with a change, or as it was killed. */
static bool ends_with_change(struct file_watch *w)
{
    int status;
    bool is_changed;
    pid_t pid = w->pid;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(watch_reap(w, pid, status, &is_changed));
    assert_int_equal(w->pid, 0);
    assert_true(w->due_ms > 0); /* whoever does not begin again is reminded */
    assert_false(watch_reap(w, pid, status, &is_changed));
    return is_changed;
}

static void test_change(void **state)
{
    struct file_watch w = {0};
    struct plan_file file = {.path = path};
    const struct plan p = {.files = &file, .n_files = 1};
    file_stamp_of(path, &file.stamp);
    watch_start(&w, &p, 7);
    assert_int_equal(w.number, 7);
    write_file(other, "two");
    assert_int_equal(rename(other, path), 0);
    assert_true(ends_with_change(&w));

    watch_start(&w, &p, 8); /* it was something else from the beginning */
    assert_true(ends_with_change(&w));

    file_stamp_of(path, &file.stamp);
    watch_start(&w, &p, 9);
    kill(w.pid, SIGKILL);
    assert_false(ends_with_change(&w));

    unlink(path);
    watch_start(&w, &p, 10);
    assert_true(ends_with_change(&w));
}

/* A file that changes all the time holds the others back for a while only. */
static void test_restless(void **state)
{
    struct file_watch w = {0};
    struct plan_file files[] = {{.path = path}, {.path = other}};
    const struct plan p = {.files = files, .n_files = ARRAY_LEN(files)};
    const struct timespec pause = {0, 50000000};
    int status;
    write_file(path, "one");
    write_file(other, "two");
    file_stamp_of(path, &files[0].stamp);
    file_stamp_of(other, &files[1].stamp);
    pid_t writer = fork();
    for (int i = 0; writer == 0; i++) {
        write_file(other, "two");
        nanosleep(&pause, NULL);
        if (i > 20 * 60) /* the test has been killed */
            _exit(0);
    }
    assert_true(writer > 0);
    watch_start(&w, &p, 7);
    write_file(path, "three");
    alarm(30);
    assert_true(ends_with_change(&w));
    alarm(0);
    kill(writer, SIGKILL);
    assert_int_equal(waitpid(writer, &status, 0), writer);
    unlink(path);
    unlink(other);
}

static void test_nothing(void **state)
{
    struct file_watch w = {0};
    const struct plan none = {0};
    bool is_changed;
    watch_start(&w, &none, 3);
    assert_true(w.pid == 0 && w.number == 3 && w.due_ms == 0);
    assert_false(watch_reap(&w, 0, 0, &is_changed));
    watch_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_restless),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
