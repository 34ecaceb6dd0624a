/* SPDX-License-Identifier: ISC */
/* HTTP client: libcurl's multi_socket interface driven by the loop's events. */
#include "io/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "io/http_reply.h"

#define IDLE_EASY_MAX 16

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct event *timer;
    struct http_spec spec;        /* strings owned */
    CURLU *url;                   /* read once: curl does it slowly; NULL = it is none */
    struct list running, waiting; /* struct http_request; curl knows of the first ones only */
    size_t n_running;
    CURL *idle[IDLE_EASY_MAX]; /* set up already: making one costs more than a request */
    unsigned n_idle;
    unsigned depth; /* callbacks on the stack */
    bool is_dead;   /* freed inside of one of them */
};

struct http_request {
    struct list link;
    struct http_client *client;
    CURL *easy; /* NULL = waits for its turn */
    struct curl_slist *lines;
    struct loop_timer timeout;
    void (*cb)(void *arg, const struct http_result *r);
    void *arg;
    struct http_reply reply;
    int reply_err; /* why it is not read to its end */
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

/* Anything but n ends the transfer. */
static size_t http_took(struct http_request *r, size_t n, int err)
{
    r->reply_err = err;
    return err == 0 ? n : 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    return http_took(r, size * n, http_reply_line(&r->reply, str_n(p, size * n)));
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    (void)p;
    return http_took(r, size * n, http_reply_body(&r->reply, size * n));
}

static int http_error(const struct http_request *r, CURLcode rc)
{
    if (r->reply.is_done_early)
        return 0;
    switch (rc) {
    case CURLE_OK:
        return r->reply.is_head_complete ? 0 : -ERR_PROTOCOL;
    case CURLE_WRITE_ERROR:
        return r->reply_err ? r->reply_err : -ERR_IO;
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

/* ---- requests ---- */

static const char *http_words(const struct http_request *r, CURLcode rc)
{
    if (rc == CURLE_OK)
        return "the reply ends within its headers";
    return r->error[0] ? r->error : curl_easy_strerror(rc);
}

/* Whom to ask and how, which is the same for all requests. No limits of time: a request has its
 * own timer, which also covers the time that it waits for its turn. */
static CURLcode http_easy_set_up(const struct http_client *c, CURL *e)
{
    const struct http_spec *s = &c->spec;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_CURLU, c->url);
    rc |= curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, s->unix_path);
    rc |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(e, CURLOPT_PROXY, ""); /* none, not even from the environment */
    rc |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, s->is_verified ? 1L : 0L);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, s->is_verified ? 2L : 0L);
    rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    rc |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (s->ca_file)
        rc |= curl_easy_setopt(e, CURLOPT_CAINFO, s->ca_file);
    if (s->cert_file) {
        rc |= curl_easy_setopt(e, CURLOPT_SSLCERT, s->cert_file);
        rc |= curl_easy_setopt(e, CURLOPT_SSLKEY, s->key_file ? s->key_file : s->cert_file);
    }
    return rc;
}

static CURL *http_easy_take(struct http_client *c)
{
    if (c->n_idle > 0)
        return c->idle[--c->n_idle];
    CURL *e = curl_easy_init();
    if (!e || http_easy_set_up(c, e) == CURLE_OK)
        return e;
    curl_easy_cleanup(e);
    return NULL;
}

static void http_easy_give(struct http_client *c, CURL *e)
{
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, NULL);
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
        http_easy_give(c, r->easy);
        c->n_running--;
    }
    loop_timer_cancel(c->loop, &r->timeout);
    list_del(&r->link);
    lines_free(r->lines);
    http_reply_fini(&r->reply);
    free(r);
}

static void http_free_all(struct list *requests)
{
    while (!list_is_empty(requests))
        http_request_free(LIST_ITEM(requests->next, struct http_request, link));
}

static void http_client_destroy(struct http_client *c)
{
    http_free_all(&c->running);
    http_free_all(&c->waiting);
    while (c->n_idle > 0)
        curl_easy_cleanup(c->idle[--c->n_idle]);
    if (c->multi)
        curl_multi_cleanup(c->multi);
    if (c->timer)
        event_free(c->timer);
    curl_url_cleanup(c->url);
    free((char *)c->spec.unix_path);
    free((char *)c->spec.ca_file);
    free((char *)c->spec.cert_file);
    free((char *)c->spec.key_file);
    free(c);
}

/* Calls back and frees the request, which is out of the client's lists meanwhile. */
static void http_finish(struct http_request *r, int err, const char *error)
{
    struct http_result result = {.err = err, .error = error, .status = r->reply.status};
    struct http_header *headers = NULL;
    if (err == 0)
        result.err = http_reply_headers(&r->reply, &headers, &result.n_headers);
    if (err == 0)
        result.error = result.err ? err_text(result.err) : NULL;
    result.headers = headers;
    list_del(&r->link);
    r->cb(r->arg, &result);
    free(headers);
    http_request_free(r);
}

