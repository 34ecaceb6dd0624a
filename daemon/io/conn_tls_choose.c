/* SPDX-License-Identifier: ISC */
/* Which certificate a client is shown, chosen before its handshake begins: where it is one of a
 * directory it may have to be loaded first, and nothing is read from the client meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "io/conn_tls_priv.h"
#include "io/loop_priv.h"
#include "io/tls/tls_certs.h"
#include "io/tls/tls_hello.h"

#define CHOOSE_WAIT_MS 3000 /* for a certificate to be loaded; then the default one is shown */
#define CHOOSE_READ_BYTES 2048

/* Exists while a client waits for its certificate. */
struct conn_tls_wait {
    struct list link; /* of the loop's waits */
    struct conn_tls *tls;
    struct loop_timer timer;
    bool is_late;
};

/* ---- waiting ---- */

static void wait_over(struct conn_tls_wait *w)
{
    struct conn *c = w->tls->conn;
    c->is_waiting = false;
    conn_update_read(c);
    loop_again(c->loop, &c->again);
}

static void on_late(struct loop_timer *t)
{
    struct conn_tls_wait *w = CONTAINER_OF(t, struct conn_tls_wait, timer);
    w->is_late = true;
    wait_over(w);
}

struct loaded_mail {
    struct mail mail;
    struct loop *loop;
};

/* All of this loop look again: which of them wait for what was loaded is theirs to find out. */
static void on_loaded(struct mail *m, void *owner)
{
    struct loaded_mail *l = CONTAINER_OF(m, struct loaded_mail, mail);
    struct loop_tls_io *io = loop_tls_io(l->loop);
    (void)owner;
    if (io)
        LIST_FOREACH (it, &io->waits)
            wait_over(LIST_ITEM(it, struct conn_tls_wait, link));
    free(l);
}

/* Thread: whoever loads. Without memory the clients find out when they are late. */
static void choose_wake(void *arg)
{
    struct loaded_mail *l = calloc(1, sizeof(*l));
    if (!l)
        return;
    l->mail.fn = on_loaded;
    l->loop = arg;
    mailbox_post(loop_mailbox(arg), &l->mail);
}

static int wait_start(struct conn *c)
{
    struct conn_tls *t = c->tls;
    struct loop_tls_io *io = loop_tls_io(c->loop);
    if (!t->wait) {
        struct conn_tls_wait *w = io ? calloc(1, sizeof(*w)) : NULL;
        if (!w)
            return -ERR_NOMEM;
        w->tls = t;
        loop_timer_init(&w->timer, on_late);
        loop_timer_set(c->loop, &w->timer, CHOOSE_WAIT_MS);
        list_add_tail(&io->waits, &w->link);
        t->wait = w;
    }
    c->is_waiting = true;
    conn_update_read(c);
    return 0;
}

void conn_tls_wait_end(struct conn *c)
{
    struct conn_tls_wait *w = STEAL(c->tls->wait);
    c->is_waiting = false;
    if (!w)
        return;
    loop_timer_cancel(c->loop, &w->timer);
    list_del(&w->link);
    free(w);
}

/* ---- the name ---- */

/* Reads ahead until the name is there; the handshake gets the bytes after that. The same results as
 * of tls_hello_name. */
static int choose_name(struct conn *c, char name[TLS_HELLO_NAME_MAX])
{
    struct conn_tls *t = c->tls;
    int err;
    while ((err = tls_hello_name(buf_str(&t->rest), name)) == -ERR_AGAIN) {
        if (c->is_dry)
            return -ERR_AGAIN;
        if (t->is_raw_eof || buf_reserve(&t->rest, CHOOSE_READ_BYTES) < 0)
            return -ERR_NOT_FOUND;
        ssize_t n;
        do
            n = recv(c->fd, buf_tail(&t->rest), CHOOSE_READ_BYTES, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return -ERR_NOT_FOUND; /* the handshake meets the error, too */
        c->is_dry = n < CHOOSE_READ_BYTES && n != 0;
        t->is_raw_eof = n == 0;
        buf_commit(&t->rest, n > 0 ? (size_t)n : 0);
    }
    return err;
}

int conn_tls_choose(struct conn *c)
{
    struct conn_tls *t = c->tls;
    char name[TLS_HELLO_NAME_MAX];
    struct tls_certs *certs = tls_server_certs(t->server);
    const struct tls_waker w = {choose_wake, c->loop};
    int err = choose_name(c, name);
    if (err == 0)
        err = tls_certs_pick(certs, str_of(name), loop_now_ms(c->loop), t->wait && t->wait->is_late,
                             &w, &t->pair);
    else if (err == -ERR_AGAIN)
        return err;
    if (err == -ERR_AGAIN && wait_start(c) == 0)
        return -ERR_AGAIN;
    conn_tls_wait_end(c);
    conn_update_read(c);
    t->is_chosen = true;
    if (t->pair && tls_server_show(t->server, t->session, &t->pair) < 0)
        tls_pair_unref(STEAL(t->pair));
    return 0;
}
