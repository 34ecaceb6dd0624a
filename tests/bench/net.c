/* SPDX-License-Identifier: ISC */
/* Sockets and the epoll set of the benchmark's two ends. */
#include "net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/cleanup.h"

#define NET_BACKLOG 4096
#define NET_BATCH 256

int net_init(struct net *n)
{
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    return n->epoll < 0 ? err_from_errno(errno) : 0;
}

void net_fini(struct net *n)
{
    close(n->epoll);
}

int net_add(struct net *n, struct net_source *s, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
        return err_from_errno(errno);
    s->fd = fd;
    return 0;
}

void net_close(struct net_source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

int net_turn(struct net *n, int timeout_ms)
{
    struct epoll_event events[NET_BATCH];
    int got = epoll_wait(n->epoll, events, NET_BATCH, timeout_ms);
    if (got < 0)
        return errno == EINTR ? 0 : err_from_errno(errno);
    for (int i = 0; i < got; i++) {
        struct net_source *s = events[i].data.ptr;
        s->ready(s, events[i].events);
    }
    return 0;
}

static int net_socket(const struct addr *a)
{
    int fd = socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? err_from_errno(errno) : fd;
}

int net_listen(const struct addr *a)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(a, &ss);
    int on = 1, fd = net_socket(a);
    if (fd < 0)
        return fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, NET_BACKLOG) == 0)
        return fd;
    int failed = errno;
    close(fd);
    return err_from_errno(failed);
}

/* The local port is chosen when connecting: the same one serves many destinations. */
static int net_bind_source(int fd, const struct addr *source)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(source, &ss);
    int on = 1;
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : err_from_errno(errno);
}

int net_connect(const struct addr *to, const struct addr *source)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int on = 1, fd = net_socket(to);
    if (fd < 0)
        return fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int err = source ? net_bind_source(fd, source) : 0;
    if (err == 0 && connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS)
        err = err_from_errno(errno);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

void net_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}
