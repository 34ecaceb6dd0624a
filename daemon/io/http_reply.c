/* SPDX-License-Identifier: ISC */
/* Headers of an HTTP reply, as libcurl hands them out line by line. */
#include "io/http_reply.h"

#define BODY_MAX_BYTES (1024 * 1024) /* read and thrown away, for the connection's sake */

struct http_span {
    size_t name, name_len, value, value_len; /* in `head` */
};

static struct http_span *last_span(struct http_reply *r)
{
    struct str s = buf_str(&r->spans);
    return s.n > 0 ? (struct http_span *)(r->spans.data + r->spans.start + s.n -
                                          sizeof(struct http_span))
                   : NULL;
}

/* A folded line (obsolete, RFC 9112 section 5.2) goes on with the value before: it lies right
 * behind it. */
static int add_folded(struct http_reply *r, struct str line)
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

static int add_header(struct http_reply *r, struct str line)
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
static int end_of_headers(struct http_reply *r)
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
    struct http_reply *r = arg;
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
    if (r->head.len + line.n > r->max_bytes) {
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
    struct http_reply *r = arg;
    (void)p;
    r->is_body_seen = true;
    r->body_bytes += size * n;
    r->is_too_long = r->body_bytes > BODY_MAX_BYTES;
    return r->is_too_long ? 0 : size * n;
}

int http_reply_error(const struct http_reply *r, CURLcode rc)
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

int http_reply_headers(const struct http_reply *r, struct http_header **ret, size_t *ret_n)
{
    size_t n = r->spans.len / sizeof(struct http_span);
    struct http_header *headers = n > 0 ? calloc(n, sizeof(*headers)) : NULL;
    const struct http_span *spans = (const struct http_span *)buf_str(&r->spans).p;
    const char *head = buf_str(&r->head).p;
    if (n > 0 && !headers)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        headers[i].name = str_n(head + spans[i].name, spans[i].name_len);
        headers[i].value = str_n(head + spans[i].value, spans[i].value_len);
    }
    *ret = headers;
    *ret_n = n;
    return 0;
}

CURLcode http_reply_set_up(CURL *e)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    return rc;
}

CURLcode http_reply_attach(struct http_reply *r, CURL *e)
{
    r->easy = e;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    return rc;
}

void http_reply_fini(struct http_reply *r)
{
    buf_wipe(&r->head);
    buf_fini(&r->spans);
}
