/* SPDX-License-Identifier: ISC */
/* What the protocols' fronts share: the head of their objects, the SASL exchange, refusals. For the
 * protocols' own files; all functions are pure, any thread. */
#pragma once

#include "proto/proto.h"

/* An object of `size` bytes of which struct front is the first member; NULL without memory. */
struct front *front_new(size_t size, const struct front_env *env);
/* Wipes the common head. */
void front_fini(struct front *f);
/* front_free of a protocol that has nothing else to free. */
void front_free(struct front *f);

/* Wipes what a login command left behind; no exchange is going on any more. */
void front_end_login(struct front *f);
/* Answer to a login command that asks for a mechanism: PROTO_AUTH_BEGIN with the decoded initial
 * response, PROTO_AUTH_BAD or PROTO_FATAL. initial: base64, empty without one. */
enum proto_intent front_begin_auth(struct front *f, enum sasl_mech mech, bool has_initial,
                                   struct str initial);
/* A response of the client, without its line end: decoded into auth_data; "*" breaks off. */
enum proto_intent front_take_response(struct front *f, struct str text);
/* auth_continue of IMAP and POP3: "+ " and the challenge in base64. */
int front_auth_continue(struct front *f, struct str challenge, struct buf *reply);
/* keepalive of protocols in which any line would be taken for the answer: says nothing. */
int front_no_keepalive(struct front *f, struct buf *reply);

/* What front_remember took of an env with the same memos, ways to log in and TLS; NULL: nothing. It
 * is valid until the next front_remember. */
const struct buf *front_recall(const struct front_env *env);
/* Copies what the protocol says of its capabilities, for the sessions that follow. Without memory
 * nothing is remembered. */
void front_remember(const struct front_env *env, struct str text);
/* SASL_BIT mask of the ways to log in that are announced now. */
unsigned front_announced(const struct front_env *env);
/* Does the client have STARTTLS? */
bool front_is_starttls_offered(const struct front_env *env);
/* Why a way to log in is not there: it needs TLS first, or there is none of that name. */
enum reply_kind front_why_disabled(const struct front_env *env, bool is_clear_text);
/* A try to log in was refused into the reply and ends here: PROTO_REFUSED. by SASL: mech, SASL_NONE
 * for a name that is none. */
enum proto_intent front_refuse(struct front *f, enum reply_kind why, enum sasl_mech mech);
/* The same of the protocol's own command (mech as cred.mech would have it). user: who, empty where
 * it is not known; a name that no login could have is left out. */
enum proto_intent front_refuse_command(struct front *f, enum reply_kind why, enum sasl_mech mech,
                                       struct str user);
/* True when a line (or the first bytes of one) looks like an HTTP request line (cross-protocol
 * attack): fronts answer FATAL. "GET /..." is enough; "CONNECT host:1 HTTP/1.1" needs the whole
 * line. A tag or verb that merely has an HTTP method's name is let through. Of a line that is too
 * long, callers give only what may be looked at: how much came at once must not matter. */
bool front_is_http(struct str in);
