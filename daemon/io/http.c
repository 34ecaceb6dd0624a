/* SPDX-License-Identifier: ISC */
/* HTTP client: libcurl's multi_socket interface driven by the loop's events. */
#include "io/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define BODY_MAX_BYTES (1024 * 1024) /* read and thrown away, for the connection's sake */
#define IDLE_EASY_MAX 16
#define GUARD_MS 500 /* a request that curl keeps queued ends this much after its time */

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct event *timer;
    struct http_spec spec; /* strings owned */
    struct list requests;
    CURL *idle[IDLE_EASY_MAX]; /* set up already: making one costs more than a request */
    unsigned n_idle;
    unsigned depth; /* callbacks on the stack */
    bool is_dead;   /* freed inside of one of them */
};

struct http_span {
    size_t name, name_len, value, value_len; /* in `head` */
};

struct http_request {
    struct list link;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *lines;
    struct loop_timer guard;
    void (*cb)(void *arg, const struct http_result *r);
    void *arg;
    struct buf head;  /* bytes of the header block of the last response */
    struct buf spans; /* struct http_span */
    size_t body_bytes;
    bool is_too_long, is_bad, is_body_seen, is_body_delimited;
    bool is_head_complete; /* the empty line is here: a reply cut off before may lack headers */
    bool is_done_early;    /* the headers are here and nothing says where the body ends */
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void curl_start(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void http_collect(struct http_client *c);

/* ---- sockets and timer ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *c = arg;
    int running,
        flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    (void)curl_multi_socket_action(c->multi, fd, flags, &running);
    http_collect(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *c = arg;
    int running;
    (void)fd;
    (void)what;
    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    http_collect(c);
}

/* curl tells which events it wants of a socket; socket_arg is the event made for it before. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *c = arg;
    struct event *ev = socket_arg;
    (void)easy;
    if (ev)
        event_free(ev);
    (void)curl_multi_assign(c->multi, fd, NULL);
    if (what == CURL_POLL_REMOVE)
        return 0;
    short kind = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
                         (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    ev = event_new(loop_base(c->loop), fd, kind, on_socket, c);
    if (!ev || event_add(ev, NULL) != 0) {
        if (ev)
            event_free(ev);
        return -1;
    }
    (void)curl_multi_assign(c->multi, fd, ev);
    return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *c = arg;
    const struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    (void)multi;
    if (timeout_ms < 0)
        event_del(c->timer);
    else if (timeout_ms == 0)
        event_active(c->timer, EV_TIMEOUT, 1);
    else
        event_add(c->timer, &tv);
    return 0;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the reply ---- */

static struct http_span *last_span(struct http_request *r)
{
    struct str s = buf_str(&r->spans);
    return s.n > 0 ? (struct http_span *)(r->spans.data + r->spans.start + s.n -
                                          sizeof(struct http_span))
                   : NULL;
}

/* A folded line (obsolete, RFC 9112 section 5.2) goes on with the value before: it lies right
 * behind it. */
static int add_folded(struct http_request *r, struct str line)
{
    struct http_span *span = last_span(r);
    struct str rest = str_trim(line);
    if (!span)
        return -ERR_PROTOCOL;
    int err = buf_append_char(&r->head, ' ');
    if (err == 0)
        err = buf_append_str(&r->head, rest);
    if (err == 0)
        span->value_len += 1 + rest.n;
    return err;
}

static int add_header(struct http_request *r, struct str line)
{
    struct str value = line;
    struct str name = str_cut(&value, ':');
    if (!value.p || name.n == 0 || str_has_crlf_nul(str_trim(value)))
        return -ERR_PROTOCOL;
    value = str_trim(value);
    if (str_ieq(name, STR("Content-Length")) || str_ieq(name, STR("Transfer-Encoding")))
        r->is_body_delimited = true;
    struct http_span span = {.name = r->head.len,
                             .name_len = name.n,
                             .value = r->head.len + name.n,
                             .value_len = value.n};
    int err = buf_append_str(&r->head, name);
    if (err == 0)
        err = buf_append_str(&r->head, value);
    return err == 0 ? buf_append(&r->spans, &span, sizeof(span)) : err;
}

static bool has_no_body(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 204 || status == 304;
}

/* The empty line. Servers written for nginx, which reads no body, may neither announce the end of
 * theirs nor close: what was wanted is here. */
static int end_of_headers(struct http_request *r)
{
    long status = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    r->is_head_complete = status / 100 != 1;
    if (status / 100 == 1 || r->is_body_delimited || has_no_body(r->easy))
        return 0;
    r->is_done_early = true;
    return -ERR_CANCELLED;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    struct str line = str_n(p, size * n);
    int err;
    if (r->is_body_seen) /* trailers must not pass for headers */
        return line.n;
    if (str_is_prefix(line, STR("HTTP/"))) {
        buf_clear(&r->head);
        buf_clear(&r->spans);
        r->is_body_delimited = false;
        return line.n;
    }
    if (r->head.len + line.n > r->client->spec.max_response_bytes) {
        r->is_too_long = true;
        return 0;
    }
    if (str_trim(line).n == 0)
        err = end_of_headers(r);
    else if (line.p[0] == ' ' || line.p[0] == '\t')
        err = add_folded(r, line);
    else
        err = add_header(r, line);
    r->is_bad = err == -ERR_PROTOCOL;
    return err == 0 ? line.n : 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    (void)p;
    r->is_body_seen = true;
    r->body_bytes += size * n;
    r->is_too_long = r->body_bytes > BODY_MAX_BYTES;
    return r->is_too_long ? 0 : size * n;
}

static int map_curl(const struct http_request *r, CURLcode rc)
{
    if (r->is_done_early)
        return 0;
    switch (rc) {
    case CURLE_OK:
        return r->is_head_complete ? 0 : -ERR_PROTOCOL;
    case CURLE_WRITE_ERROR:
        return r->is_too_long ? -ERR_TOO_LONG : r->is_bad ? -ERR_PROTOCOL : -ERR_NOMEM;
    case CURLE_OPERATION_TIMEDOUT:
        return -ERR_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ERR_DNS;
    case CURLE_COULDNT_CONNECT:
        return -ERR_REFUSED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return -ERR_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return -ERR_PROTOCOL;
    case CURLE_URL_MALFORMAT:
        return -ERR_INVAL;
    case CURLE_OUT_OF_MEMORY:
        return -ERR_NOMEM;
    default:
        return -ERR_IO;
    }
}

static const char *http_words(const struct http_request *r, CURLcode rc)
{
    if (rc == CURLE_OK)
        return "the reply ends within its headers";
    return r->error[0] ? r->error : curl_easy_strerror(rc);
}

/* ---- requests ---- */

/* Everything but the arguments of one request; kept through the life of the handle. */
static CURL *http_easy_new(const struct http_client *c)
{
    const struct http_spec *s = &c->spec;
    CURL *e = curl_easy_init();
    if (!e)
        return NULL;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(e, CURLOPT_PROXY, ""); /* none, not even from the environment */
    rc |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, s->is_verified ? 1L : 0L);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, s->is_verified ? 2L : 0L);
    rc |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    if (s->ca_file)
        rc |= curl_easy_setopt(e, CURLOPT_CAINFO, s->ca_file);
    if (s->cert_file) {
        rc |= curl_easy_setopt(e, CURLOPT_SSLCERT, s->cert_file);
        rc |= curl_easy_setopt(e, CURLOPT_SSLKEY, s->key_file ? s->key_file : s->cert_file);
    }
    if (rc == CURLE_OK)
        return e;
    curl_easy_cleanup(e);
    return NULL;
}

