/* SPDX-License-Identifier: ISC */
/* Network addresses and networks: IPv4, IPv6 and UNIX, parsed, printed and compared. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

/* An IP address with port, or a UNIX peer: 20 bytes, the same for v4 and v6 (v4 is stored mapped),
 * so it is cheap to keep in a session. */
struct addr {
    uint8_t ip[16]; /* network order; v4 as ::ffff:a.b.c.d */
    uint16_t port;  /* host order */
    uint8_t family; /* AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX */
};

#define ADDR_TEXT_MAX 64

/* A network: address and prefix length in the 128-bit mapped form. */
struct addr_net {
    uint8_t ip[16];
    uint8_t bits;   /* 0..128; a v4 /8 is stored as 104 */
    uint8_t family; /* AF_UNIX matches every UNIX peer */
};

/* From a kernel address; v4-mapped v6 becomes AF_INET. AF_UNIX loses its path. */
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len);
/* To a kernel address; returns its length. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_ss);
/* "1.2.3.4:25", "[::1]:25", a bare address (port 0): numeric only, never resolves. -ERR_SYNTAX. */
int addr_parse(struct str s, struct addr *ret) NODISCARD;
/* "1.2.3.4", "::1": no port, no brackets. -ERR_SYNTAX. */
int addr_parse_ip(struct str s, struct addr *ret) NODISCARD;
/* Address without port: "1.2.3.4", "::1", "unix:". */
void addr_format_ip(char dst[ADDR_TEXT_MAX], const struct addr *a);
/* Address with port: "1.2.3.4:25", "[::1]:25", "unix:". */
void addr_format(char dst[ADDR_TEXT_MAX], const struct addr *a);
bool addr_eq(const struct addr *a, const struct addr *b);
bool addr_ip_eq(const struct addr *a, const struct addr *b);
/* "10.0.0.0/8", "::1", "fd00::/8", "unix:". -ERR_SYNTAX, also when host bits are set. */
int addr_net_parse(struct str s, struct addr_net *ret) NODISCARD;
void addr_net_format(char dst[ADDR_TEXT_MAX], const struct addr_net *n);
/* Clears everything below the first `bits` bits (0..128). */
void addr_mask(uint8_t ip[16], unsigned bits);
bool addr_net_has(const struct addr_net *n, const struct addr *a);
/* The address with everything below a /64 cleared for v6 (v4 unchanged), port 0: the key of
 * per-address limits. */
struct addr addr_limit_key(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
