/* SPDX-License-Identifier: ISC */
/* Whom a ban or an override is about: an address, a network or a user. */
#pragma once

#include "base/addr.h"

enum subject_kind { SUBJECT_ADDRESS, SUBJECT_NETWORK, SUBJECT_USER };

struct subject {
    enum subject_kind kind;
    struct addr_net net; /* an address is a network of one */
    char user[256];      /* normalised; "" for addresses */
};

/* Bytes of a formatted subject. */
#define SUBJECT_TEXT_MAX 264

/* "10.1.2.3", "2001:db8::/32", "unix:", "somebody@example.org", "user:NAME" for names that look
 * like addresses. -ERR_SYNTAX; also for a network with host bits. */
int subject_parse(struct str text, struct subject *ret) NODISCARD;
/* Text that subject_parse reads back. */
void subject_format(char dst[SUBJECT_TEXT_MAX], const struct subject *s);
/* "address", "network", "user". */
const char *subject_kind_name(enum subject_kind k);
/* The subject of limits per address: an IPv6 address stands for its /64. */
void subject_of_addr(struct subject *ret, const struct addr *a);
