/* SPDX-License-Identifier: ISC */
/* The socket under a conn and its TLS: bytes out with what is left kept, its events, its errors. */
#include <errno.h>

#include "io/conn_priv.h"

#define CONN_WIPE_MAX (64 * 1024)

int conn_errno(int errnum)
{
    switch (errnum) {
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
        return ERR_CLOSED;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return ERR_UNREACHABLE;
    case ENOMEM:
        return ERR_NOMEM;
    case EAGAIN: /* connect(2) to a UNIX socket with a full queue */
        return ERR_BUSY;
    default:
        return -err_from_errno(errnum);
    }
}

/* A login's output may hold a password; more at once comes from the relay alone, which must not pay
 * for wiping. */
void conn_drop_out(struct conn *c)
{
    if (c->out.cap <= CONN_WIPE_MAX)
        buf_wipe(&c->out);
    else
        buf_fini(&c->out);
}

/* Marks the connection broken; what was to be sent is of no use any more. */
int conn_break(struct conn *c, int err)
{
    if (!c->error)
        c->error = (uint8_t)err;
    conn_update_read(c);
    conn_drop_out(c);
    if (c->write_event) {
        event_free(c->write_event);
        c->write_event = NULL;
    }
    return -c->error;
}

void conn_update_read(struct conn *c)
{
    bool is_wanted = c->is_securing ? !c->is_waiting : c->is_reading && !c->is_eof && !c->error;
    if (c->fd < 0 || c->is_connecting || is_wanted == c->is_read_armed)
        return;
    if (is_wanted)
        c->is_read_armed = event_add(&c->event, NULL) == 0;
    else if (event_del(&c->event) == 0)
        c->is_read_armed = false;
}

static int conn_arm_write(struct conn *c)
{
    if (c->write_event)
        return 0;
    /* conn.c, above this file, has one callback for both events */
    c->write_event = event_new(loop_base(c->loop), c->fd, EV_WRITE | EV_PERSIST,
                               event_get_callback(&c->event), c);
    if (!c->write_event || event_add(c->write_event, NULL) != 0)
        return conn_break(c, ERR_NOMEM);
    return 0;
}

/* What the kernel said of a send: how much it took, 0 when nothing now, or -1 with errno. */
static ssize_t conn_taken(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* A single piece goes by send(2), which is markedly cheaper than sendmsg(2). */
static ssize_t conn_push(const struct conn *c, const void *p, size_t n)
{
    ssize_t sent;
    do
        sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return conn_taken(sent);
}

static ssize_t conn_push_pieces(const struct conn *c, const struct iovec *iov, int n_iov)
{
    const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    ssize_t sent;
    do
        sent = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return conn_taken(sent);
}

int conn_flush(struct conn *c)
{
    struct str s = buf_str(&c->out);
    ssize_t n = s.n > 0 ? conn_push(c, s.p, s.n) : 0;
    if (n < 0)
        return conn_break(c, conn_errno(errno));
    buf_consume(&c->out, (size_t)n);
    if (c->out.len > 0)
        return conn_arm_write(c);
    conn_drop_out(c);
    if (c->write_event) {
        event_free(c->write_event);
        c->write_event = NULL;
    }
    return 0;
}

/* What is sent now would overtake what waits. */
static bool conn_is_queued(const struct conn *c)
{
    return c->is_corked || c->is_connecting || c->out.len > 0;
}

int conn_raw_send(struct conn *c, const void *p, size_t n)
{
    if (c->error)
        return -c->error;
    bool is_queued = conn_is_queued(c);
    ssize_t sent = is_queued ? 0 : conn_push(c, p, n);
    if (sent < 0)
        return conn_break(c, conn_errno(errno));
    if ((size_t)sent == n)
        return 0;
    if (buf_append(&c->out, (const char *)p + sent, n - (size_t)sent) != 0)
        return conn_break(c, ERR_NOMEM);
    return is_queued ? 0 : conn_arm_write(c);
}

int conn_raw_write(struct conn *c, const struct iovec *iov, int n_iov)
{
    if (c->error)
        return -c->error;
    bool is_queued = conn_is_queued(c);
    ssize_t n = is_queued ? 0 : conn_push_pieces(c, iov, n_iov);
    if (n < 0)
        return conn_break(c, conn_errno(errno));
    size_t sent = (size_t)n;
    for (int i = 0; i < n_iov; i++) {
        size_t all = iov[i].iov_len, skip = sent < all ? sent : all;
        sent -= skip;
        if (all > skip &&
            buf_append(&c->out, (const char *)iov[i].iov_base + skip, all - skip) != 0)
            return conn_break(c, ERR_NOMEM);
    }
    return is_queued || c->out.len == 0 ? 0 : conn_arm_write(c);
}
