/* SPDX-License-Identifier: ISC */
/* Hosts file: what is found, changes, and what stays known when it cannot be read. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "io/resolver_hosts.h"

#define LOOK_MS 6000 /* longer than a read file is believed */

static char path[64];

static void write_file(const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* How many addresses a name has. */
static size_t find(struct resolver_hosts *h, uint64_t now_ms, const char *name)
{
    AUTO_BUF v4 = BUF_INIT;
    AUTO_BUF v6 = BUF_INIT;
    assert_int_equal(resolver_hosts_find(h, now_ms, str_of(name), &v4, &v6), 0);
    return (v4.len + v6.len) / sizeof(struct addr);
}

static void test_changes(void **state)
{
    struct resolver_hosts *h;
    snprintf(path, sizeof(path), "/tmp/hosts-%d", (int)getpid());
    write_file("192.0.2.1 one.test # a comment\n192.0.2.2 two.test One.test\n");
    assert_int_equal(resolver_hosts_new(path, &h), 0);
    assert_int_equal(find(h, LOOK_MS, "one.test"), 2);
    assert_int_equal(find(h, LOOK_MS, "two.test"), 1);
    assert_int_equal(find(h, LOOK_MS, "comment"), 0);
    write_file("192.0.2.3 three.test\n");
    assert_int_equal(find(h, LOOK_MS + 1, "three.test"), 0); /* not looked at again so soon */
    assert_int_equal(find(h, 2 * LOOK_MS, "three.test"), 1);
    assert_int_equal(find(h, 2 * LOOK_MS, "one.test"), 0);
    resolver_hosts_free(h);
    unlink(path);
}

static void test_shortage(void **state)
{
    struct resolver_hosts *h;
    struct rlimit all, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = all.rlim_max};
    write_file("192.0.2.1 one.test\n");
    assert_int_equal(resolver_hosts_new(path, &h), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(find(h, LOOK_MS, "one.test"), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    unlink(path); /* what is gone has no names any more */
    assert_int_equal(find(h, 2 * LOOK_MS, "one.test"), 0);
    resolver_hosts_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_shortage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
