/* SPDX-License-Identifier: ISC */
/* HTTP client: requests, and the connections that serve one after the other. */
#include "io/http.h"

#include "base/cleanup.h"
#include "io/conn.h"
#include "io/http_reply.h"
#include "io/http_url.h"

#define IDLE_MAX 16
#define ADDRESSES_MAX 4
#define HEAD_DEFAULT_BYTES (64 * 1024)
#define READ_BYTES 16384

/* Where a request goes; a connection serves those with the same target. */
struct http_target {
    char *host;      /* owned */
    char *unix_path; /* owned, NULL = TCP */
    uint16_t port;
    bool is_https;
};

struct http_client {
    struct loop *loop;
    struct http_spec spec;  /* strings owned */
    struct tls_client *tls; /* made for the first https request */
    struct list idle, busy; /* connections; the one that was used last comes first */
    struct list waiting;    /* requests for which there is no connection, oldest first */
    struct list asked;      /* requests that have one, or have failed */
};

struct http_link {
    struct list link;
    struct http_client *client;   /* NULL = over, freed at the end of the turn */
    struct http_request *request; /* NULL = idle */
    struct conn conn;
    struct http_target target;
    struct resolver_query *query;
    struct addr addrs[ADDRESSES_MAX];
    size_t n_addrs, next_addr;
    struct loop_timer attempt; /* the time of one address of several */
    struct loop_deferred death;
    const char *doing; /* for errors */
    bool is_open;      /* requests can be sent */
    bool is_proven;    /* it brought a reply */
};

struct http_request {
    struct list link;
    struct http_client *client;
    struct http_link *via; /* NULL = none */
    struct http_target target;
    struct buf bytes;
    struct http_reply reply;
    struct loop_timer timer;
    struct loop_deferred later; /* failures are told at the end of the turn */
    uint64_t due_ms;
    bool is_retried;
    int err;
    char error[128];
    void (*cb)(void *arg, const struct http_result *r);
    void *arg;
};

static void http_dispatch(struct http_client *c);
static void link_connect_next(struct http_link *l);

/* ---- targets ---- */

static void target_fini(struct http_target *t)
{
    free(t->host);
    free(t->unix_path);
    *t = (struct http_target){0};
}

static int target_copy(struct http_target *dst, const struct http_target *src)
{
    *dst = *src;
    dst->host = str_dup_c(src->host);
    dst->unix_path = str_dup_c(src->unix_path);
    if (dst->host && !dst->unix_path == !src->unix_path)
        return 0;
    target_fini(dst);
    return -ERR_NOMEM;
}

static bool target_eq(const struct http_target *a, const struct http_target *b)
{
    return a->port == b->port && a->is_https == b->is_https && strcmp(a->host, b->host) == 0 &&
           str_eq(str_of(a->unix_path), str_of(b->unix_path));
}

/* ---- ends ---- */

static void on_death(struct loop_deferred *d)
{
    struct http_link *l = CONTAINER_OF(d, struct http_link, death);
    target_fini(&l->target);
    free(l);
}

static void link_close(struct http_link *l)
{
    struct loop *loop = l->client->loop;
    loop_timer_cancel(loop, &l->attempt);
    resolver_cancel(STEAL(l->query));
    conn_close(&l->conn);
    list_del(&l->link);
    l->client = NULL;
    loop_defer(loop, &l->death);
}

static void request_free(struct http_request *r)
{
    list_del(&r->link);
    loop_undefer(&r->later);
    buf_wipe(&r->bytes);
    http_reply_fini(&r->reply);
    target_fini(&r->target);
    free(r);
}

/* The callback may free the client: what is touched after it is the request's own. */
static void request_finish(struct http_request *r)
{
    struct http_result result = {.err = r->err, .status = r->reply.status};
    AUTO_FREE struct http_header *headers = http_reply_headers(&r->reply, &result.n_headers);
    loop_timer_cancel(r->client->loop, &r->timer);
    list_del(&r->link);
    if (!headers)
        result.err = -ERR_NOMEM;
    if (result.err == 0)
        result.headers = headers;
    else
        result = (struct http_result){.err = result.err, .error = r->error};
    r->cb(r->arg, &result);
    request_free(r);
}

static void on_failed(struct loop_deferred *d)
{
    request_finish(CONTAINER_OF(d, struct http_request, later));
}

