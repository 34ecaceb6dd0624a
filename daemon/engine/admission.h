/* SPDX-License-Identifier: ISC */
/* What limits say of clients and logins: asked on the thread where the answer is needed. Only what
 * follows from it, a ban or a user that is guessed at, goes to the control thread. */
#pragma once

#include "limits/limits.h"
#include "session/session.h"

/* What it takes; all borrowed. */
struct admission {
    struct limits *limits;
    struct log_quota *log_quota; /* NULL = none */
    struct mailbox *control;     /* its loop's owner begins with a pointer to the control plane */
};

/* Thread of all functions: any. c: the configuration in force. now_ms: of the loop. */

/* A client connects. What was counted is given back by admission_release_client. */
void admission_client(const struct admission *a, const struct config_limits *c,
                      const struct addr *peer, uint64_t now_ms, struct session_verdict *ret);
void admission_release_client(const struct admission *a, const struct config_limits *c,
                              const struct addr *peer, uint64_t now_ms);
/* A user (NULL or "" = nobody in particular) wants to log in; own_max: of its entry, 0 = as
 * configured. What was counted is given back by limits_logout. */
void admission_login(const struct admission *a, const struct config_limits *c,
                     const struct addr *peer, const char *user, unsigned own_max, uint64_t now_ms,
                     struct session_verdict *ret);
/* Wrong credentials (their keyed hash, 0 = unknown) of a user, as the client wrote it: when to
 * answer, and whether that was the last try. */
void admission_failure(const struct admission *a, const struct config_limits *c,
                       const struct addr *peer, struct str user, uint32_t credentials,
                       uint64_t delay_ms, uint64_t now_ms, struct session_verdict *ret);