static int http_start(struct http_request *r)
{
    struct http_client *c = r->client;
    CURL *e = http_easy_take(c);
    if (!e)
        return -ERR_NOMEM;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->lines);
    rc |= curl_easy_setopt(e, CURLOPT_PRIVATE, r);
    rc |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
    rc |= curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    if (rc != CURLE_OK || curl_multi_add_handle(c->multi, e) != CURLM_OK) {
        http_easy_give(c, e);
        return -ERR_NOMEM;
    }
    r->easy = e;
    c->n_running++;
    list_del(&r->link);
    list_add_tail(&c->running, &r->link);
    return 0;
}

static bool http_has_room(const struct http_client *c)
{
    return c->spec.max_connections == 0 || c->n_running < c->spec.max_connections;
}

/* curl would queue them too, but does half of the work of a request anew at each try. */
static void http_start_waiting(struct http_client *c)
{
    while (!c->is_dead && http_has_room(c) && !list_is_empty(&c->waiting)) {
        struct http_request *r = LIST_ITEM(c->waiting.next, struct http_request, link);
        int err = http_start(r);
        if (err < 0)
            http_finish(r, err, err_text(err));
    }
}

static void http_enter(struct http_client *c)
{
    c->depth++;
}

static void http_leave(struct http_client *c)
{
    if (c->depth == 1)
        http_start_waiting(c);
    if (--c->depth == 0 && c->is_dead)
        http_client_destroy(c);
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
        http_finish(r, http_error(r, rc), http_words(r, rc));
    }
    http_leave(c);
}

static void on_timeout(struct loop_timer *t)
{
    struct http_request *r = CONTAINER_OF(t, struct http_request, timeout);
    struct http_client *c = r->client;
    http_enter(c);
    http_finish(r, -ERR_TIMEOUT, r->easy ? "timed out" : "timed out waiting for a connection");
    http_leave(c);
}

/* ---- the client ---- */

static CURLU *http_read_url(const char *text)
{
    CURLU *url = curl_url();
    if (url && text && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK)
        return url;
    curl_url_cleanup(url);
    return NULL;
}

/* Puts a copy in the place of a borrowed text; false without memory. */
static bool http_own(const char **field)
{
    return !*field || (*field = str_dup_c(*field));
}

static void http_set_up_multi(struct http_client *c)
{
    size_t kept = c->spec.max_connections ? c->spec.max_connections : 16;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)kept);
}

int http_client_new(struct loop *l, const struct http_spec *spec, struct http_client **ret)
{
    pthread_once(&curl_once, curl_start);
    struct http_client *c = curl_ready == CURLE_OK ? calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return -ERR_NOMEM;
    list_init(&c->running);
    list_init(&c->waiting);
    c->loop = l;
    c->spec = *spec;
    c->url = http_read_url(spec->url);
    c->spec.url = NULL;
    if (c->spec.max_response_bytes == 0)
        c->spec.max_response_bytes = 64 * 1024;
    bool is_owned = http_own(&c->spec.unix_path);
    is_owned = http_own(&c->spec.ca_file) && is_owned;
    is_owned = http_own(&c->spec.cert_file) && is_owned;
    is_owned = http_own(&c->spec.key_file) && is_owned;
    c->multi = curl_multi_init();
    c->timer = event_new(loop_base(l), -1, 0, on_timer, c);
    if (!c->multi || !c->timer || !is_owned) {
        http_client_destroy(c);
        return -ERR_NOMEM;
    }
    http_set_up_multi(c);
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

int http_get(struct http_client *c, const char *const *lines, size_t n_lines, uint64_t timeout_ms,
             void (*cb)(void *arg, const struct http_result *r), void *arg,
             struct http_request **ret)
{
    struct http_request *r = c->url ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return c->url ? -ERR_NOMEM : -ERR_INVAL;
    loop_timer_init(&r->timeout, on_timeout);
    r->client = c;
    r->cb = cb;
    r->arg = arg;
    r->reply.max_bytes = c->spec.max_response_bytes;
    list_init(&r->link);
    list_add_tail(&c->waiting, &r->link);
    int err = add_lines(&r->lines, lines, n_lines);
    if (err == 0 && http_has_room(c))
        err = http_start(r);
    if (err != 0) {
        http_request_free(r);
        return err;
    }
    loop_timer_set(c->loop, &r->timeout, timeout_ms);
    *ret = r;
    return 0;
}

void http_cancel(struct http_request *r)
{
    if (!r)
        return;
    struct http_client *c = r->client;
    http_enter(c);
    http_request_free(r);
    http_leave(c);
}
