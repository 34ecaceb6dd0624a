/* SPDX-License-Identifier: ISC */
/* A daemon of another machine: ssh://[user@]host[:port][/socket] is reached through ssh, which runs
 * "mailproxyctl pipe" there; the rights are those of the user over there. One thread at a time. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* The program, with options of its own; "ssh" without it. */
#define REMOTE_PROGRAM "MAILPROXY_SSH"

struct remote;

/* Is it the name of such a place, well formed or not? */
bool remote_is_named(const char *place);
/* The dashboard owns the terminal: from now on ssh asks nothing, and fails instead. */
void remote_never_ask(void);
/* Starts ssh; *ret_fd (owned by the caller) is both directions, without waiting. -ERR_SYNTAX (no
 * such form), -ERR_NOT_FOUND (there is no such program), -ERR_IO, -ERR_NOMEM. */
int remote_open(const char *place, struct remote **ret, int *ret_fd) NODISCARD;
/* Where ssh says beside the connection what it has to say, for a poll: remote_listen takes it. -1:
 * there is no more, or r is NULL. */
int remote_words_fd(const struct remote *r);
/* Takes what ssh has said so far: a full pipe would stop it. NULL is fine. */
void remote_listen(struct remote *r);
/* Ends it. NULL is fine. */
void remote_close(struct remote *r);
/* The other side is silent: why? Waits a moment for ssh's end. -ERR_x with *ret_text (owned, NULL
 * without memory) and *ret_hint (static, may be NULL). */
int remote_explain(struct remote *r, char **ret_text, const char **ret_hint);
/* The same for -ERR_x of remote_open. */
char *remote_explain_open(const char *place, int err, const char **ret_hint);

/* ---- for tests ---- */

#define REMOTE_WORDS_MAX 64
/* What is run for a place: words (owned, remote_words_free), NULL behind the last. -ERR_SYNTAX,
 * -ERR_NOMEM. */
int remote_words(const char *place, bool may_ask, char ***ret) NODISCARD;
void remote_words_free(char **words);
