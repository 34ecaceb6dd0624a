/* SPDX-License-Identifier: ISC */
/* Contents: sealed for good, read again, refused when they are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "supervisor_case.h"

static const char text[] = "state_dir = \"/tmp/mp-state\";\n";

static void test_sealed(void **state)
{
    struct content *c = case_content(text, 3);
    assert_true(c->is_valid);
    assert_string_equal(c->plan.folders[0].path, "/tmp/mp-state");
    /* who gets the descriptor cannot change it, for us or for the next engine */
    assert_int_equal(pwrite(c->fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(c->fd, 0), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(c->fd, F_ADD_SEALS, 0), -1);
    assert_int_equal(fcntl(c->fd, F_GETFD), FD_CLOEXEC);
    assert_ptr_equal(content_ref(c), c);
    content_unref(c);
    content_unref(c);
    content_unref(NULL);
}

static void test_adopted(void **state)
{
    struct content *c = case_content(text, 3), *again = NULL;
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(content_adopt(fd, NULL, &again), 0);
    assert_int_equal(again->plan.n_folders, c->plan.n_folders);
    content_unref(again);
    content_unref(c);
}

/* What is not sealed may change under us; what is no bundle says nothing. */
static void test_refused(void **state)
{
    struct content *c = NULL;
    int fd = case_bundle(text);
    assert_int_equal(content_adopt(fd, NULL, &c), -ERR_PERM);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken over all the same */
    assert_int_equal(content_memory(&fd), 0);
    assert_int_equal(content_new(fd, -1, &c), -ERR_EOF);
    assert_int_equal(content_memory(&fd), 0);
    assert_int_equal(write(fd, "no records", 10), 10);
    assert_true(content_new(fd, -1, &c) < 0);
    assert_true(content_new(open("/dev/null", O_RDONLY | O_CLOEXEC), -1, &c) < 0);
    assert_null(c);
}

/* A file with errors gives a bundle that says which, and is never put in force. */
static void test_invalid(void **state)
{
    int fd;
    struct content *c = NULL;
    const char *path = case_file("listeners = ( { name = 7; } );\n");
    assert_int_equal(content_memory(&fd), 0);
    assert_int_equal(content_write(path, fd, -1, NULL), -ERR_CONFIG);
    unlink(path);
    assert_int_equal(content_new(fd, -1, &c), 0);
    assert_false(c->is_valid);
    content_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_adopted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
