/* SPDX-License-Identifier: ISC */
/* Certificates of a directory for engines: which they may want, and what they get. */
#include "supervisor_case.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log/log.h"
#include "base/record.h"
#include "supervisor/supervisor_priv.h"
#include "tests/unit/backend/cert.h"

#define ENGINE 1000000007 /* no process has such a number */
#define CONTENT 7

static char folder[64];

static void put(const char *name, const char *from, const char *text)
{
    AUTO_FREE char *path = str_printf("%s/%s", folder, name);
    if (from) {
        assert_int_equal(rename(from, path), 0);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    struct cert a;
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-loading-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    cert_make(&a, "a.test", NULL, 30);
    put("a.test.pem", a.path, NULL);
    put("b.test.pem", NULL, "no certificate");
    put("c.test.pem", NULL, "x");
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a.test.pem", "b.test.pem", "c.test.pem"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = str_printf("%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static struct content *content_of_folder(void)
{
    AUTO_FREE char *text = str_printf("tls = { directory = \"%s\"; };\n", folder);
    return case_content(text, CONTENT);
}

/* What the reader writes, as records. */
static struct str written(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    return str_n(p, (size_t)st.st_size);
}

/* The good one with its key, the others with what is wrong, also of one that went. */
static void test_write(void **state)
{
    struct content *c = content_of_folder();
    const uint32_t entries[] = {0, 1, 2};
    static const char *const names[] = {"a.test", "b.test", "c.test"};
    struct record r;
    int fd;
    assert_int_equal(c->plan.directory.n, 3);
    AUTO_FREE char *gone = str_printf("%s/c.test.pem", folder);
    assert_int_equal(unlink(gone), 0);
    assert_int_equal(content_memory(&fd), 0);
    assert_int_equal(loading_write(c, entries, 3, fd, -1), 0);
    struct str all = written(fd), rest = all;
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t number = 0;
        assert_int_equal(record_next(&rest, &r), 0);
        assert_int_equal(r.kind, i == 0 ? WIRE_LOADED_PAIR : WIRE_LOADED_BAD);
        assert_true(str_eq(r.v[0], str_of(names[i])));
        if (i > 0)
            assert_int_equal(record_number(&r, 2, ERR_COUNT, &number), 0);
        assert_int_equal(number, i == 0 ? 0 : i == 1 ? ERR_TLS : ERR_NOT_FOUND);
    }
    assert_int_equal(rest.n, 0);
    munmap((void *)all.p, all.n);
    assert_true(loading_write(c, &(const uint32_t){3}, 1, fd, -1) < 0);
    close(fd);
    content_unref(c);
}

/* Entries of the content that the engine works with, and no more than it may wait for. */
static void test_want(void **state)
{
    struct supervisor s = {.now = {.pid = ENGINE, .wire = -1, .is_ready = true},
                           .running = content_of_folder(),
                           .loading = {.pid = ENGINE + 1, .memory = -1}}; /* for another engine */
    const struct engine_process stranger = {.pid = ENGINE + 2, .wire = -1};
    assert_false(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, s.running->plan.directory.n)));
    assert_false(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, UINT32_MAX)));
    assert_false(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT + 1, 0)));
    assert_false(loading_want(&s, &stranger, WIRE_LOAD_OF(CONTENT, 0)));
    for (unsigned i = 0; i < WIRE_LOADS_MAX; i++)
        assert_true(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, i % 2)));
    assert_false(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, 0)));
    loading_stop(&s);
    assert_true(s.loading.n_queue == 0 && s.loading.pid == 0);
    content_unref(s.running);
    s.running = case_content("", CONTENT); /* without a directory */
    assert_false(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, 0)));
    content_unref(s.running);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid = s->loading.pid;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(loading_reap(s, pid, status));
    assert_false(loading_reap(s, pid, status));
}

/* One child reads what is wanted, and what is wanted meanwhile is read by the next one; after one
 * that died it is one certificate a child. */
static void test_read(void **state)
{
    int ends[2], fds[WIRE_FDS_MAX];
    size_t n;
    struct wire_packet p;
    struct wire_loaded head;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    struct supervisor s = {.now = {.pid = ENGINE, .wire = ends[0], .is_ready = true},
                           .running = content_of_folder()};
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < 3; i++)
            assert_true(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, i % 2)));
        assert_int_equal(s.loading.n_queue, 2);
        if (turn == 1)
            kill(s.loading.pid, SIGKILL);
        for (unsigned left = 3; left > 0; left -= head.n) {
            reap(&s);
            assert_int_equal(wire_receive(ends[1], &p, fds, &n), 0);
            assert_true(p.order == WIRE_LOADED && n == 1 && p.size == sizeof(head));
            memcpy(&head, p.body, sizeof(head));
            assert_true(head.number == CONTENT && head.n > 0 && head.n <= left);
            assert_true(fcntl(fds[0], F_GET_SEALS) & F_SEAL_WRITE);
            if (turn == 1)
                assert_int_equal(head.n, 1);
            close(fds[0]);
        }
        assert_true(s.loading.pid == 0 && s.loading.n_queue == 0);
    }
    assert_true(loading_want(&s, &s.now, WIRE_LOAD_OF(CONTENT, 0)));
    pid_t hanging = s.loading.pid;
    kill(hanging, SIGSTOP);
    loading_tick(&s, s.loading.late_ms - 1);
    assert_int_equal(s.loading.pid, hanging);
    loading_tick(&s, s.loading.late_ms);
    assert_int_equal(s.loading.pid, 0);
    assert_int_equal(waitpid(hanging, NULL, 0), hanging);
    close(ends[0]);
    close(ends[1]);
    content_unref(s.running);
}

int main(void)
{
    (void)!log_configure(NULL, 0, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