static CURL *http_easy_take(struct http_client *c)
{
    return c->n_idle > 0 ? c->idle[--c->n_idle] : http_easy_new(c);
}

static void http_easy_give(struct http_client *c, CURL *e)
{
    if (!e)
        return;
    if (c->n_idle < IDLE_EASY_MAX)
        c->idle[c->n_idle++] = e;
    else
        curl_easy_cleanup(e);
}

/* Requests carry passwords. */
static void lines_free(struct curl_slist *lines)
{
    for (struct curl_slist *l = lines; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(lines);
}

/* Takes the request out of curl; a transfer that runs loses its connection. */
static void http_request_free(struct http_request *r)
{
    struct http_client *c = r->client;
    if (r->easy) {
        (void)curl_multi_remove_handle(c->multi, r->easy);
        curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, NULL);
        curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, NULL);
    }
    loop_timer_cancel(c->loop, &r->guard);
    list_del(&r->link);
    http_easy_give(c, r->easy);
    lines_free(r->lines);
    buf_wipe(&r->head); /* replies carry passwords */
    buf_fini(&r->spans);
    free(r);
}

static void http_client_destroy(struct http_client *c)
{
    while (!list_is_empty(&c->requests))
        http_request_free(LIST_ITEM(c->requests.next, struct http_request, link));
    while (c->n_idle > 0)
        curl_easy_cleanup(c->idle[--c->n_idle]);
    if (c->multi)
        curl_multi_cleanup(c->multi);
    if (c->timer)
        event_free(c->timer);
    free((char *)c->spec.ca_file);
    free((char *)c->spec.cert_file);
    free((char *)c->spec.key_file);
    free(c);
}

