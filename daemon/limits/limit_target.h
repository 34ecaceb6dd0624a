/* SPDX-License-Identifier: ISC */
/* Whom a ban or an override is about: an address, a network or a user. */
#pragma once

#include "base/addr.h"

enum limit_target_kind { LIMIT_TARGET_ADDRESS, LIMIT_TARGET_NETWORK, LIMIT_TARGET_USER };

struct limit_target {
    enum limit_target_kind kind;
    struct addr_net net; /* an address is a network of one */
    char user[256];      /* normalised; "" for addresses */
};

/* Bytes of a formatted subject. */
#define LIMIT_TARGET_TEXT_MAX 264

/* "10.1.2.3", "2001:db8::/32", "unix:", "somebody@example.org", "user:NAME" for names that look
 * like addresses. -ERR_SYNTAX; also for a network with host bits. */
int limit_target_parse(struct str text, struct limit_target *ret) NODISCARD;
/* Text that limit_target_parse reads back. */
void limit_target_format(char dst[LIMIT_TARGET_TEXT_MAX], const struct limit_target *s);
/* "address", "network", "user". */
const char *limit_target_kind_name(enum limit_target_kind k);
/* The subject of limits per address: an IPv6 address stands for its /64. */
void limit_target_of_addr(struct limit_target *ret, const struct addr *a);
