/* SPDX-License-Identifier: ISC */
/* URLs of servers, http and https, and requests for them. */
#include "io/http_url.h"

#define PORT_HTTP 80
#define PORT_HTTPS 443

static bool url_skip(struct str *s, struct str prefix)
{
    if (!str_is_iprefix(*s, prefix))
        return false;
    *s = str_n(s->p + prefix.n, s->n - prefix.n);
    return true;
}

/* Length up to the first of some characters. */
static size_t url_span(struct str s, const char *ends)
{
    size_t n = 0;
    while (n < s.n && !strchr(ends, s.p[n]))
        n++;
    return n;
}

static int url_port(struct str s, struct http_url *ret)
{
    uint64_t port;
    ret->port = ret->is_https ? PORT_HTTPS : PORT_HTTP;
    ret->is_default_port = s.n <= 1;
    if (s.n == 0)
        return 0;
    if (s.p[0] != ':')
        return -ERR_INVAL;
    s = str_n(s.p + 1, s.n - 1);
    if (s.n > 0) {
        if (str_to_u64(s, UINT16_MAX, &port) < 0 || port == 0)
            return -ERR_INVAL;
        ret->is_default_port = port == ret->port;
        ret->port = (uint16_t)port;
    }
    return 0;
}

static int url_authority(struct str s, struct http_url *ret)
{
    size_t n = url_span(s, ":");
    ret->has_brackets = s.n > 0 && s.p[0] == '[';
    if (ret->has_brackets) {
        ptrdiff_t end = str_index(s, ']');
        if (end < 0)
            return -ERR_INVAL;
        ret->host = str_n(s.p + 1, (size_t)end - 1);
        n = (size_t)end + 1;
    } else {
        ret->host = str_n(s.p, n);
    }
    if (ret->host.n == 0 || str_index(s, '@') >= 0)
        return -ERR_INVAL;
    return url_port(str_n(s.p + n, s.n - n), ret);
}

int http_url_parse(struct str text, struct http_url *ret)
{
    struct http_url u = {.is_https = url_skip(&text, STR("https://"))};
    if (!u.is_https && !url_skip(&text, STR("http://")))
        return -ERR_INVAL;
    if (str_has_crlf_nul(text) || str_index(text, ' ') >= 0)
        return -ERR_INVAL;
    text.n = url_span(text, "#");
    size_t n = url_span(text, "/?");
    int err = url_authority(str_n(text.p, n), &u);
    u.path = str_n(text.p + n, text.n - n);
    if (err == 0)
        *ret = u;
    return err;
}

/* ---- requests ---- */

static int append_host(struct buf *out, const struct http_url *u)
{
    int err = buf_printf(out, u->has_brackets ? "Host: [%.*s]" : "Host: %.*s", STR_ARG(u->host));
    if (err == 0 && !u->is_default_port)
        err = buf_printf(out, ":%u", u->port);
    return err == 0 ? buf_append_c(out, "\r\n") : err;
}

static int append_line(struct buf *out, struct str line)
{
    if (str_index(line, ':') <= 0 || str_has_crlf_nul(line))
        return -ERR_INVAL;
    int err = buf_append_str(out, line);
    return err == 0 ? buf_append_c(out, "\r\n") : err;
}

int http_url_get(const struct http_url *u, const char *const *lines, size_t n, struct buf *out)
{
    bool has_host = false, has_slash = u->path.n > 0 && u->path.p[0] == '/';
    for (size_t i = 0; i < n; i++)
        has_host = has_host || str_is_iprefix(str_of(lines[i]), STR("Host:"));
    int err = buf_append_c(out, has_slash ? "GET " : "GET /");
    if (err == 0)
        err = buf_append_str(out, u->path);
    if (err == 0)
        err = buf_append_c(out, " HTTP/1.1\r\n");
    if (err == 0 && !has_host)
        err = append_host(out, u);
    for (size_t i = 0; err == 0 && i < n; i++)
        err = append_line(out, str_of(lines[i]));
    return err == 0 ? buf_append_c(out, "\r\n") : err;
}
