/* SPDX-License-Identifier: ISC */
/* PROXY protocol versions 1 and 2, as specified by HAProxy's proxy-protocol.txt. */
#include "proto/proxyhdr.h"

#include <string.h>

#include "base/hash.h"

#define V1_MAX 107 /* longest text header with its CRLF */
#define V2_HEAD 16
#define V2_BODY_MAX (PROXYHDR_MAX - V2_HEAD)
#define TLV_HEAD 3
#define TLV_AUTHORITY 0x02
#define TLV_CRC32C 0x03
#define TLV_SSL 0x20
#define TLV_SSL_VERSION 0x21
#define TLV_SSL_CIPHER 0x23
#define TLV_NAME_MAX 255 /* longest server name sent on */
#define TLV_WORD_MAX 64  /* longest TLS version or cipher sent on */

static const struct str v1_prefix = {"PROXY ", 6};
static const struct str v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

/* Does `in` start like `wanted`, as far as it goes? */
static bool proxyhdr_may_be(struct str in, struct str wanted)
{
    size_t n = in.n < wanted.n ? in.n : wanted.n;
    return n == 0 || memcmp(in.p, wanted.p, n) == 0;
}

/* A bare address of the family, without the port and bracket forms that addr_parse takes as well.
 */
static bool proxyhdr_v1_addr(struct str word, bool is_v6, struct addr *ret)
{
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        bool is_digit = c >= '0' && c <= '9';
        bool is_hex = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!is_digit && c != '.' && !(is_v6 && (is_hex || c == ':')))
            return false;
    }
    if (is_v6 && str_index(word, ':') < 0)
        return false;
    return addr_parse(word, ret) == 0 && (is_v6 || ret->family == AF_INET);
}

