/* SPDX-License-Identifier: ISC */
/* One connection to an HTTP server: its addresses in turn, TLS, one request after the other. */
#include <stdio.h>

#include "io/http/http_priv.h"

#define IDLE_MS 60000
#define ATTEMPT_MIN_MS 250 /* least time for one address of several */
#define READ_BYTES 16384
#define READS_MAX 4 /* of one event */

static void http_conn_next(struct http_conn *h);

/* ---- end ---- */

static void on_http_conn_end(struct loop_deferred *d)
{
    struct http_conn *h = CONTAINER_OF(d, struct http_conn, later);
    http_reply_fini(&h->reply);
    free(h);
}

void http_conn_kill(struct http_conn *h)
{
    if (h->phase == HTTP_DEAD)
        return;
    struct http_client *c = h->client;
    h->phase = HTTP_DEAD;
    if (h->request)
        h->request->conn = NULL;
    h->request = NULL;
    resolver_cancel(STEAL(h->query));
    loop_timer_cancel(c->loop, &h->timer);
    conn_close(&h->conn);
    list_del(&h->link);
    c->n_conns--;
    h->later.fn = on_http_conn_end;
    loop_defer(c->loop, &h->later);
}

void http_conn_blame(struct http_conn *h)
{
    struct http_client *c = h->client;
    const struct http_server *s = http_server_find(c, &h->at);
    bool has_served_others = s && s->last_success_ms > h->request->started_ms;
    if (h->phase != HTTP_START && !has_served_others)
        http_server_failed(c, &h->at, -ERR_TIMEOUT);
}

/* Ends the connection and its request. */
static void http_conn_fail(struct http_conn *h, int err, const char *why)
{
    char text[HTTP_WHY_MAX];
    struct http_client *c = h->client;
    struct http_request *r = h->request;
    const struct http_result result = {.err = err, .error = text};
    (void)str_copy(text, sizeof(text), str_of(why)); /* may be the connection's own */
    http_conn_kill(h);
    c->on_result(r, &result);
}

/* The connection broke before the reply was complete. One that was kept may have been closed by the
 * server while nobody asked, which says nothing of the request. */
static void http_conn_broken(struct http_conn *h, int err, const char *why)
{
    struct http_client *c = h->client;
    struct http_request *r = h->request;
    bool is_silent = h->reply.head_bytes == 0;
    if (is_silent && h->is_kept && !r->is_repeated) {
        http_conn_kill(h);
        c->on_result(r, NULL);
        return;
    }
    if (is_silent)
        http_server_failed(c, &h->at, err);
    http_conn_fail(h, err, why);
}

/* ---- the exchange ---- */

static int http_conn_ask(struct http_conn *h)
{
    struct str text = buf_str(&h->request->text);
    h->phase = HTTP_BUSY;
    return conn_send(&h->conn, text.p, text.n);
}

/* Bytes beyond the reply are nobody's: such a connection is not trusted with another request. */
static void http_conn_replied(struct http_conn *h, bool is_clean)
{
    struct http_client *c = h->client;
    struct http_request *r = STEAL(h->request);
    struct http_reply reply = h->reply;
    const struct http_result result = {
        .status = reply.status, .headers = reply.headers, .n_headers = reply.n_headers};
    h->reply = (struct http_reply){.max_bytes = reply.max_bytes};
    r->conn = NULL;
    http_server_worked(c, &h->at);
    if (reply.is_kept && is_clean) {
        h->phase = HTTP_IDLE;
        h->is_kept = true;
        list_del(&h->link);
        list_add_head(&c->idle, &h->link); /* the one used last is asked next: others grow old */
        loop_timer_set(c->loop, &h->timer, IDLE_MS);
    } else {
        http_conn_kill(h);
    }
    c->on_result(r, &result);
    http_reply_fini(&reply);
}

static void on_http_conn_readable(struct conn *conn)
{
    struct http_conn *h = conn->owner;
    char *p = loop_scratch(h->client->loop);
    for (unsigned i = 0; i < READS_MAX && h->phase != HTTP_DEAD; i++) {
        size_t n = 0, used = 0;
        int err = conn_read(conn, p, READ_BYTES, &n);
        if (err == -ERR_AGAIN)
            return;
        if (h->phase != HTTP_BUSY) {
            http_conn_kill(h); /* closed, or speaks unasked */
        } else if (err < 0) {
            http_conn_broken(h, err == -ERR_EOF ? -ERR_PROTOCOL : err,
                             http_reply_end_text(&h->reply));
        } else {
            err = http_reply_feed(&h->reply, str_n(p, n), &used);
            if (err == 0)
                http_conn_replied(h, used == n);
            else if (err != -ERR_AGAIN)
                http_conn_fail(h, err, "the reply is not HTTP, or too long");
        }
        explicit_bzero(p, n); /* replies carry passwords */
    }
}

/* ---- connecting ---- */

static void http_conn_ready(struct http_conn *h)
{
    loop_timer_cancel(h->client->loop, &h->timer);
    conn_want_read(&h->conn, true);
    int err = http_conn_ask(h);
    if (err < 0)
        http_conn_broken(h, err, "sending the request");
}

/* This address does not work; the next one may. A certificate that is not the server's says more
 * than that nobody listens at its other address. */
