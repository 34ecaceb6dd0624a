/* SPDX-License-Identifier: ISC */
/* A world without network and without waiting for code that runs on a loop: connections are socket
 * pairs, the clock stands still unless it is moved, and whenever the loop would sleep the target
 * says what happens next. Include once per target: it stands in for calls of libc. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

struct world {
    bool is_on;
    uint64_t now_us;
    /* The loop has nothing to do: makes something happen. */
    void (*idle)(void *arg);
    /* A connection was asked for; the other end belongs to the target, which may refuse it (false):
     * then it is closed here. */
    bool (*arrive)(void *arg, int fd, const struct sockaddr *to);
    void *arg;
    uint64_t turns, turns_max; /* since something happened last */
};

static struct world world;

#define WORLD_START_US UINT64_C(1000000000000)

static inline void world_begin(void)
{
    world.now_us = WORLD_START_US;
    world.turns = 0;
    world.is_on = true;
}

/* Bytes on the heap. The sanitizers count them themselves. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static inline size_t world_memory(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* The number that the next descriptor will have: grows by those that are not closed. */
static inline int world_next_fd(void)
{
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0);
    close(fd);
    return fd;
}

/* ---- in place of libc's ---- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    bool is_wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
    if (!world.is_on || is_wall)
        return (int)syscall(SYS_clock_gettime, id, ts);
    ts->tv_sec = (time_t)(world.now_us / 1000000);
    ts->tv_nsec = (long)(world.now_us % 1000000 * 1000);
    return 0;
}

/* Timers as descriptors, which tick by the clock above. */
#define WORLD_TICKS_MAX 16

static struct world_tick {
    bool is_used;
    int fd;
    uint64_t each_us, due_us; /* 0 = off */
} world_ticks[WORLD_TICKS_MAX];

static struct world_tick *world_tick_of(int fd)
{
    for (size_t i = 0; i < WORLD_TICKS_MAX; i++)
        if (world_ticks[i].is_used && world_ticks[i].fd == fd)
            return &world_ticks[i];
    return NULL;
}

int timerfd_create(int clock, int flags)
{
    (void)clock;
    (void)flags;
    for (size_t i = 0; i < WORLD_TICKS_MAX; i++)
        if (!world_ticks[i].is_used) {
            int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            world_ticks[i] = (struct world_tick){.is_used = fd >= 0, .fd = fd};
            return fd;
        }
    errno = EMFILE;
    return -1;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *old)
{
    struct world_tick *t = world_tick_of(fd);
    struct timespec now;
    (void)flags;
    (void)old;
    FUZZ_CHECK(t && clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    uint64_t first_us =
        (uint64_t)spec->it_value.tv_sec * 1000000 + (uint64_t)spec->it_value.tv_nsec / 1000;
    t->each_us =
        (uint64_t)spec->it_interval.tv_sec * 1000000 + (uint64_t)spec->it_interval.tv_nsec / 1000;
    t->due_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 + first_us;
    return 0;
}

int close(int fd)
{
    struct world_tick *t = world_tick_of(fd);
    if (t)
        t->is_used = false;
    return (int)syscall(SYS_close, fd);
}

static inline void world_fire_ticks(void)
{
    const uint64_t one = 1;
    for (size_t i = 0; i < WORLD_TICKS_MAX; i++) {
        struct world_tick *t = &world_ticks[i];
        if (!t->is_used || t->each_us == 0 || world.now_us < t->due_us)
            continue;
        (void)!write(t->fd, &one, sizeof(one));
        t->due_us = world.now_us + t->each_us;
    }
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    if (!world.is_on)
        return (int)syscall(SYS_epoll_pwait, epfd, events, max, timeout, NULL, 8);
    FUZZ_CHECK(world.turns++ <= world.turns_max);
    world_fire_ticks();
    int n = (int)syscall(SYS_epoll_pwait, epfd, events, max, 0, NULL, 8);
    if (n != 0 || timeout == 0)
        return n;
    world.idle(world.arg);
    world_fire_ticks();
    return (int)syscall(SYS_epoll_pwait, epfd, events, max, 0, NULL, 8);
}

/* Nothing leaves the process: a stream becomes one end of a pair, anything else goes nowhere. */
int connect(int fd, const struct sockaddr *to, socklen_t n)
{
    int type = 0, pair[2];
    socklen_t size = sizeof(type);
    if (!world.is_on)
        return (int)syscall(SYS_connect, fd, to, n);
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (type != SOCK_STREAM || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        errno = ENETUNREACH;
        return -1;
    }
    bool is_good = world.arrive(world.arg, pair[1], to);
    if (is_good)
        FUZZ_CHECK(dup3(pair[0], fd, O_CLOEXEC) == fd);
    else
        close(pair[1]);
    close(pair[0]);
    errno = ECONNREFUSED;
    return is_good ? 0 : -1;
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
    if (!world.is_on || !to)
        return syscall(SYS_sendto, fd, p, n, flags, to, len);
    errno = ENETUNREACH;
    return -1;
}