static void http_enter(struct http_client *c)
{
    c->depth++;
}

static void http_leave(struct http_client *c)
{
    if (--c->depth == 0 && c->is_dead)
        http_client_destroy(c);
}

/* Calls back and frees the request, which is out of the client's list meanwhile. */
static void http_finish(struct http_request *r, int err, const char *error)
{
    struct http_result result = {.err = err, .error = err ? error : NULL};
    size_t n = r->spans.len / sizeof(struct http_span);
    struct http_header *headers = n > 0 ? calloc(n, sizeof(*headers)) : NULL;
    const struct http_span *spans = (const struct http_span *)buf_str(&r->spans).p;
    const char *head = buf_str(&r->head).p;
    for (size_t i = 0; headers && i < n; i++) {
        headers[i].name = str_n(head + spans[i].name, spans[i].name_len);
        headers[i].value = str_n(head + spans[i].value, spans[i].value_len);
    }
    if (n > 0 && !headers)
        result.err = -ERR_NOMEM;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &result.status);
    if (result.err == 0) {
        result.headers = headers;
        result.n_headers = n;
    }
    list_del(&r->link);
    r->cb(r->arg, &result);
    free(headers);
    http_request_free(r);
}

static void http_collect(struct http_client *c)
{
    CURLMsg *msg;
    int left;
    http_enter(c);
    while (!c->is_dead && (msg = curl_multi_info_read(c->multi, &left))) {
        struct http_request *r = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode rc = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        (void)curl_multi_remove_handle(c->multi, msg->easy_handle);
        http_finish(r, map_curl(r, rc), http_words(r, rc));
    }
    http_leave(c);
}

static void on_guard(struct loop_timer *t)
{
    struct http_request *r = CONTAINER_OF(t, struct http_request, guard);
    struct http_client *c = r->client;
    http_enter(c);
    (void)curl_multi_remove_handle(c->multi, r->easy);
    http_finish(r, -ERR_TIMEOUT, "timed out waiting for a connection");
    http_leave(c);
}

