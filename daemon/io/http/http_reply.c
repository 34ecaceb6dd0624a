/* SPDX-License-Identifier: ISC */
/* Reading an HTTP/1.1 reply: one step for each part of it. */
#include "io/http/http_reply.h"

#include "base/hex.h"
#include "base/zalloc.h"

#define INTERIM_MAX 8 /* 1xx replies before the real one */
#define LINES_MAX 1000

static struct str trim_line_end(struct str line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* ---- header fields ---- */

static bool is_name(struct str s)
{
    static const bool is_token[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true};
    for (size_t i = 0; i < s.n; i++)
        if (!is_token[(unsigned char)s.p[i]])
            return false;
    return s.n > 0;
}

static bool is_value(struct str s)
{
    return s.n == 0 || (!memchr(s.p, '\0', s.n) && !memchr(s.p, '\r', s.n));
}

static int add_field(struct http_reply *r, struct str line)
{
    struct str value = line;
    struct str name = str_cut(&value, ':');
    if (!value.p)
        return -ERR_PROTOCOL;
    while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
        name.n--;
    struct http_header h = {.name = name, .value = str_trim(value)};
    if (!is_name(h.name) || !is_value(h.value))
        return -ERR_PROTOCOL;
    if (h.value.n == 0)
        h.value.p = value.p;
    r->headers[r->n_headers++] = h;
    return 0;
}

/* A folded line (obsolete, RFC 9112 section 5.2) goes on with the value before it: it is moved
 * right behind that, over the line end. */
static int add_folded(struct http_reply *r, struct str line)
{
    struct str rest = str_trim(line);
    if (r->n_headers == 0 || !is_value(rest))
        return -ERR_PROTOCOL;
    struct str *value = &r->headers[r->n_headers - 1].value;
    char *end = r->head.data + (value->p - r->head.data) + value->n;
    if (value->n > 0 && rest.n > 0) {
        *end++ = ' ';
        value->n++;
    }
    memmove(end, rest.p, rest.n);
    value->n += rest.n;
    return 0;
}

static int cut_fields(struct http_reply *r)
{
    struct str rest = buf_str(&r->head);
    int err = 0;
    r->headers = zalloc(r->n_lines * sizeof(*r->headers)); /* LINES_MAX bounds it */
    if (!r->headers)
        return -ERR_NOMEM;
    (void)str_cut(&rest, '\n'); /* the status line */
    while (rest.n > 0 && err == 0) {
        struct str line = trim_line_end(str_cut(&rest, '\n'));
        if (line.n == 0)
            break;
        bool is_folded = line.p[0] == ' ' || line.p[0] == '\t';
        err = is_folded ? add_folded(r, line) : add_field(r, line);
    }
    return err;
}

/* ---- fields that say how the reply goes on ---- */

static int read_length(struct http_reply *r, struct str v)
{
    uint64_t n;
    int err = str_to_u64(v, UINT64_MAX / 2, &n);
    if (err < 0)
        return err == -ERR_RANGE ? -ERR_TOO_LONG : -ERR_PROTOCOL;
    if (r->has_length && n != r->body_left)
        return -ERR_PROTOCOL;
    r->has_length = true;
    r->body_left = n;
    return 0;
}

/* Only the last coding says where the body ends (RFC 9112 section 6.3). */
static int read_coding(struct http_reply *r, struct str v)
{
    struct str last = STR_NULL;
    while (v.p)
        last = str_trim(str_cut(&v, ','));
    r->has_coding = true;
    r->is_chunked = str_ieq(last, STR("chunked"));
    return 0;
}

static int read_connection(struct http_reply *r, struct str v)
{
    while (v.p) {
        struct str option = str_trim(str_cut(&v, ','));
        if (str_ieq(option, STR("close")))
            r->is_kept = false;
        else if (str_ieq(option, STR("keep-alive")) && r->is_http_10)
            r->is_kept = true;
    }
    return 0;
}

static int read_fields(struct http_reply *r)
{
    static const struct {
        struct str name;
        int (*read)(struct http_reply *r, struct str v);
    } rows[] = {{{"Content-Length", 14}, read_length},
                {{"Transfer-Encoding", 17}, read_coding},
                {{"Connection", 10}, read_connection}};
    int err = 0;
    r->is_kept = !r->is_http_10;
    for (size_t i = 0; i < r->n_headers && err == 0; i++)
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
            if (str_ieq(r->headers[i].name, rows[k].name))
                err = rows[k].read(r, r->headers[i].value);
    return err;
}

/* ---- the head ---- */

/* "HTTP/1.1 200 OK": version, status, and a reason that may be empty or missing. */
static int reply_read_status(struct http_reply *r, struct str line)
{
    uint64_t status;
    if (!str_is_prefix(line, STR("HTTP/1.")) || line.n < 12 || line.p[8] != ' ' ||
        line.p[7] < '0' || line.p[7] > '9' || (line.n > 12 && line.p[12] != ' '))
        return -ERR_PROTOCOL;
    if (str_to_u64(str_n(line.p + 9, 3), 999, &status) < 0 || status < 100)
        return -ERR_PROTOCOL;
    r->is_http_10 = line.p[7] == '0';
    r->status = (unsigned)status;
    return -ERR_AGAIN;
}

static int reply_is_done(struct http_reply *r)
{
    r->step = HTTP_REPLY_DONE;
    return 0;
}

static int end_of_head(struct http_reply *r)
{
    if (r->status / 100 == 1) { /* the real one follows; another protocol was not asked for */
        if (r->status == 101 || ++r->n_interim > INTERIM_MAX)
            return -ERR_PROTOCOL;
        buf_clear(&r->head);
        r->line = r->n_lines = 0;
        return -ERR_AGAIN;
    }
    int err = cut_fields(r);
    if (err == 0)
        err = read_fields(r);
    if (err < 0)
        return err;
    if (r->status == 204 || r->status == 304)
        return reply_is_done(r);
    if (r->has_coding) {
        /* With a length as well, the two ends may see the end at different places (section 6.3). */
        r->is_kept = r->is_kept && r->is_chunked && !r->has_length && !r->is_http_10;
        r->body_left = 0;
        r->step = HTTP_REPLY_CHUNK_SIZE;
        return r->is_chunked ? -ERR_AGAIN : reply_is_done(r);
    }
    r->is_kept = r->is_kept && r->has_length;
    if (!r->has_length || r->body_left == 0)
        return reply_is_done(r);
    r->step = HTTP_REPLY_LENGTH;
    return r->body_left > HTTP_BODY_MAX_BYTES ? -ERR_TOO_LONG : -ERR_AGAIN;
}

/* One line of the head, or as much of it as is here. */
static int take_head(struct http_reply *r, struct str in, size_t *ret_used)
{
    const char *end = memchr(in.p, '\n', in.n);
    size_t n = end ? (size_t)(end - in.p) + 1 : in.n;
    if (n > r->max_bytes - r->head_bytes)
        return -ERR_TOO_LONG;
    /* room for all at once: mostly the whole reply is here */
    if ((r->head_bytes == 0 && buf_reserve(&r->head, in.n) < 0) ||
        buf_append(&r->head, in.p, n) < 0)
        return -ERR_NOMEM;
    r->head_bytes += n;
    *ret_used = n;
    if (!end)
        return -ERR_AGAIN;
    struct str line = trim_line_end(str_skip(buf_str(&r->head), r->line));
    r->line = r->head.len;
    if (r->n_lines >= LINES_MAX)
        return -ERR_TOO_LONG;
    if (r->n_lines++ == 0)
        return reply_read_status(r, line);
    return line.n == 0 ? end_of_head(r) : -ERR_AGAIN;
}

/* ---- the body ---- */

static size_t take_body(struct http_reply *r, struct str in)
{
    size_t n = in.n < r->body_left ? in.n : (size_t)r->body_left;
    r->body_left -= n;
    return n;
}

static int take_length(struct http_reply *r, struct str in, size_t *ret_used)
{
    *ret_used = take_body(r, in);
    return r->body_left == 0 ? reply_is_done(r) : -ERR_AGAIN;
}

/* "1a;extension" and its line end, byte by byte. */
static int take_chunk_size(struct http_reply *r, struct str in, size_t *ret_used)
{
    char c = in.p[0];
    int digit = hex_digit(c);
    *ret_used = 1;
    if (c == '\n') {
        if (!r->has_digits)
            return -ERR_PROTOCOL;
        r->step = r->body_left > 0 ? HTTP_REPLY_CHUNK_DATA : HTTP_REPLY_TRAILER;
        r->has_digits = r->is_extension = false;
        r->line_bytes = 0;
    } else if (digit >= 0 && !r->is_extension) {
        r->body_left = r->body_left * 16 + (unsigned)digit;
        r->has_digits = true;
    } else if (r->is_extension || (r->has_digits && strchr("; \t\r", c) && c)) {
        r->is_extension = true;
    } else {
        return -ERR_PROTOCOL;
    }
    return r->body_left > HTTP_BODY_MAX_BYTES ? -ERR_TOO_LONG : -ERR_AGAIN;
}

static int take_chunk_data(struct http_reply *r, struct str in, size_t *ret_used)
{
    *ret_used = take_body(r, in);
    if (r->body_left == 0)
        r->step = HTTP_REPLY_CHUNK_END;
    return -ERR_AGAIN;
}

static int take_chunk_end(struct http_reply *r, struct str in, size_t *ret_used)
{
    *ret_used = 1;
    if (in.p[0] == '\n') {
        r->step = HTTP_REPLY_CHUNK_SIZE;
        r->line_bytes = 0;
    } else if (in.p[0] != '\r' || r->line_bytes++ > 0) {
        return -ERR_PROTOCOL;
    }
    return -ERR_AGAIN;
}

/* Fields after the body must not pass for header fields: they are thrown away up to the empty line.
 */
static int take_trailer(struct http_reply *r, struct str in, size_t *ret_used)
{
    *ret_used = 1;
    if (in.p[0] != '\n') {
        r->line_bytes += in.p[0] != '\r';
        return -ERR_AGAIN;
    }
    if (r->line_bytes == 0)
        return reply_is_done(r);
    r->line_bytes = 0;
    return -ERR_AGAIN;
}

/* ---- the whole ---- */

int http_reply_feed(struct http_reply *r, struct str in, size_t *ret_used)
{
    static int (*const steps[])(struct http_reply *, struct str, size_t *) = {
        [HTTP_REPLY_HEAD] = take_head,
        [HTTP_REPLY_LENGTH] = take_length,
        [HTTP_REPLY_CHUNK_SIZE] = take_chunk_size,
        [HTTP_REPLY_CHUNK_DATA] = take_chunk_data,
        [HTTP_REPLY_CHUNK_END] = take_chunk_end,
        [HTTP_REPLY_TRAILER] = take_trailer,
    };
    int err = r->step == HTTP_REPLY_DONE ? 0 : -ERR_AGAIN;
    *ret_used = 0;
    while (err == -ERR_AGAIN && *ret_used < in.n) {
        bool is_body = r->step != HTTP_REPLY_HEAD;
        size_t n = 0;
        err = steps[r->step](r, str_skip(in, *ret_used), &n);
        *ret_used += n;
        if (is_body && (r->body_bytes += n) > HTTP_BODY_MAX_BYTES && err == -ERR_AGAIN)
            err = -ERR_TOO_LONG;
    }
    return err;
}

const char *http_reply_end_text(const struct http_reply *r)
{
    return r->head_bytes == 0           ? "the server closed without a reply"
           : r->step == HTTP_REPLY_HEAD ? "the reply ends within its headers"
                                        : "the reply ends within its body";
}

void http_reply_fini(struct http_reply *r)
{
    size_t max_bytes = r->max_bytes;
    buf_wipe(&r->head);
    free(r->headers);
    *r = (struct http_reply){.max_bytes = max_bytes};
}
