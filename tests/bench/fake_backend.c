/* SPDX-License-Identifier: ISC */
/* The fake servers' sockets: accepting, cutting lines, sending, and news for idle sessions. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "fake.h"

#define FAKE_TICK_MS 50

const struct fake_proto *const fake_protos[4] = {&fake_imap, &fake_pop3, &fake_smtp, &fake_http};

struct fake_listener {
    struct net_source source;
    struct fake *fake;
    const struct fake_proto *proto;
};

static void fake_free(struct fake_session *f)
{
    net_close(&f->source);
    if (!list_is_empty(&f->link)) {
        list_del(&f->link);
        f->fake->n_idle--;
    }
    buf_fini(&f->in);
    buf_fini(&f->out);
    buf_fini(&f->tail);
    free(f);
}

/* ---- speaking ---- */

void fake_say(struct fake_session *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (buf_vprintf(f->body > 0 ? &f->tail : &f->out, fmt, ap) < 0)
        f->is_closing = true;
    va_end(ap);
}

static void fake_sent(struct fake_session *f, size_t n)
{
    size_t part = n < f->out.len ? n : f->out.len;
    buf_consume(&f->out, part);
    n -= part;
    part = n < f->body ? n : f->body;
    f->body -= part;
    n -= part;
    buf_consume(&f->tail, n);
}

/* 0 when everything was taken or the kernel is full, -ERR_CLOSED. */
static int fake_flush(struct fake_session *f)
{
    while (f->out.len > 0 || f->body > 0 || f->tail.len > 0) {
        size_t body = f->body < FAKE_BODY_BYTES ? f->body : FAKE_BODY_BYTES;
        struct str out = buf_str(&f->out), tail = buf_str(&f->tail);
        struct iovec iov[] = {{(void *)out.p, out.n},
                              {f->fake->body, body},
                              {(void *)tail.p, body == f->body ? tail.n : 0}};
        const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
        ssize_t n = sendmsg(f->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -ERR_CLOSED;
        fake_sent(f, (size_t)n);
    }
    buf_fini(&f->out);
    buf_fini(&f->tail);
    return f->is_closing ? -ERR_CLOSED : 0;
}

bool fake_run(struct fake_session *f, const struct fake_command *commands, size_t n,
              struct str verb, struct str args)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(verb, str_of(commands[i].verb))) {
            f->command = &commands[i];
            commands[i].run(f, args);
            return true;
        }
    return false;
}

/* ---- listening ---- */

/* What completes a line goes to the protocol; a rest without its end waits in f->in. */
static int fake_feed(struct fake_session *f, struct str s)
{
    while (s.n > 0) {
        size_t n = s.n < f->skip ? s.n : f->skip;
        f->skip -= n;
        s = str_n(s.p + n, s.n - n);
        const char *end = s.n > 0 ? memchr(s.p, '\n', s.n) : NULL;
        if (!end)
            return buf_append_str(&f->in, s);
        struct str line = str_n(s.p, (size_t)(end - s.p));
        s = str_n(end + 1, s.n - line.n - 1);
        if (f->in.len > 0) {
            if (buf_append_str(&f->in, line) < 0)
                return -ERR_NOMEM;
            line = buf_str(&f->in);
        }
        f->proto->line(f, str_trim(line));
        buf_fini(&f->in);
    }
    return 0;
}

