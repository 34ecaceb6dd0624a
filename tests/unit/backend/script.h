/* SPDX-License-Identifier: ISC */
/* A mail server that follows a script, on the loop of the test: says, listens, turns TLS on, hangs
 * up. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/conn.h"

enum script_op {
    SAY,       /* send the text */
    HEAR,      /* wait until exactly this comes */
    HEAR_SOME, /* wait until anything comes, and forget it */
    TLS,       /* the server's side of a handshake */
    CUT        /* close */
};

struct script_step {
    enum script_op op;
    struct str text;
};

#define S(literal)                                                                                 \
    {                                                                                              \
        SAY, STR(literal)                                                                          \
    }
#define C(literal)                                                                                 \
    {                                                                                              \
        HEAR, STR(literal)                                                                         \
    }
#define START_TLS                                                                                  \
    {                                                                                              \
        TLS,                                                                                       \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
#define HANG_UP                                                                                    \
    {                                                                                              \
        CUT,                                                                                       \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* One listener; every connection is served the same script, one at a time. After the last step it
 * stays silent. */
struct script {
    struct loop *loop;
    const struct script_step *steps;
    size_t n_steps;
    struct tls_server *tls; /* borrowed */
    bool is_slow;           /* one byte a turn */
    int fd;
    uint16_t port;
    struct event *event;
    struct conn conn;
    struct loop_deferred later;
    struct buf heard;   /* and not yet expected */
    struct buf to_drip; /* with is_slow */
    size_t pos;
    unsigned connections; /* accepted so far */
    bool is_gone;         /* the other side hung up */
    char failure[256];    /* what was heard instead; "" = all as written */
    void (*on_done)(struct script *s);
    void *arg;
};

static inline void script_run(struct script *s);

static inline void script_on_drip(struct loop_deferred *d)
{
    struct script *s = LIST_ITEM(d, struct script, later);
    if (s->to_drip.len > 0 && s->conn.fd >= 0) {
        (void)!conn_send(&s->conn, buf_str(&s->to_drip).p, 1);
        buf_consume(&s->to_drip, 1);
    }
    if (s->to_drip.len > 0)
        loop_again(s->loop, d);
    else
        script_run(s);
}

static inline bool script_say(struct script *s, struct str text)
{
    if (!s->is_slow || text.n == 0) {
        (void)!conn_send(&s->conn, text.p, text.n);
        return true;
    }
    assert_int_equal(buf_append_str(&s->to_drip, text), 0);
    loop_again(s->loop, &s->later);
    return false;
}

/* True when the step is done. */
static inline bool script_hear(struct script *s, struct str want)
{
    struct str got = buf_str(&s->heard);
    size_t n = got.n < want.n ? got.n : want.n;
    if (memcmp(got.p ? got.p : "", want.p, n) != 0) {
        snprintf(s->failure, sizeof(s->failure), "step %zu: want %.*s got %.*s", s->pos,
                 STR_ARG(want), STR_ARG(got));
        conn_close(&s->conn);
        return false;
    }
    if (got.n < want.n)
        return false;
    buf_consume(&s->heard, want.n);
    return true;
}

static inline bool script_step(struct script *s, const struct script_step *step)
{
    switch (step->op) {
    case SAY:
        s->pos++;
        return script_say(s, step->text);
    case HEAR:
        if (!script_hear(s, step->text))
            return false;
        break;
    case HEAR_SOME:
        if (s->heard.len == 0)
            return false;
        buf_clear(&s->heard);
        break;
    case TLS:
        s->pos++;
        if (conn_secure_server(&s->conn, s->tls, NULL) < 0)
            conn_close(&s->conn);
        return false; /* goes on when it is secured */
    case CUT:
        conn_close(&s->conn);
        return false;
    }
    s->pos++;
    return true;
}

static inline void script_run(struct script *s)
{
    while (s->conn.fd >= 0 && s->to_drip.len == 0 && s->pos < s->n_steps)
        if (!script_step(s, &s->steps[s->pos]))
            return;
    if (s->pos == s->n_steps && s->on_done && s->to_drip.len == 0)
        s->on_done(s);
}

static inline void script_on_secured(struct conn *c, int err)
{
    struct script *s = c->owner;
    if (err == 0) {
        script_run(s);
        return;
    }
    s->is_gone = true;
    conn_close(c);
}

/* Not more than the step waits for: what follows may be the begin of a handshake. */
static inline size_t script_wanted(const struct script *s, size_t max)
{
    const struct script_step *step = s->pos < s->n_steps ? &s->steps[s->pos] : NULL;
    return step && step->op == HEAR ? step->text.n - s->heard.len : max;
}

static inline void script_on_readable(struct conn *c)
{
    struct script *s = c->owner;
    char bytes[4096];
    size_t n;
    int err;
    while ((err = conn_read(c, bytes, script_wanted(s, sizeof(bytes)), &n)) == 0) {
        assert_int_equal(buf_append(&s->heard, bytes, n), 0);
        script_run(s);
    }
    if (err != -ERR_AGAIN) {
        s->is_gone = true;
        conn_close(c);
    }
}

static inline void script_on_accept(evutil_socket_t fd, short what, void *arg)
{
    static const struct conn_ops ops = {.secured = script_on_secured,
                                        .readable = script_on_readable};
    struct script *s = arg;
    (void)what;
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0)
        return;
    conn_close(&s->conn);
    conn_init(&s->conn, s->loop, &ops, s);
    assert_int_equal(conn_adopt(&s->conn, accepted), 0);
    s->connections++;
    s->pos = 0;
    s->is_gone = false;
    buf_clear(&s->heard);
    buf_clear(&s->to_drip);
    loop_undefer(&s->later);
    conn_want_read(&s->conn, true);
    script_run(s);
}

static inline void script_listen(struct script *s, struct loop *l, int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(listen(fd, 64), 0);
    s->loop = l;
    s->fd = fd;
    conn_init(&s->conn, l, NULL, s);
    list_init(&s->later.link);
    s->later.fn = script_on_drip;
    s->event = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, script_on_accept, s);
    assert_int_equal(event_add(s->event, NULL), 0);
}

