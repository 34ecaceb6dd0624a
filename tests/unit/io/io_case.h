/* SPDX-License-Identifier: ISC */
/* Tests on a loop: run it until something holds, and listening sockets of the kernel's choice. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "io/loop.h"

/* Far more than any of it takes; a test that needs this long has failed. */
#define IO_CASE_PATIENCE_MS 20000

struct io_case_wait {
    struct loop *loop;
    bool (*is_done)(void *arg);
    void *arg;
    uint64_t end_ms;
    bool was_done;
};

static inline void io_case_look(evutil_socket_t fd, short what, void *arg)
{
    struct io_case_wait *w = arg;
    (void)fd;
    (void)what;
    w->was_done = w->is_done(w->arg);
    if (w->was_done || clock_ms() > w->end_ms)
        loop_stop(w->loop);
}

/* Runs the loop until is_done(arg); it is asked every millisecond. */
static inline void io_case_run(struct loop *l, bool (*is_done)(void *arg), void *arg)
{
    const struct timeval tick = {0, 1000};
    struct io_case_wait w = {l, is_done, arg, clock_ms() + IO_CASE_PATIENCE_MS, false};
    struct event *look = event_new(loop_base(l), -1, EV_PERSIST, io_case_look, &w);
    assert_non_null(look);
    assert_int_equal(event_add(look, &tick), 0);
    assert_int_equal(loop_run(l), 0);
    event_free(look);
    if (!w.was_done)
        fail_msg("the loop ran for %d ms in vain", IO_CASE_PATIENCE_MS);
}

static inline bool io_case_is_true(void *arg)
{
    return *(const bool *)arg;
}

static inline bool io_case_after(void *arg)
{
    return clock_ms() >= *(const uint64_t *)arg;
}

/* Runs it for some time: only to see that nothing happens. */
static inline void io_case_idle(struct loop *l, uint64_t ms)
{
    uint64_t end_ms = clock_ms() + ms;
    io_case_run(l, io_case_after, &end_ms);
}

/* A socket of this type bound to a free port of 127.0.0.1; *ret_at is where. */
static inline int io_case_bind(int type, struct addr *ret_at)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    struct addr any;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(addr_parse(STR("127.0.0.1"), &any), 0);
    n = addr_to_sockaddr(&any, &ss);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
    n = sizeof(ss);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
    addr_from_sockaddr(ret_at, (struct sockaddr *)&ss, n);
    return fd;
}

static inline int io_case_listen(struct addr *ret_at)
{
    int fd = io_case_bind(SOCK_STREAM, ret_at);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* Two ends of a stream; blocking ones do for conns, which never wait. */
static inline void io_case_pair(int ret[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret), 0);
}
