/* SPDX-License-Identifier: ISC */
/* A name server for tests on the loop of the test: UDP, 127.0.0.1, answers from a table. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "io_case.h"

enum dns_case_type { DNS_CASE_A = 1, DNS_CASE_PTR = 12, DNS_CASE_AAAA = 28 };
enum dns_case_code { DNS_CASE_OK = 0, DNS_CASE_SERVFAIL = 2, DNS_CASE_NXDOMAIN = 3 };

/* One answer. Several rows of a name and type go into one reply. */
struct dns_case_row {
    const char *name; /* lower case */
    enum dns_case_type type;
    const char *value; /* address or name; NULL = none of this type */
    enum dns_case_code code;
    bool is_silent; /* never answers */
    bool is_dname;  /* a DNAME stands for it (RFC 6672), without what it leads to */
};

struct dns_case {
    struct event *event;
    int fd;
    struct addr at;
    char text[ADDR_TEXT_MAX];
    const struct dns_case_row *rows;
    size_t n_rows;
    unsigned n_queries, n_mixed; /* questions in all, and with capital letters */
    uint32_t ttl;
};

/* Reads a name; returns the bytes it takes, 0 when it is broken. */
static inline size_t dns_case_name(const unsigned char *p, size_t n, char dst[256])
{
    size_t at = 0, out = 0;
    while (at < n && p[at] != 0) {
        size_t len = p[at++];
        if (len > 63 || at + len >= n || out + len + 2 > 256)
            return 0;
        if (out > 0)
            dst[out++] = '.';
        memcpy(dst + out, p + at, len);
        at += len;
        out += len;
    }
    dst[out] = '\0';
    str_lower(dst);
    return at + 1;
}

static inline size_t dns_case_put_name(unsigned char *p, const char *name)
{
    struct str rest = str_of(name);
    size_t at = 0;
    while (rest.n > 0) {
        struct str label = str_cut(&rest, '.');
        p[at++] = (unsigned char)label.n;
        memcpy(p + at, label.p, label.n);
        at += label.n;
    }
    p[at++] = 0;
    return at;
}

static inline size_t dns_case_put16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
    return 2;
}

/* Owner (a pointer to the question), type, class, TTL, data. */
static inline size_t dns_case_put_row(unsigned char *p, const struct dns_case_row *row,
                                      uint32_t ttl)
{
    unsigned char data[256];
    struct addr a;
    size_t n = 0, at = 0;
    if (row->type == DNS_CASE_PTR) {
        n = dns_case_put_name(data, row->value);
    } else {
        assert_int_equal(addr_parse(str_of(row->value), &a), 0);
        n = row->type == DNS_CASE_A ? 4 : 16;
        memcpy(data, a.ip + 16 - n, n);
    }
    at += dns_case_put16(p + at, 0xc00c);
    at += dns_case_put16(p + at, row->is_dname ? 39 : row->type);
    at += dns_case_put16(p + at, 1);
    at += dns_case_put16(p + at, ttl >> 16);
    at += dns_case_put16(p + at, ttl & 0xffff);
    at += dns_case_put16(p + at, (unsigned)n);
    memcpy(p + at, data, n);
    return at + n;
}

/* Length of the reply that is written over the query; 0 = silence. Unknown names do not exist. */
static inline size_t dns_case_answer(struct dns_case *d, unsigned char *p, size_t n, size_t cap)
{
    char name[256];
    size_t name_len = n > 12 ? dns_case_name(p + 12, n - 12, name) : 0;
    bool is_mixed = false;
    for (size_t i = 12; i < 12 + name_len; i++)
        is_mixed = is_mixed || (p[i] >= 'A' && p[i] <= 'Z');
    d->n_mixed += is_mixed;
    if (name_len == 0 || 12 + name_len + 4 > n || cap < n + 1024)
        return 0;
    unsigned type = (unsigned)p[12 + name_len] << 8 | p[12 + name_len + 1];
    size_t at = 12 + name_len + 4;
    unsigned code = DNS_CASE_NXDOMAIN, count = 0;
    for (size_t i = 0; i < d->n_rows; i++) {
        const struct dns_case_row *row = &d->rows[i];
        if (strcmp(row->name, name) != 0)
            continue;
        if (row->type != type) {
            code = code == DNS_CASE_NXDOMAIN ? DNS_CASE_OK : code; /* of another type */
            continue;
        }
        if (row->is_silent)
            return 0;
        code = row->code;
        if (row->value) {
            at += dns_case_put_row(p + at, row, d->ttl);
            count++;
        }
    }
    p[2] = 0x81; /* a response to a recursive question */
    p[3] = (unsigned char)(0x80 | code);
    dns_case_put16(p + 6, count);
    dns_case_put16(p + 8, 0);
    dns_case_put16(p + 10, 0);
    return at;
}

static inline void dns_case_readable(evutil_socket_t fd, short what, void *arg)
{
    struct dns_case *d = arg;
    unsigned char packet[4096];
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n =
        recvfrom(fd, packet, sizeof(packet) / 2, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    (void)what;
    if (n < 0)
        return;
    d->n_queries++;
    size_t reply = dns_case_answer(d, packet, (size_t)n, sizeof(packet));
    if (reply > 0)
        (void)sendto(fd, packet, reply, 0, (struct sockaddr *)&from, len);
}

static inline void dns_case_start(struct dns_case *d, struct loop *l,
                                  const struct dns_case_row *rows, size_t n_rows)
{
    *d = (struct dns_case){.rows = rows, .n_rows = n_rows, .ttl = 3600};
    d->fd = io_case_bind(SOCK_DGRAM, &d->at);
    addr_format(d->text, &d->at);
    d->event = event_new(loop_base(l), d->fd, EV_READ | EV_PERSIST, dns_case_readable, d);
    assert_non_null(d->event);
    assert_int_equal(event_add(d->event, NULL), 0);
}

static inline void dns_case_stop(struct dns_case *d)
{
    event_free(d->event);
    close(d->fd);
}
