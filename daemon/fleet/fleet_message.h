/* SPDX-License-Identifier: ISC */
/* What nodes of a fleet say to each other through the store: JSON with a signature, since whoever
 * can write to the store must not command the nodes. Pure. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

#define FLEET_SECRET_BYTES 32
#define FLEET_SIGNATURE_BYTES 64 /* HMAC-SHA-256 in hexadecimal */
#define FLEET_ORIGINS_MAX 1024
#define FLEET_MESSAGE_SCHEMA 1 /* of what the messages say */

/* Signs a text that goes into a stream; ret ends with a NUL. Thread: any. */
void fleet_message_sign(const uint8_t secret[FLEET_SECRET_BYTES], struct str stream,
                        struct str text, char ret[FLEET_SIGNATURE_BYTES + 1]);
/* Parses a text of a stream. NULL: the signature is not that of this text in this stream, or the
 * text is no JSON object. A new reference. */
json_t *fleet_message_open(const uint8_t secret[FLEET_SECRET_BYTES], struct str stream,
                           struct str text, struct str signature);

/* The number that a message has; 0: none. */
uint64_t fleet_message_number_of(const json_t *m);
/* The place of a name in a list of names; -1: it is not there, or there is no list. */
int fleet_message_find(const json_t *names, const char *name);
/* The number of a node's next message: greater than the last, and than those of a run before. */
uint64_t fleet_message_number(uint64_t last, uint64_t wall_ms);
/* seen: the number of each node's last message, which grow. 0: this one is new, and noted.
 * -ERR_EXISTS: it, or a later one, was taken before. -ERR_TOO_MANY nodes, -ERR_NOMEM. */
int fleet_message_take(json_t *seen, const char *node, uint64_t number) NODISCARD;

/* One node's share of a rate that several have together: so many in so many seconds. */
struct fleet_share {
    uint64_t rate, per;
};
/* rate, n: 1 at least. */
struct fleet_share fleet_share(uint64_t rate, uint64_t n);
