/* SPDX-License-Identifier: ISC */
/* Reading the URL of an HTTP server. */
#include "io/http/http_url.h"

#include "base/addr.h"

#define UNIX_PATH_MAX 107
#define NAME_MAX_BYTES 253

static int http_url_fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -ERR_INVAL;
}

/* Takes the scheme off *rest. */
static int http_url_scheme(struct str *rest, struct http_url *u, const char **ret_why)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-";
    const struct str http = STR("http://"), https = STR("https://");
    u->is_tls = str_is_iprefix(*rest, https);
    u->port = u->is_tls ? 443 : 80;
    if (u->is_tls || str_is_iprefix(*rest, http)) {
        *rest = str_skip(*rest, u->is_tls ? https.n : http.n);
        return 0;
    }
    size_t n = strspn(rest->p, letters);
    return str_is_prefix(str_skip(*rest, n), STR("://"))
               ? http_url_fail(ret_why, "must begin with http:// or https://")
               : 0;
}

static int http_url_unix(struct str rest, struct http_url *u, const char **ret_why)
{
    u->unix_path = str_cut(&rest, ':');
    u->target = rest;
    u->host = u->name = STR("localhost");
    if (u->unix_path.n < 2 || u->unix_path.p[0] != '/')
        return http_url_fail(ret_why, "names no host: unix: is followed by a path");
    return u->unix_path.n > UNIX_PATH_MAX
               ? http_url_fail(ret_why, "has a path that is too long for a socket")
               : 0;
}

static bool http_url_is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
            c != '_')
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

/* "host", "host:port", "[v6]:port". */
static int http_url_authority(struct str s, struct http_url *u, const char **ret_why)
{
    bool is_v6 = s.n > 0 && s.p[0] == '[';
    ptrdiff_t end = is_v6 ? str_index(s, ']') + 1 : str_index(s, ':');
    struct addr a;
    uint64_t port = u->port;
    u->host = end > 0 ? str_head(s, (size_t)end) : end < 0 ? s : STR_NULL;
    if (u->host.n == 0)
        return http_url_fail(ret_why, "names no host");
    struct str rest = str_skip(s, u->host.n);
    u->name = is_v6 ? str_n(u->host.p + 1, u->host.n - 2) : u->host;
    if (is_v6 ? str_index(u->name, ':') < 0 || addr_parse_ip(u->name, &a) < 0
              : !http_url_is_name(u->name))
        return http_url_fail(ret_why, "holds a host that is neither a name nor an address");
    if (rest.n > 0 && rest.p[0] != ':')
        return http_url_fail(ret_why, "holds something between host and port");
    if (rest.n > 1 && (str_to_u64(str_skip(rest, 1), UINT16_MAX, &port) < 0 || port == 0))
        return http_url_fail(ret_why, "holds a port that is none");
    u->port = (uint16_t)port;
    return 0;
}

int http_url_parse(const char *text, struct http_url *ret, const char **ret_why)
{
    struct http_url u = {.is_tls = false};
    struct str rest = str_of(text);
    for (size_t i = 0; i < rest.n; i++)
        if ((unsigned char)rest.p[i] <= ' ' || rest.p[i] == 0x7f)
            return http_url_fail(ret_why, "holds a blank or a control byte");
    int err = http_url_scheme(&rest, &u, ret_why);
    if (err < 0)
        return err;
    rest = str_head(rest, strcspn(rest.p, "#"));
    if (str_is_prefix(rest, STR("unix:"))) {
        err = http_url_unix(str_skip(rest, strlen("unix:")), &u, ret_why);
    } else {
        struct str authority = str_head(rest, strcspn(rest.p, "/?#"));
        u.target = str_skip(rest, authority.n);
        err = str_index(authority, '@') >= 0
                  ? http_url_fail(ret_why, "must hold no password: set headers = [ "
                                           "\"Authorization: ...\" ]")
                  : http_url_authority(authority, &u, ret_why);
    }
    if (err == 0)
        *ret = u;
    return err;
}
