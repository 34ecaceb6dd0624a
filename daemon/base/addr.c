/* SPDX-License-Identifier: ISC */
/* Network addresses in one 128-bit form. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const uint8_t addr_v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool addr_is_mapped(const uint8_t ip[16])
{
    return memcmp(ip, addr_v4_prefix, sizeof(addr_v4_prefix)) == 0;
}

static void addr_set_v4(struct addr *a, const void *four)
{
    memcpy(a->ip, addr_v4_prefix, sizeof(addr_v4_prefix));
    memcpy(a->ip + 12, four, 4);
    a->family = AF_INET;
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
    *a = (struct addr){.family = AF_UNSPEC};
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)sa;
        addr_set_v4(a, &in->sin_addr);
        a->port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        memcpy(a->ip, &in6->sin6_addr, 16);
        a->family = addr_is_mapped(a->ip) ? AF_INET : AF_INET6;
        a->port = ntohs(in6->sin6_port);
    } else if (sa->sa_family == AF_UNIX) {
        a->family = AF_UNIX;
    }
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_ss)
{
    memset(ret_ss, 0, sizeof(*ret_ss));
    if (a->family == AF_INET) {
        struct sockaddr_in *in = (void *)ret_ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        return sizeof(*in);
    }
    if (a->family == AF_INET6) {
        struct sockaddr_in6 *in6 = (void *)ret_ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof(*in6);
    }
    ret_ss->ss_family = a->family;
    return sizeof(sa_family_t);
}

/* By hand, too, what inet_pton takes for one: four decimal numbers without leading zeros. */
static bool addr_read_v4(struct str s, uint8_t ip[4])
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        unsigned v = 0;
        if (i > 0 && (at == s.n || s.p[at++] != '.'))
            return false;
        size_t begin = at;
        for (; at < s.n && at < begin + 3 && s.p[at] >= '0' && s.p[at] <= '9'; at++)
            v = v * 10 + (unsigned)(s.p[at] - '0');
        if (at == begin || v > 255 || (s.p[begin] == '0' && at > begin + 1))
            return false;
        ip[i] = (uint8_t)v;
    }
    return at == s.n;
}

int addr_parse_ip(struct str s, struct addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    struct addr a = {0};
    if (addr_read_v4(s, ip)) {
        addr_set_v4(&a, ip);
        *ret = a;
        return 0;
    }
    if (!str_copy(text, sizeof(text), s) || str_has_crlf_nul(s))
        return -ERR_SYNTAX;
    if (inet_pton(AF_INET6, text, ip) == 1) {
        memcpy(a.ip, ip, 16);
        a.family = addr_is_mapped(ip) ? AF_INET : AF_INET6;
    } else {
        return -ERR_SYNTAX;
    }
    *ret = a;
    return 0;
}

/* Splits "host:port", "[host]:port" or "host" (a bare IPv6 address has several colons and no port).
 */
static int addr_split(struct str s, struct str *ret_host, struct str *ret_port)
{
    if (s.n && s.p[0] == '[') {
        ptrdiff_t end = str_index(s, ']');
        if (end < 0)
            return -ERR_SYNTAX;
        *ret_host = (struct str){s.p + 1, (size_t)end - 1};
        struct str rest = {s.p + end + 1, s.n - (size_t)end - 1};
        if (rest.n && rest.p[0] != ':')
            return -ERR_SYNTAX;
        *ret_port = rest.n ? (struct str){rest.p + 1, rest.n - 1} : STR_NULL;
        return rest.n == 1 ? -ERR_SYNTAX : 0;
    }
    struct str rest = s;
    struct str head = str_cut(&rest, ':');
    bool is_bare_v6 = rest.p && str_index(rest, ':') >= 0;
    *ret_host = is_bare_v6 ? s : head;
    *ret_port = is_bare_v6 ? STR_NULL : rest;
    return rest.p && rest.n == 0 ? -ERR_SYNTAX : 0;
}

int addr_parse(struct str s, struct addr *ret)
{
    struct str host, port;
    struct addr a;
    uint64_t number = 0;
    int err = addr_split(s, &host, &port);
    if (!err)
        err = addr_parse_ip(host, &a);
    if (!err && port.p && str_to_u64(port, 65535, &number))
        err = -ERR_SYNTAX;
    if (err)
        return err;
    a.port = (uint16_t)number;
    *ret = a;
    return 0;
}

