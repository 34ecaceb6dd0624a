/* SPDX-License-Identifier: ISC */
/* Serving metrics, liveness and readiness by evhttp. */
#include "engine/metrics.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define METRICS_TIMEOUT_S 10
#define METRICS_HEADERS_MAX (16 * 1024)
#define METRICS_BODY_MAX 1024
#define METRICS_RESUME_MS 250
#define METRICS_CROWDED_MS 10000 /* while others wait nobody stays for longer */

/* A connection. evhttp tells nobody when one ends: its socket is asked for by its cookie, which the
 * kernel gives to no other one. */
struct metrics_client {
    struct bufferevent *bev; /* until evhttp has given it the socket, a reference; then NULL */
    int fd;
    uint64_t cookie, since_ms;
};

struct metrics {
    struct evhttp *http;
    struct control *control;
    struct loop *loop;
    struct evconnlistener *listener; /* of http */
    struct loop_timer resume;
    struct metrics_client clients[METRICS_CLIENTS_MAX];
    size_t n_clients;
    struct loop_deferred look;
};

/* That of this process: libevent hands no argument of ours to those who hear of errors. */
static struct metrics *metrics_page;

/* A page: appends its text and gives its status, or -ERR_x. */
static int page_metrics(struct control *c, struct buf *text)
{
    int err = control_metrics(c, text);
    return err < 0 ? err : HTTP_OK;
}

/* Whoever reads this reaches the thread that steers the others. */
static int page_healthz(struct control *c, struct buf *text)
{
    (void)c;
    int err = buf_append_c(text, "ok\n");
    return err < 0 ? err : HTTP_OK;
}

static int page_readyz(struct control *c, struct buf *text)
{
    const char *why = control_unready(c);
    int err = why ? buf_printf(text, "not ready: %s\n", why) : buf_append_c(text, "ready\n");
    return err < 0 ? err : why ? HTTP_SERVUNAVAIL : HTTP_OK;
}

static const struct metrics_page {
    const char *path, *type;
    int (*text)(struct control *c, struct buf *text);
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
    {"/healthz", "text/plain; charset=utf-8", page_healthz},
    {"/readyz", "text/plain; charset=utf-8", page_readyz},
};

/* arg: the row */
static void on_page(struct evhttp_request *request, void *arg)
{
    const struct metrics_page *page = arg;
    AUTO_BUF text = BUF_INIT;
    struct evbuffer *body = evbuffer_new();
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    int status = body ? page->text(metrics_page->control, &text) : -ERR_NOMEM;
    if (status < 0 || evbuffer_add(body, text.data + text.start, text.len) != 0) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    } else {
        evhttp_add_header(headers, "Content-Type", page->type);
        evhttp_add_header(headers, "Cache-Control", "no-store");
        evhttp_send_reply(request, status, status == HTTP_OK ? "OK" : "Service Unavailable", body);
    }
    if (body)
        evbuffer_free(body);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

/* ---- who is there ---- */

/* 0: it is no socket. */
static uint64_t socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* evhttp has the last ones whole by now. */
static void metrics_look(struct metrics *m)
{
    for (size_t i = 0; i < m->n_clients; i++) {
        struct metrics_client *c = &m->clients[i];
        if (!c->bev)
            continue;
        c->fd = bufferevent_getfd(c->bev);
        c->cookie = socket_cookie(c->fd);
        bufferevent_decref(STEAL(c->bev));
    }
}

static void on_metrics_look(struct loop_deferred *d)
{
    metrics_look(CONTAINER_OF(d, struct metrics, look));
}

static void metrics_forget_gone(struct metrics *m)
{
    size_t n = 0;
    metrics_look(m);
    for (size_t i = 0; i < m->n_clients; i++)
        if (m->clients[i].cookie && socket_cookie(m->clients[i].fd) == m->clients[i].cookie)
            m->clients[n++] = m->clients[i];
    m->n_clients = n;
}

/* Whoever cannot be accepted would wake the loop again and again. */
static void metrics_pause(struct metrics *m)
{
    (void)!evconnlistener_disable(m->listener);
    loop_timer_set(m->loop, &m->resume, METRICS_RESUME_MS);
}

static void on_metrics_resume(struct loop_timer *t)
{
    struct metrics *m = CONTAINER_OF(t, struct metrics, resume);
    uint64_t now = loop_now_ms(m->loop);
    metrics_forget_gone(m);
    if (m->n_clients < METRICS_CLIENTS_MAX) {
        (void)!evconnlistener_enable(m->listener);
        return;
    }
    for (size_t i = 0; i < m->n_clients; i++) /* evhttp hears of it as of an end */
        if (now - m->clients[i].since_ms >= METRICS_CROWDED_MS)
            (void)shutdown(m->clients[i].fd, SHUT_RDWR);
    loop_timer_set(m->loop, &m->resume, METRICS_RESUME_MS);
}

static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)listener;
    (void)arg;
    metrics_pause(metrics_page);
}

/* For a connection that was just accepted. NULL: evhttp makes one by itself, without memory none.
 */
static struct bufferevent *on_metrics_client(struct event_base *base, void *arg)
{
    struct metrics *m = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
    metrics_forget_gone(m);
    if (bev && m->n_clients < METRICS_CLIENTS_MAX) {
        bufferevent_incref(bev);
        m->clients[m->n_clients++] =
            (struct metrics_client){.bev = bev, .since_ms = loop_now_ms(m->loop)};
        loop_defer(m->loop, &m->look);
    }
    if (m->n_clients == METRICS_CLIENTS_MAX)
        metrics_pause(m);
    return bev;
}

int metrics_new(struct loop *l, int fd, struct control *c, struct metrics **ret)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m || !(m->http = evhttp_new(loop_base(l)))) {
        free(m);
        return -ERR_NOMEM;
    }
    m->control = c;
    m->loop = l;
    loop_timer_init(&m->resume, on_metrics_resume);
    list_init(&m->look.link);
    m->look.fn = on_metrics_look;
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_timeout(m->http, METRICS_TIMEOUT_S);
    /* Whoever reaches the page could fill the memory otherwise. */
    evhttp_set_max_headers_size(m->http, METRICS_HEADERS_MAX);
    evhttp_set_max_body_size(m->http, METRICS_BODY_MAX);
    evhttp_set_gencb(m->http, on_other, m);
    evhttp_set_bevcb(m->http, on_metrics_client, m);
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        failed |= evhttp_set_cb(m->http, pages[i].path, on_page, (void *)(uintptr_t)&pages[i]);
    struct evhttp_bound_socket *bound =
        failed == 0 ? evhttp_accept_socket_with_handle(m->http, fd) : NULL;
    if (!bound) {
        metrics_free(m);
        return -ERR_NOMEM;
    }
    metrics_page = m;
    m->listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(m->listener, on_accept_failed);
    *ret = m;
    return 0;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    loop_timer_cancel(m->loop, &m->resume);
    loop_undefer(&m->look);
    metrics_look(m);
    evhttp_free(m->http);
    free(m);
}
