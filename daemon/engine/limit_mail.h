/* SPDX-License-Identifier: ISC */
/* What workers ask the owner of limits and bans, and its answers: one object goes there and back.
 */
#pragma once

#include "session/session.h"

struct worker;

enum limit_question { LIMIT_CLIENT, LIMIT_LOGIN, LIMIT_FAILURE, LIMIT_RELEASE };

struct limit_mail {
    struct mail mail;
    enum limit_question what;
    struct mailbox *back; /* of the worker; NULL = no answer is wanted */
    uint64_t session;
    struct addr peer;
    unsigned max_sessions; /* LIMIT_LOGIN: of the user's entry */
    uint32_t credentials;  /* LIMIT_FAILURE */
    uint64_t delay_ms;     /* LIMIT_FAILURE: as configured */
    bool has_client, has_user;
    struct session_verdict verdict;
    char user[256]; /* LIMIT_FAILURE: as the client wrote it */
};

/* Sets the hooks of a worker that ask. Thread: any, before the worker runs. */
void limit_mail_hooks(struct session_hooks *hooks);
/* Do ends of sessions have to be told at once, because they make room for others? Thread: the
 * worker's. */
bool limit_mail_is_urgent(const struct worker *w);
/* A counted client whose session could not be started. Thread: the worker's. */
void limit_mail_release_client(struct worker *w, const struct addr *peer);
/* Answers. Thread: control; the owner of its loop begins with a pointer to the control plane. */
void limit_mail_deliver(struct mail *m, void *owner);