static bool proxyhdr_v1_port(struct str word, uint16_t *ret)
{
    uint64_t port;
    if (word.n == 0 || word.n > 5 || (word.n > 1 && word.p[0] == '0'))
        return false;
    if (str_to_u64(word, UINT16_MAX, &port) < 0)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* "TCP4 1.2.3.4 5.6.7.8 1000 143" */
static int proxyhdr_v1_body(struct str line, struct proxyhdr *ret)
{
    struct proxyhdr h = {0};
    struct str family = str_cut(&line, ' ');
    if (str_eq(family, STR("UNKNOWN"))) {
        *ret = (struct proxyhdr){.is_local = true};
        return 0;
    }
    bool is_v6 = str_eq(family, STR("TCP6"));
    if (!is_v6 && !str_eq(family, STR("TCP4")))
        return -ERR_SYNTAX;
    struct str src = str_cut(&line, ' '), dst = str_cut(&line, ' '), src_port = str_cut(&line, ' ');
    if (!proxyhdr_v1_addr(src, is_v6, &h.src) || !proxyhdr_v1_addr(dst, is_v6, &h.dst) ||
        !proxyhdr_v1_port(src_port, &h.src.port) || !proxyhdr_v1_port(line, &h.dst.port))
        return -ERR_SYNTAX;
    *ret = h;
    return 0;
}

static int proxyhdr_parse_v1(struct str in, struct proxyhdr *ret, size_t *ret_consumed)
{
    struct str window = str_n(in.p, in.n < V1_MAX ? in.n : V1_MAX);
    ptrdiff_t lf = str_index(window, '\n');
    if (lf < 0)
        return in.n < V1_MAX ? -ERR_AGAIN : -ERR_TOO_LONG;
    if (in.p[lf - 1] != '\r')
        return -ERR_SYNTAX;
    size_t n = (size_t)lf - 1 - v1_prefix.n;
    int r = proxyhdr_v1_body(str_n(in.p + v1_prefix.n, n), ret);
    if (r == 0)
        *ret_consumed = (size_t)lf + 1;
    return r;
}

static uint16_t proxyhdr_u16(const char *p)
{
    return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* TLVs must be well-formed to the last byte; a checksum must be right; the rest is not for us. */
static int proxyhdr_check_tlvs(struct str header, size_t at)
{
    while (at < header.n) {
        if (header.n - at < TLV_HEAD)
            return -ERR_SYNTAX;
        unsigned char type = (unsigned char)header.p[at];
        size_t n = proxyhdr_u16(header.p + at + 1);
        at += TLV_HEAD;
        if (header.n - at < n)
            return -ERR_SYNTAX;
        if (type == TLV_CRC32C) {
            /* It is taken over the whole header with its own four bytes zero. */
            char copy[PROXYHDR_MAX];
            if (n != 4)
                return -ERR_SYNTAX;
            memcpy(copy, header.p, header.n);
            memset(copy + at, 0, 4);
            uint32_t want =
                (uint32_t)proxyhdr_u16(header.p + at) << 16 | proxyhdr_u16(header.p + at + 2);
            if (hash_crc32c(str_n(copy, header.n)) != want)
                return -ERR_SYNTAX;
        }
        at += n;
    }
    return 0;
}

static void proxyhdr_v2_addr(struct addr *a, const char *ip, const char *port, bool is_v6)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *a = (struct addr){.port = proxyhdr_u16(port), .family = AF_INET};
    if (is_v6) {
        memcpy(a->ip, ip, 16);
        a->family = memcmp(a->ip, mapped, sizeof(mapped)) == 0 ? AF_INET : AF_INET6;
    } else {
        memcpy(a->ip, mapped, sizeof(mapped));
        memcpy(a->ip + sizeof(mapped), ip, 4);
    }
}

/* Address block of a PROXY command; sets how long it is. */
static int proxyhdr_v2_addrs(struct str header, struct proxyhdr *h, size_t *ret_n)
{
    const char *body = header.p + V2_HEAD;
    size_t n = header.n - V2_HEAD;
    switch ((unsigned char)header.p[13]) {
    case 0x00:
        h->is_local = true;
        *ret_n = 0;
        return 0;
    case 0x11:
        if (n < 12)
            return -ERR_SYNTAX;
        proxyhdr_v2_addr(&h->src, body, body + 8, false);
        proxyhdr_v2_addr(&h->dst, body + 4, body + 10, false);
        *ret_n = 12;
        return 0;
    case 0x21:
        if (n < 36)
            return -ERR_SYNTAX;
        proxyhdr_v2_addr(&h->src, body, body + 32, true);
        proxyhdr_v2_addr(&h->dst, body + 16, body + 34, true);
        *ret_n = 36;
        return 0;
    case 0x31:
        if (n < 216)
            return -ERR_SYNTAX;
        h->src.family = h->dst.family = AF_UNIX;
        *ret_n = 216;
        return 0;
    default: /* datagrams carry no mail */
        return -ERR_SYNTAX;
    }
}

static int proxyhdr_parse_v2(struct str in, struct proxyhdr *ret, size_t *ret_consumed)
{
    struct proxyhdr h = {0};
    size_t addrs_n;
    /* each byte is judged as soon as it is there */
    if (in.n > 12 && in.p[12] != 0x20 && in.p[12] != 0x21)
        return -ERR_SYNTAX;
    if (in.n < V2_HEAD)
        return -ERR_AGAIN;
    size_t n = proxyhdr_u16(in.p + 14);
    if (n > V2_BODY_MAX)
        return -ERR_TOO_LONG;
    if (in.n < V2_HEAD + n)
        return -ERR_AGAIN;
    if (in.p[12] == 0x20) { /* LOCAL: whatever follows is to be skipped */
        h.is_local = true;
    } else {
        struct str header = str_n(in.p, V2_HEAD + n);
        int r = proxyhdr_v2_addrs(header, &h, &addrs_n);
        if (r == 0)
            r = proxyhdr_check_tlvs(header, V2_HEAD + addrs_n);
        if (r < 0)
            return r;
    }
    *ret = h;
    *ret_consumed = V2_HEAD + n;
    return 0;
}

int proxyhdr_parse(struct str in, struct proxyhdr *ret, size_t *ret_consumed)
{
    if (proxyhdr_may_be(in, v2_signature))
        return in.n < v2_signature.n ? -ERR_AGAIN : proxyhdr_parse_v2(in, ret, ret_consumed);
    if (proxyhdr_may_be(in, v1_prefix))
        return in.n < v1_prefix.n ? -ERR_AGAIN : proxyhdr_parse_v1(in, ret, ret_consumed);
    return -ERR_SYNTAX;
}

static bool proxyhdr_is_ip(const struct addr *a)
{
    return a->family == AF_INET || a->family == AF_INET6;
}

static bool proxyhdr_has_ips(const struct proxyhdr *h)
{
    return !h->is_local && proxyhdr_is_ip(&h->src) && proxyhdr_is_ip(&h->dst);
}

static bool proxyhdr_is_v4(const struct proxyhdr *h)
{
    return h->src.family == AF_INET && h->dst.family == AF_INET;
}

int proxyhdr_build_v1(const struct proxyhdr *h, struct buf *out)
{
    char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
    if (!proxyhdr_has_ips(h))
        return buf_append_c(out, "PROXY UNKNOWN\r\n");
    addr_format_ip(src, &h->src);
    addr_format_ip(dst, &h->dst);
    bool is_v4 = proxyhdr_is_v4(h);
    /* one header has one family: a v4 address beside a v6 one is written mapped */
    return buf_printf(out, "PROXY %s %s%s %s%s %u %u\r\n", is_v4 ? "TCP4" : "TCP6",
                      !is_v4 && h->src.family == AF_INET ? "::ffff:" : "", src,
                      !is_v4 && h->dst.family == AF_INET ? "::ffff:" : "", dst,
                      (unsigned)h->src.port, (unsigned)h->dst.port);
}

/* A header under construction: small enough to be built in place. */
struct proxyhdr_writer {
    uint8_t bytes[PROXYHDR_MAX];
    size_t n;
};

static void proxyhdr_put(struct proxyhdr_writer *w, const void *p, size_t n)
{
    if (n > 0 && n <= sizeof(w->bytes) - w->n) {
        memcpy(w->bytes + w->n, p, n);
        w->n += n;
    }
}

static void proxyhdr_put_u16(struct proxyhdr_writer *w, size_t value)
{
    const uint8_t be[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    proxyhdr_put(w, be, sizeof(be));
}

static void proxyhdr_put_tlv(struct proxyhdr_writer *w, uint8_t type, struct str value, size_t max)
{
    if (value.n == 0 || value.n > max)
        return;
    proxyhdr_put(w, &type, 1);
    proxyhdr_put_u16(w, value.n);
    proxyhdr_put(w, value.p, value.n);
}

int proxyhdr_build_v2(const struct proxyhdr *h, struct buf *out)
{
    struct proxyhdr_writer w = {.n = 0};
    bool has_ips = proxyhdr_has_ips(h), is_v4 = has_ips && proxyhdr_is_v4(h);
    const uint8_t head[4] = {h->is_local ? 0x20 : 0x21,
                             !has_ips ? 0x00
                             : is_v4  ? 0x11
                                      : 0x21,
                             0, 0};
    proxyhdr_put(&w, v2_signature.p, v2_signature.n);
    proxyhdr_put(&w, head, sizeof(head));
    if (has_ips) {
        size_t skip = is_v4 ? 12 : 0;
        proxyhdr_put(&w, h->src.ip + skip, 16 - skip);
        proxyhdr_put(&w, h->dst.ip + skip, 16 - skip);
        proxyhdr_put_u16(&w, h->src.port);
        proxyhdr_put_u16(&w, h->dst.port);
    }
    if (!h->is_local)
        proxyhdr_put_tlv(&w, TLV_AUTHORITY, str_of(h->sni), TLV_NAME_MAX);
    if (!h->is_local && h->tls_version) {
        struct proxyhdr_writer ssl = {.n = 0};
        /* PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN; then 0 only for a certificate that was verified */
        const uint8_t ssl_head[5] = {h->has_client_cert ? 0x03 : 0x01, 0, 0, 0,
                                     !(h->has_client_cert && h->is_client_cert_verified)};
        proxyhdr_put(&ssl, ssl_head, sizeof(ssl_head));
        proxyhdr_put_tlv(&ssl, TLV_SSL_VERSION, str_of(h->tls_version), TLV_WORD_MAX);
        proxyhdr_put_tlv(&ssl, TLV_SSL_CIPHER, str_of(h->tls_cipher), TLV_WORD_MAX);
        proxyhdr_put_tlv(&w, TLV_SSL, str_n(ssl.bytes, ssl.n), PROXYHDR_MAX);
    }
    proxyhdr_put_tlv(&w, TLV_CRC32C, str_n("\0\0\0\0", 4), 4);
    size_t body = w.n - V2_HEAD;
    w.bytes[14] = (uint8_t)(body >> 8);
    w.bytes[15] = (uint8_t)body;
    uint32_t crc = hash_crc32c(str_n(w.bytes, w.n));
    for (size_t i = 0; i < 4; i++)
        w.bytes[w.n - 4 + i] = (uint8_t)(crc >> (24 - 8 * i));
    return buf_append(out, w.bytes, w.n);
}