static void request_fail(struct http_request *r, int err, const char *why)
{
    r->via = NULL;
    r->err = err;
    (void)str_copy(r->error, sizeof(r->error), str_of(why));
    list_del(&r->link);
    list_add_tail(&r->client->asked, &r->link);
    loop_defer(r->client->loop, &r->later);
}

/* A server may close a kept connection whenever it likes: the request goes over another one then,
 * once. */
static bool link_may_retry(const struct http_link *l)
{
    return l->is_proven && !l->request->reply.has_begun && !l->request->is_retried;
}

/* why NULL = what was going on. */
static void link_fail(struct http_link *l, int err, const char *why)
{
    struct http_client *c = l->client;
    struct http_request *r = l->request;
    if (r && link_may_retry(l)) {
        r->is_retried = true;
        r->via = NULL;
        list_del(&r->link);
        list_add_head(&c->waiting, &r->link);
    } else if (r) {
        request_fail(r, err, why ? why : l->doing);
    }
    link_close(l);
    http_dispatch(c);
}

static void on_request_due(struct loop_timer *t)
{
    struct http_request *r = CONTAINER_OF(t, struct http_request, timer);
    struct http_client *c = r->client;
    struct http_link *l = r->via;
    request_fail(r, -ERR_TIMEOUT, l ? l->doing : "waiting for a connection");
    if (l)
        link_close(l);
    http_dispatch(c);
}

/* ---- replies ---- */

static void link_ask(struct http_link *l)
{
    struct http_request *r = l->request;
    l->is_open = true;
    l->doing = "waiting for the reply";
    http_reply_fini(&r->reply);
    http_reply_init(&r->reply, l->client->spec.max_response_bytes);
    int err = conn_send(&l->conn, r->bytes.data + r->bytes.start, r->bytes.len);
    if (err < 0)
        link_fail(l, err, NULL);
    else
        conn_want_read(&l->conn, true);
}

static bool http_is_idle_full(const struct http_client *c)
{
    size_t n = 0;
    LIST_FOREACH (it, &c->idle)
        n++;
    return n >= IDLE_MAX;
}

static void link_served(struct http_link *l, bool is_clean)
{
    struct http_client *c = l->client;
    struct http_request *r = STEAL(l->request);
    r->via = NULL;
    l->is_proven = true;
    list_del(&l->link);
    if (is_clean && r->reply.is_kept && !http_is_idle_full(c))
        list_add_head(&c->idle, &l->link);
    else
        link_close(l);
    http_dispatch(c);
    request_finish(r);
}

static void link_feed(struct http_link *l, char *in, size_t n)
{
    size_t used = 0;
    int err = http_reply_feed(&l->request->reply, str_n(in, n), &used);
    explicit_bzero(in, n); /* replies carry passwords */
    if (err == 0)
        link_served(l, used == n);
    else if (err != -ERR_AGAIN)
        link_fail(l, err, "reading the reply");
}

static void on_readable(struct conn *conn)
{
    struct http_link *l = conn->owner;
    char *in = loop_scratch(l->client->loop);
    size_t n;
    int err = conn_read(conn, in, READ_BYTES, &n);
    if (err == -ERR_AGAIN)
        return;
    if (err == 0 && l->request)
        link_feed(l, in, n);
    else if (err == -ERR_EOF)
        link_fail(l, -ERR_PROTOCOL,
                  l->request && l->request->reply.has_begun ? "the reply is cut off"
                                                            : "the server closed the connection");
    else /* broken, or words that nobody asked for */
        link_fail(l, err, NULL);
}

/* ---- connecting ---- */

/* TLS credentials are only loaded when somebody asks for https. */
static int http_make_tls(struct http_client *c, char **ret_error)
{
    const struct tls_client_spec spec = {.is_verified = c->spec.is_verified,
                                         .ca_file = c->spec.ca_file,
                                         .cert_file = c->spec.cert_file,
                                         .key_file = c->spec.key_file};
    *ret_error = NULL;
    return c->tls ? 0 : tls_client_new(&spec, &c->tls, ret_error);
}

static void link_secure(struct http_link *l)
{
    AUTO_FREE char *error = NULL;
    l->doing = "securing the connection";
    int err = http_make_tls(l->client, &error);
    if (err == 0)
        err = conn_secure_client(&l->conn, l->client->tls, l->target.host);
    if (err < 0)
        link_fail(l, err == -ERR_NOMEM ? err : -ERR_TLS, error);
}

