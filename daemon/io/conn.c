/* SPDX-License-Identifier: ISC */
/* Stream sockets: connecting, the turns in which they are read, TLS or not, half close. */
#include "io/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include "io/conn_priv.h"

static void on_again(struct loop_deferred *d);

void conn_init(struct conn *c, struct loop *l, const struct conn_ops *ops, void *owner)
{
    *c = (struct conn){.ops = ops, .owner = owner, .loop = l, .fd = -1};
    c->visit_left = CONN_VISIT_BYTES;
    c->again.fn = on_again;
    list_init(&c->again.link);
}

/* shutdown(SHUT_WR) as soon as everything was sent. */
static void conn_finish_shutdown(struct conn *c)
{
    if (!c->is_shutdown_wanted || c->is_shutdown_sent || c->fd < 0)
        return;
    if (c->is_connecting || c->is_securing || c->error)
        return;
    if (c->tls)
        conn_tls_bye(c);
    if (c->out.len > 0)
        return;
    (void)shutdown(c->fd, SHUT_WR);
    c->is_shutdown_sent = true;
}

/* Tells the owner that the connection is broken (c->error is set). */
static void conn_report(struct conn *c)
{
    c->is_dry = false;
    if (c->ops->readable)
        c->ops->readable(c);
}

/* Queues the conn when there is more to be read that epoll cannot see, or that this visit must not
 * read; else takes it out of the queue. */
static void conn_rearm(struct conn *c)
{
    bool has_more = c->is_cut || (c->tls && !c->is_securing && conn_tls_has_pending(c->tls));
    bool is_wanted = has_more && c->fd >= 0 && c->is_reading && !c->is_eof && !c->error;
    if (c->is_again || is_wanted || (has_more && c->is_securing))
        loop_again(c->loop, &c->again);
    else
        loop_undefer(&c->again);
}

void conn_read_again(struct conn *c)
{
    if (c->fd < 0 || c->error)
        return;
    c->is_again = true;
    loop_again(c->loop, &c->again);
}

/* Corked: the last flight, the ticket and what the owner says first leave in one packet. */
static void conn_handshake(struct conn *c)
{
    c->is_corked = true;
    int err = conn_tls_handshake(c);
    if (err == 0) {
        conn_update_read(c);
        c->ops->secured(c, 0);
        /* else it is closed, or uncorked by the owner */
        if (c->is_corked && conn_uncork(c) != 0)
            conn_report(c);
        return;
    }
    if (conn_uncork(c) == 0 && err == -ERR_AGAIN)
        return;
    c->is_securing = false;
    if (err == -ERR_AGAIN)
        err = -c->error;
    else if (!c->error)
        c->error = (uint8_t)-err;
    conn_update_read(c);
    c->ops->secured(c, err);
}

/* One turn of one connection: everything that its peer can make us do at once. */
static void conn_visit(struct conn *c)
{
    c->visit_left = CONN_VISIT_BYTES;
    c->is_cut = c->is_again = false;
    if (c->tls)
        conn_tls_visit(c->tls);
    if (c->is_securing)
        conn_handshake(c);
    else
        c->ops->readable(c);
    conn_rearm(c);
}

static void on_again(struct loop_deferred *d)
{
    conn_visit(CONTAINER_OF(d, struct conn, again));
}

static void on_writable(struct conn *c)
{
    if (c->is_corked)
        return;
    if (conn_flush(c) != 0) {
        conn_report(c);
        return;
    }
    if (c->out.len > 0)
        return;
    conn_finish_shutdown(c);
    if (!c->is_securing && c->ops->drained)
        c->ops->drained(c);
}

/* Of the read event, and of the write event that conn_raw.c adds beside it. */
static void on_conn_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd;
    if (what & EV_WRITE) {
        on_writable(c);
        return;
    }
    if (!list_is_empty(&c->again.link))
        return;
    c->is_dry = false;
    /* Public-key operations take a thousand times what a command takes: handshakes share what is
     * left of the turn behind the events of all others. */
    if (c->is_securing)
        loop_again(c->loop, &c->again);
    else
        conn_visit(c);
}

void conn_own(struct conn *c, const struct conn_ops *ops, void *owner)
{
    c->ops = ops;
    c->owner = owner;
}

