/* SPDX-License-Identifier: ISC */
/* The protocols, once: their numbers, their rows in the registry, their names in help texts. */
#pragma once

/* P(id, name, separator): what stands before the name in a list of all. */
#define PROTOS(P) P(IMAP, imap, "") P(POP3, pop3, ", ") P(SMTP, smtp, ", ") P(SIEVE, sieve, " or ")

#define PROTO_LISTED(id, name, separator) separator #name
/* All names in one text: "imap, ... or sieve". */
#define PROTO_NAMES PROTOS(PROTO_LISTED)
