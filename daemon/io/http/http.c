/* SPDX-License-Identifier: ISC */
/* HTTP client: requests, their turns and their time. */
#include "io/http/http.h"

#include "base/zalloc.h"
#include "io/http/http_priv.h"
#include "io/http/http_url.h"

#define CONNECTIONS_DEFAULT 16
#define RESPONSE_DEFAULT_BYTES (64 * 1024)
#define CONNECT_DEFAULT_MS 5000

/* ---- requests ---- */

static void http_request_free(struct http_request *r)
{
    loop_timer_cancel(r->client->loop, &r->timeout);
    list_del(&r->link);
    buf_wipe(&r->text);
    free(r);
}

static void http_request_finish(struct http_request *r, const struct http_result *result)
{
    loop_timer_cancel(r->client->loop, &r->timeout);
    list_del(&r->link);
    r->cb(r->arg, result);
    http_request_free(r);
}

static void http_request_fail(struct http_request *r, int err, const char *why)
{
    const struct http_result result = {.err = err, .error = why};
    http_request_finish(r, &result);
}

/* Gives it a connection when there is one to be had; else it waits. */
static int http_request_place(struct http_request *r)
{
    struct http_client *c = r->client;
    while (!r->is_repeated && !list_is_empty(&c->idle))
        if (http_conn_reuse(LIST_ITEM(c->idle.next, struct http_conn, link), r) == 0)
            return 0;
    if (c->n_conns >= c->max_connections && !list_is_empty(&c->idle))
        http_conn_kill(LIST_ITEM(c->idle.prev, struct http_conn, link));
    if (c->n_conns < c->max_connections)
        return http_conn_open(c, r);
    if (list_is_empty(&r->link))
        list_add_tail(&c->waiting, &r->link);
    return 0;
}

static void http_client_continue(struct http_client *c)
{
    while (!c->is_dead && !list_is_empty(&c->waiting)) {
        struct http_request *r = LIST_ITEM(c->waiting.next, struct http_request, link);
        int err = http_request_place(r);
        if (err < 0)
            http_request_fail(r, err, "no memory for a connection");
        else if (!r->conn) /* it has to wait on, and all behind it */
            return;
    }
}

static void on_result(struct http_request *r, const struct http_result *result)
{
    struct http_client *c = r->client;
    if (result) {
        http_request_finish(r, result);
    } else {
        r->is_repeated = true;
        list_add_head(&c->waiting, &r->link);
    }
    http_client_continue(c);
}

static void on_timeout(struct loop_timer *t)
{
    struct http_request *r = CONTAINER_OF(t, struct http_request, timeout);
    struct http_client *c = r->client;
    const char *why = "waiting for a connection";
    if (r->conn) {
        why = r->conn->phase == HTTP_BUSY ? "waiting for the reply" : "connecting";
        http_conn_blame(r->conn);
        http_conn_kill(r->conn);
    }
    http_request_fail(r, -ERR_TIMEOUT, why);
    http_client_continue(c);
}

/* Whole lines "Name: value\r\n": nothing in a value can begin a line of its own. */
static bool http_are_fields(struct str s)
{
    if (str_index(s, '\0') >= 0)
        return false;
    while (s.n > 0) {
        const char *end = memchr(s.p, '\n', s.n);
        size_t n = end ? (size_t)(end - s.p) : 0;
        if (n < 2 || memchr(s.p, '\r', n) != end - 1)
            return false;
        if (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == ':' || !memchr(s.p, ':', n))
            return false;
        s = str_skip(s, n + 1);
    }
    return true;
}