int conn_move(struct conn *to, struct conn *from)
{
    bool is_at_rest = from->fd >= 0 && !from->error && !from->is_connecting && !from->is_securing &&
                      !from->is_corked && !from->is_shutdown_wanted && from->out.len == 0;
    if (!is_at_rest)
        return -ERR_BUSY;
    conn_init(to, from->loop, from->ops, from->owner);
    int err = conn_adopt(to, from->fd);
    if (err < 0)
        return err;
    loop_undefer(&from->again);
    event_del(&from->event);
    if (from->write_event)
        event_free(from->write_event);
    to->is_reading = from->is_reading;
    to->is_eof = from->is_eof;
    to->is_again = from->is_again;
    to->in_bytes = from->in_bytes;
    to->out_bytes = from->out_bytes;
    to->tls = from->tls;
    if (to->tls)
        conn_tls_moved(to);
    conn_drop_out(from);
    conn_init(from, from->loop, from->ops, from->owner);
    conn_update_read(to);
    conn_rearm(to);
    return 0;
}

int conn_adopt(struct conn *c, int fd)
{
    if (event_assign(&c->event, loop_base(c->loop), fd, EV_READ | EV_PERSIST, on_conn_event, c) !=
        0)
        return -ERR_NOMEM;
    c->fd = fd;
    return 0;
}

/* The embedded event waits for the connection first and turns into the read event then. */
static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    int error = 0;
    socklen_t len = sizeof(error);
    (void)what;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    c->is_connecting = false;
    int err = error ? conn_errno(error) : 0;
    if (err == 0 && event_assign(&c->event, loop_base(c->loop), fd, EV_READ | EV_PERSIST,
                                 on_conn_event, c) != 0)
        err = ERR_NOMEM;
    if (err == 0 && c->out.len > 0)
        err = -conn_flush(c);
    if (err != 0) {
        conn_close(c);
    } else {
        conn_update_read(c);
        conn_finish_shutdown(c);
    }
    c->ops->connected(c, -err);
}

/* For IPv4 it means that all ports to that place are taken. For IPv6 it may as well be that this
 * host has none of its addresses. */
static int conn_connect_errno(int errnum, int family)
{
    return errnum == EADDRNOTAVAIL && family == AF_INET ? ERR_SHORTAGE : conn_errno(errnum);
}

static int conn_open(struct conn *c, int fd, const struct sockaddr *sa, socklen_t len)
{
    if (event_assign(&c->event, loop_base(c->loop), fd, EV_WRITE, on_connect, c) != 0)
        return -ERR_NOMEM;
    if (connect(fd, sa, len) == 0) {
        event_active(&c->event, EV_WRITE,
                     1); /* the owner hears of it like of any other success: later */
    } else if (errno != EINPROGRESS) {
        return -conn_connect_errno(errno, sa->sa_family);
    } else if (event_add(&c->event, NULL) != 0) {
        return -ERR_NOMEM;
    }
    c->fd = fd;
    c->is_connecting = true;
    return 0;
}

static int conn_bind_source(int fd, const struct addr *source)
{
    struct sockaddr_storage ss;
    int on = 1;
    socklen_t len = addr_to_sockaddr(source, &ss);
    /* The port is chosen at connect time, so that it only has to be unique per destination. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return 0;
    bool is_shortage = errno == EADDRNOTAVAIL || errno == EADDRINUSE; /* of addresses or ports */
    return is_shortage ? -ERR_SHORTAGE : -conn_errno(errno);
}

