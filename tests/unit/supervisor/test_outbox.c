/* SPDX-License-Identifier: ISC */
/* Orders for an engine: in their sequence, kept when it does not read, given up when it is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "supervisor/outbox.h"

static struct engine_process engine;
static int theirs;     /* the engine's end */
static int send_errno; /* what sending fails of, 0 = nothing */

/* In the place of the C library's: what the kernel does when it lacks memory. */
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (send_errno) {
        errno = send_errno;
        return -1;
    }
    return syscall(SYS_sendmsg, fd, msg, flags);
}

static int setup(void **state)
{
    int ends[2];
    send_errno = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    engine = (struct engine_process){.pid = 1, .wire = ends[0]};
    theirs = ends[1];
    return 0;
}

static int teardown(void **state)
{
    outbox_free(engine.outbox);
    if (engine.wire >= 0)
        close(engine.wire);
    if (theirs >= 0)
        close(theirs);
    return 0;
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int say(uint32_t number, const int *fds, size_t n)
{
    struct wire_packet packet;
    char filler[4000] = {0}; /* some dozens fill the socket */
    wire_packet_init(&packet, WIRE_CHECKED, &number, sizeof(number));
    wire_packet_add(&packet, filler, sizeof(filler));
    return outbox_send(&engine, &packet, fds, n);
}

/* Says numbers until one has to wait; returns how many were said. */
static uint32_t fill(void)
{
    uint32_t n = 0;
    while (outbox_is_empty(&engine)) {
        assert_int_equal(say(n++, NULL, 0), 0);
        assert_true(n < 10000);
    }
    return n;
}

static void hear(uint32_t want)
{
    struct wire_packet packet;
    int fds[WIRE_FDS_MAX];
    size_t n;
    uint32_t number;
    assert_int_equal(wire_receive(theirs, &packet, fds, &n), 0);
    memcpy(&number, packet.body, sizeof(number));
    assert_int_equal(number, want);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static void test_at_once(void **state)
{
    assert_int_equal(say(7, NULL, 0), 0);
    assert_true(outbox_is_empty(&engine) && !outbox_waits_for_room(&engine));
    hear(7);
    assert_int_equal(outbox_flush(&engine), 0);
}

/* What waits has descriptors of its own, and nothing overtakes it. */
static void test_waits(void **state)
{
    int before = count_fds();
    uint32_t n = fill();
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(say(n++, &fd, 1), 0);
    close(fd);
    assert_true(outbox_waits_for_room(&engine));
    assert_int_equal(outbox_flush(&engine), 0); /* nothing was read yet */
    assert_false(outbox_is_empty(&engine));
    hear(0);
    assert_int_equal(say(n++, NULL, 0), 0); /* there is room, but not for this one */
    for (uint32_t i = 1; i < n; i++) {
        assert_int_equal(outbox_flush(&engine), 0);
        hear(i);
    }
    assert_true(outbox_is_empty(&engine));
    assert_int_equal(count_fds(), before);
}

static void test_full(void **state)
{
    int err = 0;
    uint32_t n = fill();
    for (unsigned i = 0; i < 5000 && err == 0; i++)
        err = say(n++, NULL, 0);
    assert_int_equal(err, -ERR_LIMIT);
    hear(0); /* what was kept is kept */
    assert_int_equal(outbox_flush(&engine), 0);
}

/* It is ending: nobody has to be told, and nothing is kept. */
static void test_gone(void **state)
{
    close(theirs);
    theirs = -1;
    assert_int_equal(say(1, NULL, 0), 0);
    assert_true(outbox_is_empty(&engine));
    close(engine.wire);
    engine.wire = -1;
    assert_int_equal(say(2, NULL, 0), 0);
}

static void test_gone_while_it_waits(void **state)
{
    (void)fill();
    close(theirs);
    theirs = -1;
    assert_int_equal(outbox_flush(&engine), -ERR_CLOSED);
}

/* A lack of memory passes: the order is kept, and time is waited for, not room. */
static void test_shortage(void **state)
{
    static const int numbers[] = {ENOBUFS, ENOMEM};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        send_errno = numbers[i];
        assert_int_equal(say(1, NULL, 0), 0);
        assert_int_equal(say(2, NULL, 0), 0);
        assert_true(!outbox_is_empty(&engine) && !outbox_waits_for_room(&engine));
        assert_int_equal(outbox_flush(&engine), 0);
        assert_true(!outbox_is_empty(&engine) && !outbox_waits_for_room(&engine));
        send_errno = EAGAIN;
        assert_int_equal(outbox_flush(&engine), 0);
        assert_true(outbox_waits_for_room(&engine));
        send_errno = 0;
        assert_int_equal(outbox_flush(&engine), 0);
        assert_true(outbox_is_empty(&engine));
        hear(1);
        hear(2);
    }
}

/* Too many descriptors on the way: the engine has to take some. */
static void test_too_many_on_the_way(void **state)
{
    send_errno = ETOOMANYREFS;
    assert_int_equal(say(1, NULL, 0), 0);
    assert_true(outbox_waits_for_room(&engine));
    send_errno = 0;
    assert_int_equal(outbox_flush(&engine), 0);
    hear(1);
}

/* An order that cannot be sent leaves an engine that would wait for ever: that is said. */
static void test_unsendable(void **state)
{
    const int closed = 200;
    int many[WIRE_FDS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = engine.wire;
    assert_true(say(1, &closed, 1) < 0);
    assert_int_equal(say(2, many, ARRAY_LEN(many)), -ERR_TOO_MANY);
    send_errno = EMSGSIZE;
    assert_true(say(3, NULL, 0) < 0);
    assert_true(outbox_is_empty(&engine));
    send_errno = 0;
    (void)fill();
    assert_true(say(4, &closed, 1) < 0); /* nor can it be kept */
}

static void test_places(void **state)
{
    struct outbox_place v[WIRE_FDS_MAX + 3];
    struct wire_packet packet;
    int fds[WIRE_FDS_MAX];
    size_t n, heard = 0;
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        v[i] = (struct outbox_place){engine.wire, (uint32_t)(i * 3)};
    assert_int_equal(outbox_send_places(&engine, WIRE_SOCKETS, v, ARRAY_LEN(v)), 0);
    while (heard < ARRAY_LEN(v)) {
        assert_int_equal(wire_receive(theirs, &packet, fds, &n), 0);
        assert_int_equal(packet.order, WIRE_SOCKETS);
        assert_int_equal(packet.size, n * sizeof(uint32_t));
        for (size_t i = 0; i < n; i++, heard++) {
            uint32_t place;
            memcpy(&place, packet.body + i * sizeof(place), sizeof(place));
            assert_int_equal(place, heard * 3);
            close(fds[i]);
        }
    }
    assert_int_equal(wire_receive(theirs, &packet, fds, &n), -ERR_AGAIN);
}

#define OUTBOX_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(test_at_once),
        OUTBOX_TEST(test_waits),
        OUTBOX_TEST(test_full),
        OUTBOX_TEST(test_gone),
        OUTBOX_TEST(test_gone_while_it_waits),
        OUTBOX_TEST(test_shortage),
        OUTBOX_TEST(test_too_many_on_the_way),
        OUTBOX_TEST(test_unsendable),
        OUTBOX_TEST(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