int http_client_new(struct loop *l, const struct http_spec *spec, struct http_client **ret)
{
    pthread_once(&curl_once, curl_start);
    struct http_client *c = curl_ready == CURLE_OK ? calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return -ERR_NOMEM;
    list_init(&c->requests);
    c->loop = l;
    c->spec = *spec;
    if (c->spec.max_response_bytes == 0)
        c->spec.max_response_bytes = 64 * 1024;
    c->spec.ca_file = str_dup_c(spec->ca_file);
    c->spec.cert_file = str_dup_c(spec->cert_file);
    c->spec.key_file = str_dup_c(spec->key_file);
    c->multi = curl_multi_init();
    c->timer = event_new(loop_base(l), -1, 0, on_timer, c);
    bool is_copied = !c->spec.ca_file == !spec->ca_file && !c->spec.cert_file == !spec->cert_file &&
                     !c->spec.key_file == !spec->key_file;
    if (!c->multi || !c->timer || !is_copied) {
        http_client_destroy(c);
        return -ERR_NOMEM;
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)spec->max_connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS,
                      (long)(spec->max_connections ? spec->max_connections : 16));
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    if (c->depth > 0)
        c->is_dead = true;
    else
        http_client_destroy(c);
}

/* curl takes "Name:" as "leave it out" and wants "Name;" for an empty value. */
static int add_line(struct curl_slist **list, const char *line)
{
    struct str value = str_of(line);
    struct str name = str_cut(&value, ':');
    char *empty = NULL;
    if (!value.p || name.n == 0 || str_has_crlf_nul(str_of(line)))
        return -ERR_INVAL;
    if (str_trim(value).n == 0 && !(empty = str_printf("%.*s;", STR_ARG(name))))
        return -ERR_NOMEM;
    struct curl_slist *longer = curl_slist_append(*list, empty ? empty : line);
    free(empty);
    if (!longer)
        return -ERR_NOMEM;
    *list = longer;
    return 0;
}

static int add_lines(struct curl_slist **list, const char *const *lines, size_t n)
{
    bool has_accept = false;
    int err = 0;
    for (size_t i = 0; err == 0 && i < n; i++) {
        has_accept = has_accept || str_is_iprefix(str_of(lines[i]), STR("Accept:"));
        err = add_line(list, lines[i]);
    }
    if (err != 0 || has_accept)
        return err;
    struct curl_slist *longer =
        curl_slist_append(*list, "Accept:"); /* curl adds its own otherwise */
    if (!longer)
        return -ERR_NOMEM;
    *list = longer;
    return 0;
}

static int http_request_prepare(struct http_request *r, const char *url, const char *unix_path,
                                uint64_t timeout_ms)
{
    CURL *e = r->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, url);
    rc |= curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, unix_path);
    rc |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->lines);
    rc |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    rc |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    rc |= curl_easy_setopt(e, CURLOPT_PRIVATE, r);
    rc |= curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    rc |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
    return rc == CURLE_OK ? 0 : -ERR_INVAL;
}

int http_get(struct http_client *c, const char *url, const char *unix_path,
             const char *const *lines, size_t n_lines, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret)
{
    struct http_request *r = calloc(1, sizeof(*r));
    if (!r)
        return -ERR_NOMEM;
    list_init(&r->link);
    loop_timer_init(&r->guard, on_guard);
    r->client = c;
    r->cb = cb;
    r->arg = arg;
    int err = add_lines(&r->lines, lines, n_lines);
    if (err == 0)
        err = (r->easy = http_easy_take(c)) ? 0 : -ERR_NOMEM;
    if (err == 0)
        err = http_request_prepare(r, url, unix_path, timeout_ms);
    if (err == 0 && curl_multi_add_handle(c->multi, r->easy) != CURLM_OK)
        err = -ERR_NOMEM;
    if (err != 0) {
        http_request_free(r);
        return err;
    }
    list_add_tail(&c->requests, &r->link);
    loop_timer_set(c->loop, &r->guard, timeout_ms + GUARD_MS);
    *ret = r;
    return 0;
}

void http_cancel(struct http_request *r)
{
    if (r)
        http_request_free(r);
}
