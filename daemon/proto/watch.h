/* SPDX-License-Identifier: ISC */
/* Common head of the relay followers: what a session is doing now, without touching a byte of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* What the operator sees as `phase`. */
enum watch_phase {
    WATCH_BETWEEN,  /* no command is running: the server may speak untagged (a response boundary) */
    WATCH_COMMAND,  /* the client is sending a command or the server is working on it */
    WATCH_RESPONSE, /* in the middle of a response line or literal */
    WATCH_DATA,     /* the client is sending message data (APPEND literal, SMTP DATA) */
    WATCH_IDLE,     /* IMAP IDLE between responses: also a boundary */
    WATCH_OPAQUE,   /* COMPRESS, STARTTLS or something unknown: nothing can be said any more */
    WATCH_PHASE_COUNT
};

struct watch {
    uint8_t phase; /* enum watch_phase, kept current by watch_feed */
    char verb[15]; /* upper-case last command verb, NUL-terminated, "" before the first */
};

/* As listings show it; static. */
const char *watch_phase_name(enum watch_phase p);
/* May a farewell line be put into the server->client stream now without damage? Also true in the
 * middle of a command when the server->client stream itself is between complete responses. */
bool watch_is_boundary(const struct watch *w);
