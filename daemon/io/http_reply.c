/* SPDX-License-Identifier: ISC */
/* Replies of HTTP/1.x (RFC 9112). */
#include "io/http_reply.h"

#include <stdlib.h>

#define BODY_MAX_BYTES (1024 * 1024) /* read and thrown away, for the connection's sake */

struct http_span {
    size_t name, name_n, value, value_n; /* in `head` */
};

void http_reply_init(struct http_reply *r, size_t max_head_bytes)
{
    *r = (struct http_reply){.max_head_bytes = max_head_bytes};
}

void http_reply_fini(struct http_reply *r)
{
    buf_wipe(&r->line);
    buf_wipe(&r->head);
    buf_fini(&r->spans);
}

/* ---- head ---- */

/* "HTTP/1.1 200 OK" */
static int reply_status(struct http_reply *r, struct str line)
{
    uint64_t status;
    struct str version = str_word(&line), code = str_word(&line);
    if (!str_is_prefix(version, STR("HTTP/1.")) || str_to_u64(code, 999, &status) < 0)
        return -ERR_PROTOCOL;
    buf_clear(&r->head);
    buf_clear(&r->spans);
    r->status = (long)status;
    r->is_kept = !str_eq(version, STR("HTTP/1.0"));
    r->has_length = r->is_chunked = false;
    r->state = HTTP_REPLY_HEADERS;
    return 0;
}

static struct http_span *reply_last_span(struct http_reply *r)
{
    size_t n = r->spans.len / sizeof(struct http_span);
    return n > 0 ? (struct http_span *)(r->spans.data + r->spans.start) + n - 1 : NULL;
}

/* A folded line (obsolete, RFC 9112 section 5.2) goes on with the value before, which lies right
 * before it. */
static int reply_folded(struct http_reply *r, struct str line)
{
    struct http_span *span = reply_last_span(r);
    struct str rest = str_trim(line);
    if (!span || str_has_crlf_nul(rest))
        return -ERR_PROTOCOL;
    int err = buf_append_char(&r->head, ' ');
    if (err == 0)
        err = buf_append_str(&r->head, rest);
    if (err == 0)
        span->value_n += 1 + rest.n;
    return err;
}

/* Headers that say how the reply ends and what comes after it. */
static int reply_note(struct http_reply *r, struct str name, struct str value)
{
    if (str_ieq(name, STR("Content-Length"))) {
        r->has_length = true;
        return str_to_u64(value, UINT64_MAX, &r->left) < 0 ? -ERR_PROTOCOL : 0;
    }
    if (str_ieq(name, STR("Transfer-Encoding")))
        r->is_chunked = str_ieq(value, STR("chunked"));
    else if (str_ieq(name, STR("Connection")))
        r->is_kept =
            str_ieq(value, STR("keep-alive")) || (r->is_kept && !str_ieq(value, STR("close")));
    return 0;
}

static int reply_header(struct http_reply *r, struct str line)
{
    struct str value = line;
    struct str name = str_cut(&value, ':');
    bool has_colon = value.p != NULL;
    value = str_trim(value);
    if (!has_colon || name.n == 0 || str_has_crlf_nul(line))
        return -ERR_PROTOCOL;
    const struct http_span span = {
        .name = r->head.len, .name_n = name.n, .value = r->head.len + name.n, .value_n = value.n};
    int err = reply_note(r, name, value);
    if (err == 0)
        err = buf_append_str(&r->head, name);
    if (err == 0)
        err = buf_append_str(&r->head, value);
    return err == 0 ? buf_append(&r->spans, &span, sizeof(span)) : err;
}

/* The empty line. */
static int reply_head_over(struct http_reply *r)
{
    if (r->status / 100 == 1) {
        r->state = HTTP_REPLY_STATUS; /* the true reply follows */
    } else if (r->status == 204 || r->status == 304) {
        r->state = HTTP_REPLY_DONE;
    } else if (r->is_chunked) {
        r->state = HTTP_REPLY_CHUNK_SIZE;
    } else if (r->has_length) {
        r->state = r->left > 0 ? HTTP_REPLY_BODY : HTTP_REPLY_DONE;
    } else {
        r->is_kept = false;
        r->state = HTTP_REPLY_DONE;
    }
    return r->state == HTTP_REPLY_BODY && r->left > BODY_MAX_BYTES ? -ERR_TOO_LONG : 0;
}

/* ---- chunks ---- */