static int fake_read(struct fake_session *f)
{
    ssize_t n;
    do {
        n = recv(f->source.fd, f->fake->in, sizeof(f->fake->in), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return -ERR_CLOSED;
        if (n > 0 && fake_feed(f, str_n(f->fake->in, (size_t)n)) < 0)
            return -ERR_NOMEM;
    } while (n == (ssize_t)sizeof(f->fake->in));
    return 0;
}

static void on_session(struct net_source *s, uint32_t events)
{
    struct fake_session *f = CONTAINER_OF(s, struct fake_session, source);
    int err = events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? fake_read(f) : 0;
    if (err == 0)
        err = fake_flush(f);
    if (err < 0)
        fake_free(f);
}

static void fake_accept(struct fake_listener *l, int fd)
{
    struct fake_session *f = calloc(1, sizeof(*f));
    if (!f || net_add(&l->fake->net, &f->source, fd) < 0) {
        close(fd);
        free(f);
        return;
    }
    f->source.ready = on_session;
    f->fake = l->fake;
    f->proto = l->proto;
    list_init(&f->link);
    if (f->proto->greet)
        f->proto->greet(f);
    if (fake_flush(f) < 0)
        fake_free(f);
}

static void on_listener(struct net_source *s, uint32_t events)
{
    struct fake_listener *l = CONTAINER_OF(s, struct fake_listener, source);
    int fd;
    (void)events;
    while ((fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        fake_accept(l, fd);
}

static int fake_listen(struct fake *all, struct str host, size_t proto)
{
    struct addr a;
    struct fake_listener *l = calloc(1, sizeof(*l));
    if (!l || addr_parse(host, &a) < 0) {
        free(l);
        return -ERR_INVAL;
    }
    a.port = all->ports[proto];
    *l = (struct fake_listener){
        .source = {.ready = on_listener}, .fake = all, .proto = fake_protos[proto]};
    int fd = net_listen(&a);
    return fd < 0 ? fd : net_add(&all->net, &l->source, fd);
}

/* ---- news ---- */

/* Spread evenly: each tick serves its share of the sessions, the longest waiting first. */
static void fake_push(struct fake *all)
{
    size_t share = (all->n_idle * FAKE_TICK_MS + all->push_ms - 1) / all->push_ms;
    for (size_t i = 0; i < share; i++) {
        struct fake_session *f = LIST_ITEM(all->idle.next, struct fake_session, link);
        list_del(&f->link);
        list_add_tail(&all->idle, &f->link);
        fake_say(f, "* 8 EXISTS\r\n");
        (void)!fake_flush(f); /* a broken session ends with its own event */
    }
}

static int fake_serve(struct fake *all)
{
    uint64_t tick_ms = 0;
    int err = 0;
    while (err == 0) {
        err = net_turn(&all->net, all->push_ms > 0 && all->n_idle > 0 ? FAKE_TICK_MS : -1);
        if (all->push_ms > 0 && all->n_idle > 0 && clock_ms() >= tick_ms + FAKE_TICK_MS) {
            tick_ms = clock_ms();
            fake_push(all);
        }
    }
    return err;
}

/* ---- start ---- */

static int fake_option(struct fake *all, struct str arg)
{
    uint64_t n;
    struct str value = arg;
    struct str name = str_cut(&value, '=');
    if (str_eq(name, STR("hosts"))) {
        while (value.n > 0 && all->n_hosts < FAKE_HOSTS_MAX)
            all->hosts[all->n_hosts++] = str_cut(&value, ',');
        return 0;
    }
    if (str_to_u64(value, UINT16_MAX, &n) < 0)
        return -ERR_INVAL;
    if (str_eq(name, STR("push_ms"))) {
        all->push_ms = n;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(fake_protos); i++)
        if (str_eq(name, str_of(fake_protos[i]->name))) {
            all->ports[i] = (uint16_t)n;
            return 0;
        }
    return -ERR_INVAL;
}

static int fake_start(struct fake *all)
{
    int err = net_init(&all->net);
    for (size_t h = 0; err == 0 && h < all->n_hosts; h++)
        for (size_t i = 0; err == 0 && i < ARRAY_LEN(fake_protos); i++)
            if (all->ports[i])
                err = fake_listen(all, all->hosts[h], i);
    return err;
}

int main(int argc, char **argv)
{
    static struct fake all;
    list_init(&all.idle);
    for (size_t i = 0; i < sizeof(all.body); i++)
        all.body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 26);
    int err = 0;
    for (int i = 1; err == 0 && i < argc; i++)
        err = fake_option(&all, str_of(argv[i]));
    signal(SIGPIPE, SIG_IGN);
    net_raise_files();
    if (err == 0)
        err = fake_start(&all);
    if (err == 0) {
        puts("ready");
        fflush(stdout);
        err = fake_serve(&all);
    }
    fprintf(stderr, "fake_backend: %s\n", err_text(err));
    return 1;
}
