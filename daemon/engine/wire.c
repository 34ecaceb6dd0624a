/* SPDX-License-Identifier: ISC */
/* Packets on a SOCK_SEQPACKET socket, with and without descriptors. */
#include "engine/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log/log.h"

#define WIRE_HEAD (sizeof(struct wire_packet) - WIRE_BODY_MAX)

static int wire_error(int failed)
{
    return failed == EAGAIN || failed == EWOULDBLOCK ? -ERR_AGAIN : err_from_errno(failed);
}

/* ---- words ---- */

int wire_tell(int fd, enum wire_word word, uint64_t number)
{
    const struct wire_message m = {WIRE_MAGIC, word, number};
    ssize_t n;
    do
        n = send(fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? wire_error(errno) : 0;
}

void wire_say(int fd, enum wire_word word, uint64_t number)
{
    int err = fd < 0 ? 0 : wire_tell(fd, word, number);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "supervisor-not-told", KV_U64("word", word),
                  KV_ERR("error", err));
}

/* Without room for them the kernel closes descriptors that come along, and says so. */
int wire_hear(int fd, struct wire_message *ret)
{
    char bytes[sizeof(*ret) + 1];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    do
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return wire_error(errno);
    if (n == 0 && !(msg.msg_flags & MSG_CTRUNC))
        return -ERR_EOF;
    if (n != sizeof(*ret) || msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
        return -ERR_PROTOCOL;
    memcpy(ret, bytes, sizeof(*ret));
    bool is_known = ret->magic == WIRE_MAGIC && ret->word > 0 && ret->word < WIRE_WORDS_END;
    return is_known ? 0 : -ERR_PROTOCOL;
}

/* ---- orders ---- */

void wire_packet_init(struct wire_packet *p, enum wire_order order, const void *body, size_t n)
{
    p->order = order;
    p->size = 0;
    wire_packet_add(p, body, n);
}

void wire_packet_add(struct wire_packet *p, const void *body, size_t n)
{
    size_t room = sizeof(p->body) - p->size;
    n = n < room ? n : room;
    if (n)
        memcpy(p->body + p->size, body, n);
    p->size += (uint32_t)n;
}

union wire_control {
    char space[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int wire_order(int fd, const struct wire_packet *p, const int *fds, size_t n_fds)
{
    struct iovec iov = {.iov_base = (void *)p, .iov_len = WIRE_HEAD + p->size};
    union wire_control control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > WIRE_FDS_MAX)
        return -ERR_TOO_MANY;
    if (n_fds > 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    /* Too many descriptors under way: the engine has to take some first. */
    return n >= 0 ? 0 : errno == ETOOMANYREFS ? -ERR_AGAIN : wire_error(errno);
}

int wire_receive(int fd, struct wire_packet *ret, int ret_fds[WIRE_FDS_MAX], size_t *ret_n)
{
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof(*ret)};
    union wire_control control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return wire_error(errno);
    *ret_n = 0;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        *ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret_fds, CMSG_DATA(c), *ret_n * sizeof(int));
    }
    if (n == 0 && *ret_n == 0)
        return -ERR_EOF;
    bool is_whole = n >= (ssize_t)WIRE_HEAD && ret->size == (size_t)n - WIRE_HEAD &&
                    !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    for (size_t i = 0; !is_whole && i < *ret_n; i++)
        close(ret_fds[i]);
    return is_whole ? 0 : -ERR_PROTOCOL;
}
