/* SPDX-License-Identifier: ISC */
/* What of a dialogue may be shown to an operator: commands that are known to hold no secret, and of
 * those that do the part before it. Everything else counts as secret. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

struct proto;

/* What of a command's arguments may be shown. */
enum redact_args {
    REDACT_NO_ARGS,   /* none: what stands there all the same is not shown */
    REDACT_ALL,       /* the whole line */
    REDACT_NAME,      /* a name and nothing else: the whole line, when it has one argument */
    REDACT_FIRST,     /* the first argument, when another one follows */
    REDACT_MECHANISM, /* the name of a SASL mechanism */
    REDACT_NOTHING,   /* the argument is a secret */
};

/* A row of a protocol's table; the table ends with a verb of NULL. */
struct redact_verb {
    const char *verb;
    enum redact_args args;
};

/* How many bytes at the start of `in` may be shown. in: commands from the beginning of one on, the
 * last one perhaps not whole; of the same command more may be shown when more of it is there, never
 * less. is_exchange: within a login, what comes answers a challenge or completes a command. */
size_t redact_bytes(const struct proto *proto, struct str in, bool is_exchange);

/* Is the verb one of those that have a secret behind them? */
bool redact_is_login(const struct proto *proto, struct str verb);

/* How many words there are to look for in what is repeated: that many times `text` is searched. */
size_t redact_count_words(struct str hidden);
/* Appends `text`; words of `hidden` that occur in it become stars: a peer may repeat what it was
 * told. -ERR_NOMEM. */
int redact_append(struct buf *out, struct str text, struct str hidden) NODISCARD;
/* What stands for secrets of any length. */
#define REDACT_STARS "****"

/* ---- the relay ---- */

/* Longer than tag and verb of any command. */
#define REDACT_HEAD_MAX 160

/* The client's bytes of a relay: all of them may be shown but those of a login within it. Only to
 * be initialised by redact_relay_init. */
struct redact_relay {
    const struct proto *proto;
    char head[REDACT_HEAD_MAX]; /* start of the line, while it is not known what it is */
    size_t n_head;
    bool is_line_shown, is_line_hidden; /* it is known: up to its end */
    bool is_login;                      /* hidden until the server has judged */
};

/* is_between: no command runs, and the client's next byte begins one. verb: the last command. */
void redact_relay_init(struct redact_relay *r, const struct proto *proto, bool is_between,
                       struct str verb);
/* Appends what may be shown of the client's next bytes; what could still become a login waits.
 * *ret_is_masked is set when stars stand for some. -ERR_NOMEM: what is not appended is not shown.
 */
int redact_relay_client(struct redact_relay *r, struct str bytes, struct buf *out,
                        bool *ret_is_masked) NODISCARD;
/* The server has answered everything: a login is over. */
void redact_relay_login_over(struct redact_relay *r);