/* A bound socket; port 0 = the kernel chooses. */
static inline int script_bind(const char *ip, uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, ip, &sin.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    if (ret_port)
        *ret_port = ntohs(sin.sin_port);
    return fd;
}

/* On 127.0.0.1, any port. Zero-initialise, set steps and tls, then this. */
static inline void script_start(struct script *s, struct loop *l)
{
    int fd = script_bind("127.0.0.1", 0, &s->port);
    script_listen(s, l, fd);
}

static inline void script_start_unix(struct script *s, struct loop *l, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(str_copy(sun.sun_path, sizeof(sun.sun_path), str_of(path)));
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    script_listen(s, l, fd);
}

/* No more connections; the port refuses from now on. */
static inline void script_close(struct script *s)
{
    if (s->event)
        event_free(s->event);
    s->event = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* Harmless when it was never started. */
static inline void script_stop(struct script *s)
{
    if (!s->loop)
        return;
    script_close(s);
    conn_close(&s->conn);
    loop_undefer(&s->later);
    buf_fini(&s->heard);
    buf_fini(&s->to_drip);
}

/* ---- running the loop ---- */

struct until {
    struct loop_timer limit;
    struct loop *loop;
    bool (*is_done)(void *arg);
    void *arg;
    bool is_late;
};

static inline void until_on_look(evutil_socket_t fd, short what, void *arg)
{
    struct until *u = arg;
    (void)fd;
    (void)what;
    if (u->is_done(u->arg))
        loop_stop(u->loop);
}

static inline void until_on_limit(struct loop_timer *t)
{
    struct until *u = CONTAINER_OF(t, struct until, limit);
    u->is_late = true;
    loop_stop(u->loop);
}

/* An assertion in a callback has left the loop in the middle of its turn: nothing of it may be
 * touched any more. */
static bool is_loop_left;

/* Runs the loop until something is the case; fails the test after 20 s. */
static inline void run_until(struct loop *l, bool (*is_done)(void *arg), void *arg)
{
    const struct timeval each = {0, 2000};
    struct until u = {.loop = l, .is_done = is_done, .arg = arg};
    struct event *look = event_new(loop_base(l), -1, EV_PERSIST, until_on_look, &u);
    assert_int_equal(event_add(look, &each), 0);
    loop_timer_init(&u.limit, until_on_limit);
    loop_timer_set(l, &u.limit, 20000);
    is_loop_left = true;
    assert_int_equal(loop_run(l), 0);
    is_loop_left = false;
    loop_timer_cancel(l, &u.limit);
    event_free(look);
    if (u.is_late)
        fail_msg("nothing happened within 20 s");
}