static void http_conn_missed(struct http_conn *h, int err, const char *what)
{
    char at[ADDR_TEXT_MAX];
    const char *tls = conn_tls_error(&h->conn);
    if (h->phase >= h->failed_in) {
        addr_format(at, &h->at);
        snprintf(h->why, sizeof(h->why), "%s %s%s%s", what, at, tls ? ": " : "", tls ? tls : "");
        h->failed_in = h->phase;
        h->err = err;
    }
    http_server_failed(h->client, &h->at, err);
    conn_close(&h->conn);
    http_conn_next(h);
}

static void on_http_conn_connected(struct conn *conn, int err)
{
    struct http_conn *h = conn->owner;
    const struct http_client *c = h->client;
    if (err < 0) {
        http_conn_missed(h, err, "connecting to");
        return;
    }
    if (!c->tls) {
        http_conn_ready(h);
        return;
    }
    h->phase = HTTP_SECURE;
    err = conn_secure_client(&h->conn, c->tls, c->name);
    if (err < 0)
        http_conn_missed(h, err, "TLS with");
}

static void on_http_conn_secured(struct conn *conn, int err)
{
    struct http_conn *h = conn->owner;
    if (err < 0)
        http_conn_missed(h, err, "TLS with");
    else
        http_conn_ready(h);
}

static const struct conn_ops http_conn_ops = {
    .connected = on_http_conn_connected,
    .secured = on_http_conn_secured,
    .readable = on_http_conn_readable,
};

static void http_conn_next(struct http_conn *h)
{
    struct http_client *c = h->client;
    while (h->next_addr < h->n_addrs) {
        h->at = h->addrs[h->next_addr++];
        if (!http_server_try(c, &h->at))
            continue;
        /* An address gets its share of the time that the request has left. */
        uint64_t now = loop_now_ms(c->loop), end = h->request->deadline_ms;
        uint64_t share = (end > now ? end - now : 0) / (h->n_addrs - h->next_addr + 1);
        share = share > ATTEMPT_MIN_MS ? share : ATTEMPT_MIN_MS;
        h->phase = HTTP_CONNECT;
        loop_timer_set(c->loop, &h->timer, share < c->connect_ms ? share : c->connect_ms);
        int err = c->unix_path ? conn_connect_unix(&h->conn, c->unix_path)
                               : conn_connect(&h->conn, &h->at, NULL);
        if (err == 0)
            return;
        http_server_failed(c, &h->at, err);
        if (h->failed_in <= HTTP_CONNECT) {
            h->err = err;
            (void)str_copy(h->why, sizeof(h->why), STR("connecting"));
        }
    }
    http_conn_fail(h, h->err, h->why);
}

static void on_http_conn_timer(struct loop_timer *t)
{
    struct http_conn *h = CONTAINER_OF(t, struct http_conn, timer);
    if (h->phase == HTTP_IDLE)
        http_conn_kill(h);
    else
        http_conn_missed(h, -ERR_TIMEOUT, "connecting to");
}

static void on_http_conn_resolved(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct http_conn *h = arg;
    h->query = NULL;
    if (err < 0) {
        http_conn_fail(h, err, h->client->name);
        return;
    }
    for (size_t i = 0; i < n && h->n_addrs < HTTP_ADDRESSES_MAX; i++) {
        h->addrs[h->n_addrs] = addrs[i];
        h->addrs[h->n_addrs++].port = h->client->port;
    }
    http_conn_next(h);
}

static void on_start(struct loop_deferred *d)
{
    struct http_conn *h = CONTAINER_OF(d, struct http_conn, later);
    struct http_client *c = h->client;
    if (c->unix_path || c->fixed.family != AF_UNSPEC) {
        h->addrs[h->n_addrs++] = c->fixed;
        http_conn_next(h);
    } else if (!c->resolver) {
        http_conn_fail(h, -ERR_DNS, c->name);
    } else {
        h->query = resolver_lookup(c->resolver, c->name, on_http_conn_resolved, h);
        if (!h->query)
            http_conn_fail(h, -ERR_NOMEM, "looking up the name");
    }
}

/* ---- beginning ---- */

static void http_conn_bind(struct http_conn *h, struct http_request *r)
{
    h->request = r;
    r->conn = h;
    list_del(&r->link);
}

int http_conn_open(struct http_client *c, struct http_request *r)
{
    struct http_conn *h = calloc(1, sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    h->client = c;
    h->reply.max_bytes = c->max_response_bytes;
    h->err = -ERR_UNREACHABLE;
    (void)str_copy(h->why, sizeof(h->why), STR("it failed several times in a row and rests"));
    conn_init(&h->conn, c->loop, &http_conn_ops, h);
    loop_timer_init(&h->timer, on_http_conn_timer);
    list_init(&h->link);
    list_add_tail(&c->busy, &h->link);
    c->n_conns++;
    http_conn_bind(h, r);
    list_init(&h->later.link);
    h->later.fn = on_start;
    loop_defer(c->loop, &h->later);
    return 0;
}

int http_conn_reuse(struct http_conn *h, struct http_request *r)
{
    struct http_client *c = h->client;
    loop_timer_cancel(c->loop, &h->timer);
    http_conn_bind(h, r);
    list_del(&h->link);
    list_add_tail(&c->busy, &h->link);
    if (http_conn_ask(h) == 0)
        return 0;
    http_conn_kill(h);
    return -ERR_CLOSED;
}
