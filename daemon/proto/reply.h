/* SPDX-License-Identifier: ISC */
/* Abstract replies to a client: what happened, before a protocol gives it words and a response
 * code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/* R(ID, default text). Codes: IMAP RFC 5530, POP3 RFC 3206/2449, SMTP RFC 3463, Sieve RFC 5804;
 * each protocol has a row table. */
#define REPLY_KINDS(R)                                                                             \
    R(AUTH_FAILED, "Authentication failed.")                                                       \
    R(AUTH_TEMPFAIL, "Temporary authentication failure.")                                          \
    R(AUTH_CANCELLED, "Authentication cancelled.")                                                 \
    R(AUTH_BAD_RESPONSE, "Invalid authentication data.")                                           \
    R(MECH_DISABLED, "Authentication mechanism is not available.")                                 \
    R(TLS_REQUIRED, "Encryption is required: use TLS.")                                            \
    R(LIMIT, "Too many connections.")                                                              \
    R(BANNED, "Too many failures, try again later.")                                               \
    R(LOCKED, "Account is locked.")                                                                \
    R(BACKEND_DOWN, "Mail server is temporarily unavailable.")                                     \
    R(BACKEND_FULL, "Mail server has no room, try again later.")                                   \
    R(HELD, "Login is waiting.")                                                                   \
    R(HOLD_TIMEOUT, "Account is temporarily unavailable.")                                         \
    R(SHUTDOWN, "Server is shutting down.")                                                        \
    R(KICKED, "Disconnected by an administrator.")                                                 \
    R(TIMEOUT, "Disconnected for inactivity.")                                                     \
    R(TOO_MANY_BAD, "Too many bad commands.")                                                      \
    R(TOO_LONG, "Command is too long.")                                                            \
    R(PROTOCOL_MISUSE, "This is not an HTTP server.")                                              \
    R(BARE_NEWLINE,                                                                                \
      "Bare CR or LF at a line with a dot alone: it could be another end of the message.")         \
    R(NO_CERTIFICATE, "No required SSL certificate")                                               \
    R(BAD_CERTIFICATE, "SSL certificate error")                                                    \
    R(INTERNAL, "Internal error.")

enum reply_kind {
#define R(id, text) REPLY_##id,
    REPLY_KINDS(R)
#undef R
        REPLY_KIND_COUNT
};

/* Default sentence of a kind. */
const char *reply_text(enum reply_kind kind);
/* Stable lower-case name ("auth-failed") for logs and metrics. */
const char *reply_name(enum reply_kind kind);
/* Appends text that came from outside (an auth server, a mail server, an operator) so that it
 * cannot leave its line: runs of control bytes become one space, anything that is not UTF-8 becomes
 * '?', at most max_bytes bytes, cut at a whole character; no blanks at the ends. -ERR_NOMEM. */
int reply_append_clean(struct buf *out, struct str text, size_t max_bytes) NODISCARD;
/* Longest text of a reply to a client. */
#define REPLY_TEXT_MAX 400
/* The words of a reply: text when it is not NULL (cleaned), else the default sentence of the kind.
 * -ERR_NOMEM. */
int reply_append_text(struct buf *out, enum reply_kind kind, const char *text) NODISCARD;
/* The end of a line: the cleaned text, the fallback where nothing is left of it, CRLF. -ERR_NOMEM.
 */
int reply_end_line(struct buf *out, struct str text, const char *fallback) NODISCARD;
