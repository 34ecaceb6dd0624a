/* SPDX-License-Identifier: ISC */
/* Serving metrics, liveness and readiness by evhttp. */
#include "engine/metrics.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "base/cleanup.h"

#define METRICS_TIMEOUT_S 10
#define METRICS_HEADERS_MAX (16 * 1024)
#define METRICS_BODY_MAX 1024
#define METRICS_RESUME_MS 250

struct metrics {
    struct evhttp *http;
    struct control *control;
    struct loop *loop;
    struct evconnlistener *listener; /* of http */
    struct loop_timer resume;
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

static void on_metrics_resume(struct loop_timer *t)
{
    (void)!evconnlistener_enable(CONTAINER_OF(t, struct metrics, resume)->listener);
}

/* Whoever cannot be accepted would wake the loop again and again. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    (void)!evconnlistener_disable(listener);
    loop_timer_set(metrics_page->loop, &metrics_page->resume, METRICS_RESUME_MS);
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
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_timeout(m->http, METRICS_TIMEOUT_S);
    /* Whoever reaches the page could fill the memory otherwise. */
    evhttp_set_max_headers_size(m->http, METRICS_HEADERS_MAX);
    evhttp_set_max_body_size(m->http, METRICS_BODY_MAX);
    evhttp_set_gencb(m->http, on_other, m);
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
    evhttp_free(m->http);
    free(m);
}
