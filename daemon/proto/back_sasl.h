/* SPDX-License-Identifier: ISC */
/* The client's side of SASL towards mail servers, and the values of XCLIENT: what the back ends of
 * SMTP and ManageSieve share. */
#pragma once

#include "proto/back.h"

/* May these credentials be sent at all? BACK_FAIL_NONE; BACK_FAIL_BAD_CREDENTIAL when a name or
 * secret (or the SMTP command lines and client names that go along) holds CR, LF or NUL;
 * BACK_FAIL_LOOP when no hop is left. */
enum back_failure back_sasl_check(const struct back_env *env);
/* True when there is a secret that a mechanism can send (not a mere digest or proof). */
bool back_sasl_has_secret(const struct back_env *env);
/* The mechanism to log in with: of the credentials' own kind (password or token) and offered by the
 * server (SASL_BIT mask); SASL_NONE when there is none. */
enum sasl_mech back_sasl_pick(const struct back_env *env, unsigned offered);
/* Appends the client's step-th message, not yet base64: PLAIN, XOAUTH2, OAUTHBEARER have one, LOGIN
 * two. Once they are used up the OAuth mechanisms acknowledge the server's error challenge.
 * -ERR_RANGE: the server wants more than the mechanism has; -ERR_NOMEM. out is secret. */
int back_sasl_message(const struct back_env *env, enum sasl_mech mech, unsigned step,
                      struct buf *out) NODISCARD;
/* Reads the blank-separated names of a list into a SASL_BIT mask; unknown ones are skipped. */
unsigned back_sasl_mask(struct str names);
/* Is the word in a blank-separated list (any case)? */
bool back_has_word(struct str list, const char *word);
/* Appends xtext (RFC 3461 section 4). -ERR_NOMEM. */
int back_append_xtext(struct buf *out, struct str value) NODISCARD;
