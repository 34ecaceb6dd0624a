/* SPDX-License-Identifier: ISC */
/* The channel between supervisor and engine: words of a fixed size, and nothing else; orders with
 * descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/wire.h"

static int ends[2];

static int make_ends(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int close_ends(void **state)
{
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_words(void **state)
{
    struct wire_message m;
    assert_int_equal(wire_hear(ends[0], &m), -ERR_AGAIN);
    assert_int_equal(wire_tell(ends[1], WIRE_READY, UINT64_MAX), 0);
    assert_int_equal(wire_hear(ends[0], &m), 0);
    assert_true(m.word == WIRE_READY && m.number == UINT64_MAX);
    shutdown(ends[1], SHUT_WR);
    assert_int_equal(wire_hear(ends[0], &m), -ERR_EOF);
}

static void test_wrong_sizes(void **state)
{
    char bytes[256] = {0};
    const struct wire_message good = {WIRE_MAGIC, WIRE_READY, 1};
    struct wire_message m;
    memcpy(bytes, &good, sizeof(good));
    for (size_t n = 1; n < sizeof(bytes); n++) {
        assert_int_equal(send(ends[1], bytes, n, 0), n);
        assert_int_equal(wire_hear(ends[0], &m), n == sizeof(good) ? 0 : -ERR_PROTOCOL);
    }
}

static void test_unknown_words(void **state)
{
    const struct wire_message wrong[] = {{WIRE_MAGIC + 1, WIRE_READY, 0},
                                         {WIRE_MAGIC, 0, 0},
                                         {WIRE_MAGIC, WIRE_WORDS_END, 0},
                                         {WIRE_MAGIC, UINT32_MAX, 0}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct wire_message m;
        assert_int_equal(send(ends[1], &wrong[i], sizeof(wrong[i]), 0), sizeof(wrong[i]));
        assert_int_equal(wire_hear(ends[0], &m), -ERR_PROTOCOL);
    }
}

/* The size of a good word, with descriptors: it is refused, and they do not stay. */
static void test_descriptors_of_an_engine(void **state)
{
    struct wire_message m = {WIRE_MAGIC, WIRE_READY, 0};
    struct wire_packet p;
    int fds[3] = {0, 1, 2}, before = count_fds();
    wire_packet_init(&p, WIRE_SOCKETS, &m, sizeof(m) - 2 * sizeof(uint32_t));
    assert_int_equal(wire_order(ends[1], &p, fds, 3), 0);
    assert_int_equal(wire_hear(ends[0], &m), -ERR_PROTOCOL);
    assert_int_equal(count_fds(), before);
}

static void test_orders(void **state)
{
    struct wire_packet p, got;
    int fds[WIRE_FDS_MAX + 1], back[WIRE_FDS_MAX];
    size_t n;
    const uint64_t pid = 77;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = ends[0];
    assert_int_equal(wire_receive(ends[1], &got, back, &n), -ERR_AGAIN);
    wire_packet_init(&p, WIRE_RETIRE, &pid, sizeof(pid));
    wire_packet_add(&p, "abc", 3);
    assert_int_equal(wire_order(ends[0], &p, fds, WIRE_FDS_MAX), 0);
    assert_int_equal(wire_order(ends[0], &p, fds, WIRE_FDS_MAX + 1), -ERR_TOO_MANY);
    assert_int_equal(wire_receive(ends[1], &got, back, &n), 0);
    assert_true(got.order == WIRE_RETIRE && got.size == sizeof(pid) + 3 && n == WIRE_FDS_MAX);
    assert_memory_equal(got.body + sizeof(pid), "abc", 3);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fcntl(back[i], F_GETFD), FD_CLOEXEC);
        close(back[i]);
    }
}

/* What does not fit is cut, and a full socket is told of. */
static void test_bounds(void **state)
{
    struct wire_packet p;
    static char many[2 * WIRE_BODY_MAX];
    wire_packet_init(&p, WIRE_FAILED, many, sizeof(many));
    assert_int_equal(p.size, WIRE_BODY_MAX);
    int err = 0;
    for (int i = 0; i < 100000 && err == 0; i++)
        err = wire_order(ends[0], &p, NULL, 0);
    assert_int_equal(err, -ERR_AGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, make_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_wrong_sizes, make_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_unknown_words, make_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_descriptors_of_an_engine, make_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_orders, make_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_bounds, make_ends, close_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