/* By hand: inet_ntop takes 2500 instructions for it, and each login formats several. Returns where
 * the text ends. */
static char *addr_put_v4(char *dst, const uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        unsigned v = ip[i];
        if (v >= 100)
            *dst++ = (char)('0' + v / 100);
        if (v >= 10)
            *dst++ = (char)('0' + v / 10 % 10);
        *dst++ = (char)('0' + v % 10);
        *dst++ = i < 3 ? '.' : '\0';
    }
    return dst - 1;
}

void addr_format_ip(char dst[ADDR_TEXT_MAX], const struct addr *a)
{
    if (a->family == AF_INET)
        (void)addr_put_v4(dst, a->ip + 12);
    else if (a->family == AF_INET6)
        inet_ntop(AF_INET6, a->ip, dst, ADDR_TEXT_MAX);
    else
        str_copy(dst, ADDR_TEXT_MAX, a->family == AF_UNIX ? STR("unix:") : STR("-"));
}

void addr_format(char dst[ADDR_TEXT_MAX], const struct addr *a)
{
    char ip[ADDR_TEXT_MAX];
    if (a->family == AF_INET) {
        char *end = addr_put_v4(dst, a->ip + 12);
        *end++ = ':';
        *str_put_number(end, a->port, 10, 0) = '\0';
        return;
    }
    addr_format_ip(ip, a);
    if (a->family == AF_INET6)
        snprintf(dst, ADDR_TEXT_MAX, "[%.*s]:%u", INET6_ADDRSTRLEN, ip, a->port);
    else
        str_copy(dst, ADDR_TEXT_MAX, str_of(ip));
}

bool addr_ip_eq(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && (a->family == AF_UNIX || memcmp(a->ip, b->ip, 16) == 0);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_ip_eq(a, b) && a->port == b->port;
}

void addr_mask(uint8_t ip[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits > 8 * i ? bits - 8 * i : 0;
        if (keep < 8)
            ip[i] &= (uint8_t)(0xff00 >> keep);
    }
}

int addr_net_parse(struct str s, struct addr_net *ret)
{
    if (str_eq(s, STR("unix:"))) {
        *ret = (struct addr_net){.family = AF_UNIX};
        return 0;
    }
    struct str host = str_cut(&s, '/');
    struct addr a;
    int err = addr_parse_ip(host, &a);
    if (err)
        return err;
    unsigned width = a.family == AF_INET ? 32 : 128;
    uint64_t bits = width;
    if (s.p && str_to_u64(s, width, &bits))
        return -ERR_SYNTAX;
    struct addr_net net = {.bits = (uint8_t)(128 - width + bits), .family = a.family};
    memcpy(net.ip, a.ip, 16);
    addr_mask(net.ip, net.bits);
    if (memcmp(net.ip, a.ip, 16) != 0)
        return -ERR_SYNTAX;
    *ret = net;
    return 0;
}

void addr_net_format(char dst[ADDR_TEXT_MAX], const struct addr_net *n)
{
    struct addr a = {.family = n->family};
    memcpy(a.ip, n->ip, 16);
    addr_format_ip(dst, &a);
    unsigned bits = n->family == AF_INET ? n->bits - 96u : n->bits;
    unsigned width = n->family == AF_INET ? 32 : 128;
    size_t used = strlen(dst);
    if (n->family != AF_UNIX && bits != width)
        snprintf(dst + used, ADDR_TEXT_MAX - used, "/%u", bits);
}

bool addr_net_has(const struct addr_net *n, const struct addr *a)
{
    if (n->family != a->family || n->family == AF_UNIX)
        return n->family == a->family;
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->ip, a->ip, whole) != 0)
        return false;
    return rest == 0 || ((n->ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}

struct addr addr_limit_key(const struct addr *a)
{
    struct addr key = *a;
    key.port = 0;
    if (key.family == AF_INET6)
        addr_mask(key.ip, 64);
    return key;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    if (a->family == AF_INET)
        return a->ip[12] == 127;
    return a->family == AF_INET6 && memcmp(a->ip, v6_loopback, 16) == 0;
}