static void on_secured(struct conn *conn, int err)
{
    struct http_link *l = conn->owner;
    if (err < 0)
        link_fail(l, err == -ERR_NOMEM ? err : -ERR_TLS, conn_tls_error(conn));
    else
        link_ask(l);
}

static void on_connected(struct conn *conn, int err)
{
    struct http_link *l = conn->owner;
    loop_timer_cancel(l->client->loop, &l->attempt);
    if (err < 0 && l->next_addr < l->n_addrs)
        link_connect_next(l);
    else if (err < 0)
        link_fail(l, err, NULL);
    else if (l->target.is_https)
        link_secure(l);
    else
        link_ask(l);
}

static const struct conn_ops link_ops = {
    .connected = on_connected, .secured = on_secured, .readable = on_readable};

static void on_attempt_over(struct loop_timer *t)
{
    struct http_link *l = CONTAINER_OF(t, struct http_link, attempt);
    conn_close(&l->conn);
    link_connect_next(l);
}

/* An address gets its share of the time that is left, the last one all of it. */
static void link_connect_next(struct http_link *l)
{
    struct loop *loop = l->client->loop;
    uint64_t now_ms = loop_now_ms(loop), due_ms = l->request->due_ms;
    int err = -ERR_UNREACHABLE;
    while (err < 0 && l->next_addr < l->n_addrs) {
        size_t n_left = l->n_addrs - l->next_addr;
        if (n_left > 1)
            loop_timer_set(loop, &l->attempt, due_ms > now_ms ? (due_ms - now_ms) / n_left : 1);
        else
            loop_timer_cancel(loop, &l->attempt);
        err = conn_connect(&l->conn, &l->addrs[l->next_addr++], NULL);
    }
    if (err < 0)
        link_fail(l, err, NULL);
}

static void on_resolved(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct http_link *l = arg;
    l->query = NULL;
    if (err < 0) {
        link_fail(l, err, NULL);
        return;
    }
    for (; l->n_addrs < n && l->n_addrs < ADDRESSES_MAX; l->n_addrs++) {
        l->addrs[l->n_addrs] = addrs[l->n_addrs];
        l->addrs[l->n_addrs].port = l->target.port;
    }
    l->doing = "connecting";
    link_connect_next(l);
}

static void link_resolve(struct http_link *l)
{
    struct resolver *resolver = l->client->spec.resolver;
    struct addr a;
    l->doing = "looking up the server's name";
    if (addr_parse(str_of(l->target.host), &a) == 0)
        on_resolved(l, 0, &a, 1);
    else if (!resolver)
        link_fail(l, -ERR_DNS, NULL);
    else if (!(l->query = resolver_lookup(resolver, l->target.host, on_resolved, l)))
        link_fail(l, -ERR_NOMEM, NULL);
}

static void link_start(struct http_link *l)
{
    l->doing = "connecting";
    if (!l->target.unix_path) {
        link_resolve(l);
        return;
    }
    int err = conn_connect_unix(&l->conn, l->target.unix_path);
    if (err < 0)
        link_fail(l, err, NULL);
}

static struct http_link *link_new(struct http_client *c, const struct http_target *t)
{
    struct http_link *l = calloc(1, sizeof(*l));
    if (!l || target_copy(&l->target, t) < 0) {
        free(l);
        return NULL;
    }
    l->client = c;
    list_init(&l->link);
    list_init(&l->death.link);
    l->death.fn = on_death;
    loop_timer_init(&l->attempt, on_attempt_over);
    conn_init(&l->conn, c->loop, &link_ops, l);
    return l;
}

/* ---- requests find connections ---- */

static struct http_link *http_find(const struct list *links, const struct http_target *t,
                                   size_t *ret_n)
{
    struct http_link *found = NULL;
    *ret_n = 0;
    LIST_FOREACH (it, links) {
        struct http_link *l = LIST_ITEM(it, struct http_link, link);
        if (!target_eq(&l->target, t))
            continue;
        ++*ret_n;
        found = found ? found : l;
    }
    return found;
}

/* An idle connection, or whether there may be a new one. */
static bool http_has_link(const struct http_client *c, const struct http_target *t,
                          struct http_link **ret)
{
    size_t n;
    *ret = http_find(&c->idle, t, &n);
    if (*ret || c->spec.max_connections == 0)
        return true;
    (void)http_find(&c->busy, t, &n);
    return n < c->spec.max_connections;
}

