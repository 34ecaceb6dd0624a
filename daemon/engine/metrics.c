/* SPDX-License-Identifier: ISC */
/* Serving the metrics page by evhttp. */
#include "engine/metrics.h"

#include <event2/buffer.h>
#include <event2/http.h>

#include "base/cleanup.h"

#define METRICS_TIMEOUT_S 10
#define METRICS_HEADERS_MAX (16 * 1024)
#define METRICS_BODY_MAX 1024

struct metrics {
    struct evhttp *http;
    struct control *control;
};

static void on_metrics(struct evhttp_request *request, void *arg)
{
    struct metrics *m = arg;
    AUTO_BUF text = BUF_INIT;
    struct evbuffer *body = evbuffer_new();
    if (!body || control_metrics(m->control, &text) < 0 ||
        evbuffer_add(body, text.data + text.start, text.len) != 0) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    } else {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                          "text/plain; version=0.0.4; charset=utf-8");
        evhttp_send_reply(request, HTTP_OK, "OK", body);
    }
    if (body)
        evbuffer_free(body);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

int metrics_new(struct loop *l, int fd, struct control *c, struct metrics **ret)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m || !(m->http = evhttp_new(loop_base(l)))) {
        free(m);
        return -ERR_NOMEM;
    }
    m->control = c;
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_timeout(m->http, METRICS_TIMEOUT_S);
    /* Whoever reaches the page could fill the memory otherwise. */
    evhttp_set_max_headers_size(m->http, METRICS_HEADERS_MAX);
    evhttp_set_max_body_size(m->http, METRICS_BODY_MAX);
    evhttp_set_gencb(m->http, on_other, m);
    if (evhttp_set_cb(m->http, "/metrics", on_metrics, m) != 0 ||
        evhttp_accept_socket(m->http, fd) != 0) {
        metrics_free(m);
        return -ERR_NOMEM;
    }
    *ret = m;
    return 0;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    evhttp_free(m->http);
    free(m);
}
