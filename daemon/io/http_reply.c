/* SPDX-License-Identifier: ISC */
/* The lines before the body of an HTTP reply. */
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

/* "HTTP/1.1 200 OK": the status, 0 when there is none; libcurl has judged the line already. */
static unsigned read_status(struct str line)
{
    uint64_t status = 0;
    (void)str_word(&line);
    return str_to_u64(str_word(&line), 999, &status) == 0 ? (unsigned)status : 0;
}

/* The empty line. Servers written for nginx, which reads no body, may neither announce the end of
 * theirs nor close: what was wanted is here. */
static int end_of_headers(struct http_reply *r)
{
    bool has_no_body = r->status == 204 || r->status == 304;
    r->is_head_complete = r->status / 100 != 1;
    if (!r->is_head_complete || r->is_body_delimited || has_no_body)
        return 0;
    r->is_done_early = true;
    return -ERR_CANCELLED;
}

int http_reply_line(struct http_reply *r, struct str line)
{
    if (r->is_body_seen) /* trailers must not pass for headers */
        return 0;
    if (str_is_prefix(line, STR("HTTP/"))) {
        buf_clear(&r->head);
        buf_clear(&r->spans);
        r->is_body_delimited = false;
        r->status = read_status(line);
        return 0;
    }
    if (r->head.len + line.n > r->max_bytes)
        return -ERR_TOO_LONG;
    if (str_trim(line).n == 0)
        return end_of_headers(r);
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return add_folded(r, line);
    return add_header(r, line);
}

int http_reply_body(struct http_reply *r, size_t n)
{
    r->is_body_seen = true;
    r->body_bytes += n;
    return r->body_bytes > BODY_MAX_BYTES ? -ERR_TOO_LONG : 0;
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

void http_reply_fini(struct http_reply *r)
{
    buf_wipe(&r->head);
    buf_fini(&r->spans);
}