int http_get(struct http_client *c, struct str fields, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret)
{
    if (!http_are_fields(fields))
        return -ERR_INVAL;
    struct http_request *r = zalloc(sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    loop_timer_init(&r->timeout, on_timeout);
    list_init(&r->link);
    r->client = c;
    r->cb = cb;
    r->arg = arg;
    r->started_ms = loop_now_ms(c->loop);
    r->deadline_ms = r->started_ms + timeout_ms;
    struct str start = buf_str(&c->start);
    int err = buf_reserve(&r->text, start.n + fields.n + 2);
    if (err == 0)
        err = buf_append_str(&r->text, start);
    if (err == 0)
        err = buf_append_str(&r->text, fields);
    if (err == 0)
        err = buf_append_c(&r->text, "\r\n");
    if (err == 0)
        err = http_request_place(r);
    if (err < 0) {
        http_request_free(r);
        return err;
    }
    loop_timer_set(c->loop, &r->timeout, timeout_ms);
    *ret = r;
    return 0;
}

bool http_is_sent(const struct http_request *r)
{
    return r->conn != NULL;
}

void http_cancel(struct http_request *r)
{
    if (!r)
        return;
    struct http_client *c = r->client;
    if (r->conn)
        http_conn_kill(r->conn);
    http_request_free(r);
    http_client_continue(c);
}

/* ---- the client ---- */

static void on_http_client_end(struct loop_deferred *d)
{
    struct http_client *c = CONTAINER_OF(d, struct http_client, end);
    tls_client_unref(c->tls);
    buf_fini(&c->start);
    free(c->name);
    free(c->unix_path);
    free(c);
}

static int http_client_set_url(struct http_client *c, const struct http_spec *spec)
{
    struct http_url u;
    const char *why;
    if (!spec->url || http_url_parse(spec->url, &u, &why) < 0 || (u.is_tls && !spec->tls))
        return -ERR_INVAL;
    c->port = u.port;
    c->name = str_dup(u.name);
    c->unix_path = u.unix_path.n > 0 ? str_dup(u.unix_path) : NULL;
    c->tls = u.is_tls ? tls_client_ref(spec->tls) : NULL;
    if (u.unix_path.n > 0)
        c->fixed = (struct addr){.family = AF_UNIX};
    else if (addr_parse_ip(u.name, &c->fixed) == 0)
        c->fixed.port = u.port;
    else
        c->fixed = (struct addr){.family = AF_UNSPEC};
    if (!c->name || (u.unix_path.n > 0 && !c->unix_path))
        return -ERR_NOMEM;
    bool has_slash = u.target.n > 0 && u.target.p[0] == '/';
    return buf_printf(&c->start, "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\n", has_slash ? "" : "/",
                      STR_ARG(u.target), STR_ARG(u.host));
}

int http_client_new(struct loop *l, const struct http_spec *spec, struct http_client **ret)
{
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    list_init(&c->waiting);
    list_init(&c->busy);
    list_init(&c->idle);
    list_init(&c->end.link);
    c->end.fn = on_http_client_end;
    c->on_result = on_result;
    c->loop = l;
    c->resolver = spec->resolver;
    c->max_connections = spec->max_connections ? spec->max_connections : CONNECTIONS_DEFAULT;
    c->max_response_bytes =
        spec->max_response_bytes ? spec->max_response_bytes : RESPONSE_DEFAULT_BYTES;
    c->connect_ms = spec->connect_ms ? spec->connect_ms : CONNECT_DEFAULT_MS;
    int err = http_client_set_url(c, spec);
    if (err < 0) {
        on_http_client_end(&c->end);
        return err;
    }
    *ret = c;
    return 0;
}

static void http_kill_all(struct list *conns)
{
    while (!list_is_empty(conns)) {
        struct http_conn *h = LIST_ITEM(conns->next, struct http_conn, link);
        struct http_request *r = h->request;
        http_conn_kill(h);
        if (r)
            http_request_free(r);
    }
}

void http_client_free(struct http_client *c)
{
    if (!c || c->is_dead)
        return;
    c->is_dead = true;
    http_kill_all(&c->busy);
    http_kill_all(&c->idle);
    while (!list_is_empty(&c->waiting))
        http_request_free(LIST_ITEM(c->waiting.next, struct http_request, link));
    loop_defer(c->loop, &c->end);
}
