/* SPDX-License-Identifier: ISC */
/* The last logins that failed, by user and by provider of authentication: what an explanation
 * quotes. Memory is bounded, the names that failed longest ago are forgotten first. All functions:
 * control thread. */
#pragma once

#include "base/err.h"
#include "proto/proto.h"

struct control;
struct failures;

#define FAILURES_USERS_MAX 2048   /* names */
#define FAILURES_OF_USER 3        /* kept of each */
#define FAILURES_PROVIDERS_MAX 16 /* of a configuration, by index */

struct login_failure {
    uint64_t at_ms; /* wall clock; 0 = none */
    enum proto_id proto;
    const char *cause;  /* of the reply: reply_name, static */
    const char *source; /* who judged, static; NULL = nobody */
    char ip[48];
    char words[160]; /* for operators; "" = those of the cause */
};

/* Of one name, newest first. */
struct user_failures {
    size_t n;
    struct login_failure v[FAILURES_OF_USER];
    uint64_t login_ms; /* the last login that succeeded since the oldest of v; 0 = none */
};

/* Of one provider: the last time that it could not judge, and that it did. */
struct provider_failures {
    struct login_failure last;
    uint64_t judged_ms;
};

/* 0 or -ERR_NOMEM. */
int failures_new(struct failures **ret) NODISCARD;
void failures_free(struct failures *f); /* NULL is fine */

/* A login failed; provider: index of the last one asked. user: as the client wrote it; a name that
 * is none is not kept. */
void failures_note(struct failures *f, const char *user, unsigned provider,
                   const struct login_failure *failure);
/* A login succeeded; source: who judged (an answer out of a cache tells nothing of its provider).
 */
void failures_note_login(struct failures *f, const char *user, unsigned provider,
                         const char *source, uint64_t at_ms);

/* NULL: nothing failed that is remembered. Borrowed until the next call that notes. */
const struct user_failures *failures_of_user(const struct failures *f, const char *user);
const struct provider_failures *failures_of_provider(const struct failures *f, unsigned provider);
/* Has nothing succeeded since its last failure? NULL is fine. */
bool user_failures_are_last(const struct user_failures *u);
bool provider_failures_are_last(const struct provider_failures *p);
/* "5s ago from 10.0.0.1 by imap: wrong password (users)"; appends. */
int login_failure_print(const struct login_failure *f, uint64_t wall_ms, struct buf *out) NODISCARD;

/* The same for whoever has the control plane only. */
void control_note_login_failed(struct control *c, const char *user, unsigned provider,
                               const struct login_failure *failure);
void control_note_login_judged(struct control *c, const char *user, unsigned provider,
                               const char *source, uint64_t at_ms);
