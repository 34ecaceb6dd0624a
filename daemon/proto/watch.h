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

/* A line of message data with a dot alone that is not CR LF . CR LF: servers differ in whether it
 * is the end of the message (SMTP smuggling). */
enum watch_false_end {
    WATCH_FALSE_END_NONE,
    WATCH_FALSE_END_AT_DOT, /* up to the dot it was fed: one more dot makes it text for everybody */
    WATCH_FALSE_END_BEHIND  /* a CR alone behind the dot was fed, too */
};

/* Kept current by watch_feed, but for is_stepwise and is_strict. */
struct watch {
    uint8_t phase; /* enum watch_phase */
    bool is_quiet; /* every command has its answer and no other has begun: a session that ends now
                      leaves nobody in doubt. An IMAP client in IDLE is quiet. */
    bool is_client_due; /* the client has begun what only it can complete (a command, a literal,
                           message data), or the server has asked it to go on */
    bool is_server_due; /* what the client says next has one meaning or another, which the server's
                           next answer decides: watch_feed takes nothing more of the client, nor may
                           the server get more, before it has been fed that */
    bool is_stepwise;   /* set by the owner: watch_feed stops behind each complete command, and each
                           complete response */
    bool is_strict;     /* set by the owner: watch_feed stops at a false end of message data */
    bool is_forbidden;  /* the client has begun a command that would make it somebody else, or that
                           only the proxy may say to the server: watch_feed has stopped within it,
                           or behind it, and verb is its name */
    bool is_ambiguous;  /* it is forbidden because servers differ in where it ends */
    uint8_t false_end;  /* enum watch_false_end: it has stopped there; the owner sets it back */
    uint32_t open;      /* commands that have begun and have no answer; IDLE is none */
    char verb[15];      /* upper-case last command verb, NUL-terminated, "" before the first */
};

/* Is the last verb this literal? Compared in place: a string function costs more than the rest of a
 * short line. */
#define WATCH_VERB_IS(w, literal) (memcmp((w)->verb, literal, sizeof(literal)) == 0)

/* For the followers: from now on nothing can be said. */
void watch_go_opaque(struct watch *w);
/* Sets the verb of a command to the one of n known ones that a word is, in any case; "?" when it is
 * none: a SASL response must not appear in a listing. */
void watch_set_verb(struct watch *w, struct str word, const char *const *verbs, size_t n);
/* As listings show it; static. */
const char *watch_phase_name(enum watch_phase p);
/* May a farewell line be put into the server->client stream now without damage? Also true in the
 * middle of a command when the server->client stream itself is between complete responses. */
bool watch_is_boundary(const struct watch *w);
/* How many commands go without an answer if the session ends now, one that is not complete among
 * them. 0 when nothing can be said (WATCH_OPAQUE). */
uint32_t watch_unanswered(const struct watch *w);
