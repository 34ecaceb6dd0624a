/* SPDX-License-Identifier: ISC */
/* Where a server of Redis is, as a specification writes it. */
#include "base/addr.h"
#include "io/redis/redis.h"

#define UNIX_PATH_MAX 107
#define HOST_MAX 253

static int server_fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -ERR_SYNTAX;
}

static bool server_is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') &&
            str_index(STR("-._"), s.p[i]) < 0)
            return false;
    }
    return s.n > 0 && s.n <= HOST_MAX;
}

int redis_server_parse(struct str text, uint16_t usual_port, struct redis_server *ret,
                       const char **ret_why)
{
    if (str_is_prefix(text, STR("unix:"))) {
        struct str path = str_skip(text, strlen("unix:"));
        if (path.n < 2 || path.p[0] != '/' || str_has_crlf_nul(path))
            return server_fail(ret_why, "names no socket: unix: is followed by an absolute path");
        if (path.n > UNIX_PATH_MAX)
            return server_fail(ret_why, "has a path that is too long for a socket");
        *ret = (struct redis_server){.unix_path = path};
        return 0;
    }
    bool is_v6 = text.n > 0 && text.p[0] == '[';
    ptrdiff_t end = str_index(text, is_v6 ? ']' : ':');
    struct str host = end < 0 ? text : str_head(text, (size_t)end);
    struct str rest = str_skip(text, host.n);
    struct addr a;
    uint64_t port = usual_port;
    if (is_v6) {
        if (end < 0)
            return server_fail(ret_why, "has a bracket that is not closed");
        host = str_skip(host, 1);
        rest = str_skip(rest, 1);
    }
    if (is_v6 ? str_index(host, ':') < 0 || addr_parse_ip(host, &a) < 0 : !server_is_name(host))
        return server_fail(ret_why, "holds a host that is neither a name nor an address "
                                    "(\"10.0.0.5:6379\", \"[fd00::5]:6379\", \"unix:/path\")");
    if (rest.n > 0 &&
        (rest.p[0] != ':' || str_to_u64(str_skip(rest, 1), UINT16_MAX, &port) < 0 || port == 0))
        return server_fail(ret_why, "holds a port that is none");
    *ret = (struct redis_server){.host = host, .port = (uint16_t)port};
    return 0;
}