static void request_go(struct http_request *r, struct http_link *l)
{
    struct http_client *c = r->client;
    if (!l && !(l = link_new(c, &r->target))) {
        request_fail(r, -ERR_NOMEM, "connecting");
        return;
    }
    r->via = l;
    l->request = r;
    list_del(&r->link);
    list_add_tail(&c->asked, &r->link);
    list_del(&l->link);
    list_add_tail(&c->busy, &l->link);
    if (l->is_open)
        link_ask(l);
    else
        link_start(l);
}

/* Each step may change the lists, so each begins anew. */
static void http_dispatch(struct http_client *c)
{
    bool is_going = true;
    while (is_going) {
        is_going = false;
        LIST_FOREACH (it, &c->waiting) {
            struct http_request *r = LIST_ITEM(it, struct http_request, link);
            struct http_link *l;
            is_going = http_has_link(c, &r->target, &l);
            if (!is_going)
                continue;
            request_go(r, l);
            break;
        }
    }
}

/* ---- the client ---- */

int http_client_new(struct loop *l, const struct http_spec *spec, struct http_client **ret)
{
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    list_init(&c->idle);
    list_init(&c->busy);
    list_init(&c->waiting);
    list_init(&c->asked);
    c->loop = l;
    c->spec = *spec;
    if (c->spec.max_response_bytes == 0)
        c->spec.max_response_bytes = HEAD_DEFAULT_BYTES;
    c->spec.ca_file = str_dup_c(spec->ca_file);
    c->spec.cert_file = str_dup_c(spec->cert_file);
    c->spec.key_file = str_dup_c(spec->key_file);
    bool is_copied = !c->spec.ca_file == !spec->ca_file && !c->spec.cert_file == !spec->cert_file &&
                     !c->spec.key_file == !spec->key_file;
    if (!is_copied) {
        http_client_free(c);
        return -ERR_NOMEM;
    }
    *ret = c;
    return 0;
}

static void http_drop_requests(struct list *requests)
{
    while (!list_is_empty(requests)) {
        struct http_request *r = LIST_ITEM(requests->next, struct http_request, link);
        loop_timer_cancel(r->client->loop, &r->timer);
        request_free(r);
    }
}

static void http_drop_links(struct list *links)
{
    while (!list_is_empty(links))
        link_close(LIST_ITEM(links->next, struct http_link, link));
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    http_drop_requests(&c->waiting);
    http_drop_requests(&c->asked);
    http_drop_links(&c->idle);
    http_drop_links(&c->busy);
    tls_client_unref(c->tls);
    free((char *)c->spec.ca_file);
    free((char *)c->spec.cert_file);
    free((char *)c->spec.key_file);
    free(c);
}

/* ---- the request ---- */

static int request_target(struct http_request *r, const struct http_url *u, const char *unix_path)
{
    r->target = (struct http_target){.host = str_dup(u->host),
                                     .unix_path = str_dup_c(unix_path),
                                     .port = u->port,
                                     .is_https = u->is_https};
    return r->target.host && !r->target.unix_path == !unix_path ? 0 : -ERR_NOMEM;
}

int http_get(struct http_client *c, const char *url, const char *unix_path,
             const char *const *lines, size_t n_lines, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret)
{
    struct http_url u;
    if (http_url_parse(str_of(url), &u) < 0)
        return -ERR_INVAL;
    struct http_request *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    list_init(&r->link);
    list_init(&r->later.link);
    r->later.fn = on_failed;
    loop_timer_init(&r->timer, on_request_due);
    r->client = c;
    r->cb = cb;
    r->arg = arg;
    int err = request_target(r, &u, unix_path);
    if (err == 0)
        err = http_url_get(&u, lines, n_lines, &r->bytes);
    if (err < 0) {
        request_free(r);
        return err;
    }
    r->due_ms = loop_now_ms(c->loop) + timeout_ms;
    loop_timer_set(c->loop, &r->timer, timeout_ms);
    list_add_tail(&c->waiting, &r->link);
    *ret = r;
    http_dispatch(c);
    return 0;
}

void http_cancel(struct http_request *r)
{
    if (!r)
        return;
    struct http_client *c = r->client;
    struct http_link *l = r->via;
    loop_timer_cancel(c->loop, &r->timer);
    request_free(r);
    if (l) {
        link_close(l);
        http_dispatch(c);
    }
}
