/* SPDX-License-Identifier: ISC */
/* Cutting a byte stream into lines and IMAP-style literals. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* First line of `in` without its end. *ret_consumed counts CRLF or LF. 0; -ERR_AGAIN (no LF yet);
 * -ERR_TOO_LONG (over max). is_bare_lf may be NULL. */
int line_cut(struct str in, size_t max, struct str *ret_line, size_t *ret_consumed,
             bool *is_bare_lf) NODISCARD;

/* A literal announcement at the end of a line: "{123}", "{123+}", "{123-}". Digits only; a number
 * beyond 64 bits counts as UINT64_MAX. True when there is one. */
bool line_literal(struct str line, uint64_t *ret_size, bool *ret_is_sync);

/* Cuts one command made of lines and literals (IMAP, ManageSieve).
 * in: all unconsumed bytes. max_line: all lines of the command together, without their ends;
 * max_literals: all literals together. *invited: literals already invited (caller-kept, 0 at the
 * start of a command; this function counts it up and resets it with 0 and -ERR_TOO_LONG). 0:
 * complete, *ret_consumed bytes (ends and literals included); -ERR_AGAIN: more bytes needed;
 * *ret_invite true when a synchronizing literal now waits for its go-ahead: send it AND CALL AGAIN
 * AT ONCE (an impatient client's literal may be there already); -ERR_TOO_LONG: a line over max_line
 * or literals over max_literals; *ret_is_sync tells whether the offending literal was
 * synchronizing: then it can be refused politely, its command ends after *ret_consumed bytes and
 * the literal will never come. *ret_invite and *ret_is_sync are always set, *ret_consumed with 0
 * and with -ERR_TOO_LONG (0 when the stream cannot be followed any further). */
int line_cut_command(struct str in, size_t max_line, size_t max_literals, unsigned *invited,
                     size_t *ret_consumed, bool *ret_invite, bool *ret_is_sync) NODISCARD;