/* The size in hexadecimal, perhaps with extensions behind it. */
static int reply_chunk_size(struct http_reply *r, struct str line)
{
    struct str digits = str_trim(str_cut(&line, ';'));
    uint64_t n = 0;
    if (digits.n == 0 || digits.n > 8)
        return -ERR_PROTOCOL;
    for (size_t i = 0; i < digits.n; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *d = memchr(hex, digits.p[i] | ('A' ^ 'a'), 16);
        if (!d || (digits.p[i] < '0'))
            return -ERR_PROTOCOL;
        n = n << 4 | (uint64_t)(d - hex);
    }
    r->body_bytes += n;
    r->left = n;
    r->state = n > 0 ? HTTP_REPLY_CHUNK : HTTP_REPLY_TRAILER;
    return r->body_bytes > BODY_MAX_BYTES ? -ERR_TOO_LONG : 0;
}

/* ---- the stream ---- */

static int reply_line(struct http_reply *r, struct str line)
{
    bool is_empty = str_trim(line).n == 0;
    switch (r->state) {
    case HTTP_REPLY_STATUS:
        return reply_status(r, line);
    case HTTP_REPLY_HEADERS:
        if (is_empty)
            return reply_head_over(r);
        return line.p[0] == ' ' || line.p[0] == '\t' ? reply_folded(r, line)
                                                     : reply_header(r, line);
    case HTTP_REPLY_CHUNK_SIZE:
        return reply_chunk_size(r, line);
    case HTTP_REPLY_CHUNK_END:
        r->state = HTTP_REPLY_CHUNK_SIZE;
        return is_empty ? 0 : -ERR_PROTOCOL;
    case HTTP_REPLY_TRAILER: /* must not pass for headers */
        r->state = is_empty ? HTTP_REPLY_DONE : HTTP_REPLY_TRAILER;
        return 0;
    case HTTP_REPLY_BODY:
    case HTTP_REPLY_CHUNK:
    case HTTP_REPLY_DONE:
        break;
    }
    return -ERR_PROTOCOL;
}

/* Takes a line, or the beginning of one, off *in. */
static int reply_take_line(struct http_reply *r, struct str *in)
{
    const char *lf = memchr(in->p, '\n', in->n);
    struct str line = str_n(in->p, lf ? (size_t)(lf - in->p) : in->n);
    size_t used = line.n + (lf ? 1 : 0);
    r->head_bytes += used;
    if (r->head_bytes > r->max_head_bytes)
        return -ERR_TOO_LONG;
    *in = str_n(in->p + used, in->n - used);
    if (!lf || r->line.len > 0) {
        if (buf_append_str(&r->line, line) < 0)
            return -ERR_NOMEM;
        line = buf_str(&r->line);
    }
    if (!lf)
        return 0;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    int err = reply_line(r, line);
    buf_clear(&r->line);
    return err;
}

static void reply_skip(struct http_reply *r, struct str *in)
{
    size_t n = in->n < r->left ? in->n : (size_t)r->left;
    *in = str_n(in->p + n, in->n - n);
    r->left -= n;
    if (r->left == 0)
        r->state = r->state == HTTP_REPLY_CHUNK ? HTTP_REPLY_CHUNK_END : HTTP_REPLY_DONE;
}

int http_reply_feed(struct http_reply *r, struct str in, size_t *ret_used)
{
    const char *start = in.p;
    int err = 0;
    r->has_begun = r->has_begun || in.n > 0;
    while (err == 0 && in.n > 0 && r->state != HTTP_REPLY_DONE) {
        if (r->state == HTTP_REPLY_BODY || r->state == HTTP_REPLY_CHUNK)
            reply_skip(r, &in);
        else
            err = reply_take_line(r, &in);
    }
    if (err == 0 && r->state != HTTP_REPLY_DONE)
        err = -ERR_AGAIN;
    if (err == 0)
        *ret_used = (size_t)(in.p - start);
    return err;
}

struct http_header *http_reply_headers(const struct http_reply *r, size_t *ret_n)
{
    const struct http_span *spans = (const struct http_span *)buf_str(&r->spans).p;
    const char *head = buf_str(&r->head).p;
    size_t n = r->spans.len / sizeof(*spans);
    struct http_header *v = calloc(n + 1, sizeof(*v));
    for (size_t i = 0; v && i < n; i++) {
        v[i].name = str_n(head + spans[i].name, spans[i].name_n);
        v[i].value = str_n(head + spans[i].value, spans[i].value_n);
    }
    *ret_n = v ? n : 0;
    return v;
}
