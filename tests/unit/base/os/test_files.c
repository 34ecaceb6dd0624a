/* SPDX-License-Identifier: ISC */
/* Contents of files: read once, kept as they were, never from the disk when closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/files.h"

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-files-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    unlink(path_of("a"));
    unlink(path_of("fifo"));
    return rmdir(folder);
}

static void assert_content(struct files *f, const char *path, const char *text)
{
    struct str content;
    assert_int_equal(files_read(f, path, &content), 0);
    assert_true(str_eq(content, str_of(text)));
    assert_int_equal(content.p[content.n], '\0');
}

static void test_read_once(void **state)
{
    struct files *f;
    struct str content, path;
    size_t pos = 0;
    assert_int_equal(files_new(&f), 0);
    write_file("a", "one");
    assert_content(f, path_of("a"), "one");
    write_file("a", "two");
    assert_content(f, path_of("a"), "one");
    files_close(f);
    unlink(path_of("a"));
    assert_content(f, path_of("a"), "one");
    assert_true(files_next(f, &pos, &path, &content));
    assert_true(str_eq(path, str_of(path_of("a"))) && str_eq(content, STR("one")));
    assert_false(files_next(f, &pos, &path, &content));
    files_unref(f);
}

static void test_put(void **state)
{
    struct files *f;
    assert_int_equal(files_new(&f), 0);
    assert_int_equal(files_put(f, STR("/x"), STR("")), 0);
    assert_int_equal(files_put(f, STR("/x"), STR("y")), -ERR_EXISTS);
    assert_content(f, "/x", "");
    files_unref(f);
    files_unref(NULL);
}

static void test_refused(void **state)
{
    struct files *f;
    struct str content;
    assert_int_equal(files_new(&f), 0);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_true(files_read(f, path_of("fifo"), &content) < 0); /* and does not wait */
    assert_true(files_read(f, folder, &content) < 0);
    assert_int_equal(files_read(f, path_of("none"), &content), -ERR_NOT_FOUND);
    files_close(f);
    write_file("a", "late");
    assert_int_equal(files_read(f, path_of("a"), &content), -ERR_NOT_FOUND);
    files_unref(f);
}

static void test_too_large(void **state)
{
    struct files *f;
    struct str content;
    write_file("a", "");
    assert_int_equal(truncate(path_of("a"), FILES_BYTES_MAX + 1), 0);
    assert_int_equal(files_new(&f), 0);
    assert_int_equal(files_read(f, path_of("a"), &content), -ERR_TOO_LONG);
    files_unref(f);
}

/* A file that is written, replaced, touched or led elsewhere is another one. */
static void test_stamp(void **state)
{
    struct files *f;
    struct str content;
    struct file_stamp read, now;
    char a[128];
    snprintf(a, sizeof(a), "%s", path_of("a"));
    write_file("a", "one");
    assert_int_equal(files_new(&f), 0);
    assert_int_equal(files_read(f, a, &content), 0);
    assert_int_equal(files_put(f, STR("/put"), STR("x")), 0);
    files_stamp(f, a, &read);
    file_stamp_of(a, &now);
    assert_true(now.inode && now.bytes == 3 && file_stamp_eq(&read, &now));
    write_file("b", "two");
    assert_int_equal(rename(path_of("b"), a), 0);
    file_stamp_of(a, &now);
    assert_false(file_stamp_eq(&read, &now));
    files_stamp(f, a, &now);
    assert_true(file_stamp_eq(&read, &now)); /* of what was read */
    unlink(a);
    file_stamp_of(a, &now);
    assert_true(file_stamp_eq(&now, &(struct file_stamp){0}));
    files_stamp(f, "/put", &now);
    assert_true(file_stamp_eq(&now, &(struct file_stamp){0}));
    files_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_once), cmocka_unit_test(test_put),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_stamp),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