static int conn_open_tcp(struct conn *c, const struct addr *to, const struct addr *source,
                         int (*open)(struct conn *, int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_storage ss;
    if (to->family != AF_INET && to->family != AF_INET6)
        return -ERR_INVAL;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -conn_errno(errno);
    int on = 1; /* UNIX sockets know no such thing */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int err = source ? conn_bind_source(fd, source) : 0;
    if (err == 0)
        err = open(c, fd, (struct sockaddr *)&ss, len);
    if (err != 0)
        close(fd);
    return err;
}

int conn_connect(struct conn *c, const struct addr *to, const struct addr *source)
{
    return conn_open_tcp(c, to, source, conn_open);
}

/* What becomes of the connect is told by the first read. */
static int conn_open_unconfirmed(struct conn *c, int fd, const struct sockaddr *sa, socklen_t len)
{
    if (connect(fd, sa, len) != 0 && errno != EINPROGRESS)
        return -conn_connect_errno(errno, sa->sa_family);
    int err = conn_adopt(c, fd);
    if (err < 0)
        return err;
    conn_want_read(c, true);
    if (c->is_read_armed)
        return 0;
    c->fd = -1;
    c->is_reading = false;
    return -ERR_NOMEM;
}

int conn_connect_unconfirmed(struct conn *c, const struct addr *to, const struct addr *source)
{
    return conn_open_tcp(c, to, source, conn_open_unconfirmed);
}

bool conn_is_connected(const struct conn *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    return c->fd >= 0 && getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0;
}

int conn_connect_unix(struct conn *c, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (!str_copy(sun.sun_path, sizeof(sun.sun_path), str_of(path)))
        return -ERR_TOO_LONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -conn_errno(errno);
    int err = conn_open(c, fd, (struct sockaddr *)&sun, sizeof(sun));
    if (err != 0)
        close(fd);
    return err;
}

static void conn_set_tcp(int fd, int level, int name, uint64_t value)
{
    const int v = (int)value;
    (void)setsockopt(fd, level, name, &v, sizeof(v));
}

void conn_keep_alive(struct conn *c, uint64_t idle_ms)
{
    const uint64_t idle_s = (idle_ms + 999) / 1000;
    conn_set_tcp(c->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    conn_set_tcp(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    conn_set_tcp(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, idle_s / 6 + 1);
    /* data that nobody acknowledges keeps the kernel from asking: this counts for both */
    conn_set_tcp(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 2 * idle_s * 1000);
}

int conn_read(struct conn *c, void *p, size_t cap, size_t *ret_n)
{
    if (c->fd < 0)
        return -ERR_CLOSED;
    if (c->error)
        return -c->error;
    if (c->is_connecting || c->is_securing)
        return -ERR_AGAIN;
    if (c->tls)
        return conn_tls_read(c, p, cap, ret_n);
    if (c->is_eof)
        return -ERR_EOF;
    if (c->is_dry)
        return -ERR_AGAIN;
    if (c->visit_left == 0) {
        c->is_cut = true;
        return -ERR_AGAIN;
    }
    cap = cap < c->visit_left ? cap : c->visit_left;
    ssize_t n;
    do
        n = recv(c->fd, p, cap, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -ERR_AGAIN
                                                       : conn_break(c, conn_errno(errno));
    if (n == 0) {
        c->is_eof = true;
        conn_update_read(c);
        return -ERR_EOF;
    }
    c->is_dry = (size_t)n <
                cap; /* saves the call that would only say EAGAIN; epoll reports what comes later */
    c->in_bytes += (size_t)n;
    c->visit_left -= (uint32_t)n;
    *ret_n = (size_t)n;
    return 0;
}

int conn_send(struct conn *c, const void *p, size_t n)
{
    if (c->fd < 0 || c->is_shutdown_wanted)
        return -ERR_CLOSED;
    if (c->error)
        return -c->error;
    if (n == 0)
        return 0;
    int err = c->tls ? conn_tls_send(c, p, n) : conn_raw_send(c, p, n);
    if (err == 0)
        c->out_bytes += n;
    return err;
}

void conn_cork(struct conn *c)
{
    c->is_corked = true;
}

int conn_uncork(struct conn *c)
{
    c->is_corked = false;
    if (c->fd < 0)
        return -ERR_CLOSED;
    if (c->error)
        return -c->error;
    if (c->is_connecting || c->out.len == 0)
        return 0;
    int err = conn_flush(c);
    if (err == 0)
        conn_finish_shutdown(c);
    return err;
}

size_t conn_pending(const struct conn *c)
{
    return c->out.len;
}

void conn_want_read(struct conn *c, bool on)
{
    if (c->is_reading == on)
        return;
    c->is_reading = on;
    c->is_dry = false;
    conn_update_read(c);
    conn_rearm(c);
}

void conn_shutdown(struct conn *c)
{
    c->is_shutdown_wanted = true;
    conn_finish_shutdown(c);
}

/* The order matters: the farewell needs the socket, and libevent must forget the descriptor before
 * its number is used again. */
void conn_close(struct conn *c)
{
    if (c->fd < 0)
        return;
    int err = c->is_corked ? conn_uncork(c) : -c->error;
    if (c->tls) {
        if (!c->is_securing && err == 0 && c->out.len == 0)
            conn_tls_bye(c);
        conn_tls_free(c);
    }
    loop_undefer(&c->again);
    event_del(&c->event);
    if (c->write_event)
        event_free(c->write_event);
    close(c->fd);
    conn_drop_out(c);
    uint64_t in_bytes = c->in_bytes, out_bytes = c->out_bytes;
    conn_init(c, c->loop, c->ops, c->owner);
    c->in_bytes = in_bytes;
    c->out_bytes = out_bytes;
}

int conn_local_addr(const struct conn *c, struct addr *ret)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    if (c->fd < 0)
        return -ERR_CLOSED;
    if (getsockname(c->fd, (struct sockaddr *)&ss, &len) != 0)
        return err_from_errno(errno);
    addr_from_sockaddr(ret, (struct sockaddr *)&ss, len);
    return 0;
}
