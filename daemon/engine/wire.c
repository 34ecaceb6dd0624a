/* SPDX-License-Identifier: ISC */
/* Messages between engine and supervisor: one packet each, a descriptor may ride along. */
#include "engine/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define WIRE_ANSWER_MS 5000

int wire_send(int fd, const char *text, int fd_to_pass)
{
    struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_to_pass >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd_to_pass, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -ERR_AGAIN : err_from_errno(errno);
}

void wire_say(int fd, const char *fmt, ...)
{
    char text[WIRE_TEXT_MAX];
    va_list ap;
    if (fd < 0)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    int err = wire_send(fd, text, -1);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "wire-failed", KV_STR("message", text), KV_ERR("error", err));
}

const char *wire_after(const char *text, const char *word)
{
    size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && text[n] == ' ' ? text + n + 1 : NULL;
}

int wire_receive(int fd, char text[WIRE_TEXT_MAX], int *ret_fd)
{
    struct iovec iov = {.iov_base = text, .iov_len = WIRE_TEXT_MAX - 1};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -ERR_AGAIN : err_from_errno(errno);
    if (n == 0)
        return -ERR_EOF;
    text[n] = '\0';
    *ret_fd = -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return 0;
}

int wire_bind_format(char text[WIRE_TEXT_MAX], const struct listen_spec *s)
{
    int n = snprintf(text, WIRE_TEXT_MAX, "bind %d %d %d %zu %zu %o %s %s %s", s->backlog,
                     s->is_v6_only, s->is_multipath, s->so_rcvbuf, s->so_sndbuf, s->mode,
                     s->owner ? s->owner : "-", s->group ? s->group : "-", s->address);
    return n > 0 && n < WIRE_TEXT_MAX ? 0 : -ERR_TOO_LONG;
}

int wire_bind_parse(char *text, struct listen_spec *ret)
{
    struct listen_spec s = {0};
    int v6, multipath, at = 0, owner = 0, group = 0, owner_end = 0, group_end = 0;
    if (sscanf(text, "bind %d %d %d %zu %zu %o %n%*s%n %n%*s%n %n", &s.backlog, &v6, &multipath,
               &s.so_rcvbuf, &s.so_sndbuf, &s.mode, &owner, &owner_end, &group, &group_end,
               &at) != 6 ||
        at == 0 || !text[at])
        return -ERR_SYNTAX;
    text[owner_end] = text[group_end] = '\0';
    s.is_v6_only = v6;
    s.is_multipath = multipath;
    s.owner = strcmp(text + owner, "-") == 0 ? NULL : text + owner;
    s.group = strcmp(text + group, "-") == 0 ? NULL : text + group;
    s.address = text + at;
    *ret = s;
    return 0;
}

/* The answer has a way of its own: other messages may be under way. */
int wire_ask_bind(int fd, const struct listen_spec *spec, int *ret_fd, char **ret_error)
{
    char text[WIRE_TEXT_MAX];
    int passed = -1, way[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, way) < 0)
        return err_from_errno(errno);
    AUTO_CLOSE int mine = way[0];
    struct pollfd p = {.fd = mine, .events = POLLIN};
    int err = wire_bind_format(text, spec);
    if (err == 0)
        err = wire_send(fd, text, way[1]);
    close(way[1]);
    if (err == 0 && poll(&p, 1, WIRE_ANSWER_MS) <= 0)
        err = -ERR_TIMEOUT;
    if (err == 0)
        err = wire_receive(mine, text, &passed);
    if (err == 0 && passed >= 0) {
        *ret_fd = passed;
        return 0;
    }
    const char *words = err == 0 ? wire_after(text, "error") : NULL;
    *ret_error = words ? str_dup_c(words)
                       : str_printf("%s cannot be bound: the supervisor does not answer (%s)",
                                    spec->address, err_text(err));
    return err < 0 ? err : -ERR_IO;
}
