/* SPDX-License-Identifier: ISC */
/* Moving one user from backend to backend without a login at the wrong one. All functions: control
 * thread. */
#pragma once

#include "ops/kill.h"

struct control;
struct user_move_step;

/* What is the same for all users of a move; outlives the movers. */
struct user_move_plan {
    char *pool, *backend; /* the new pin; NULL = none */
    char *text;           /* words for the clients, NULL = the usual ones */
    uint64_t timeout_ms, grace_ms;
    struct kill_tally *tally; /* gets what became of the sessions */
    /* Once, never within user_move_step_start; the step is gone then. err 0, or why the user stays
     * where they were, with a sentence; is_changed: the pin is another one now. */
    void (*done)(void *arg, const char *user, int err, const char *text, bool is_changed);
    void *arg;
};

/* -ERR_BUSY: this user is being moved already; -ERR_NOMEM. */
int user_move_step_start(struct control *c, const struct user_move_plan *plan, const char *user,
                         struct user_move_step **ret) NODISCARD;
/* Leaves the user where they are; done follows with -ERR_CANCELLED, unless the pin is changed
 * already. */
void user_move_step_stop(struct user_move_step *m);
/* At the end of the control plane: done will not run. */
void user_move_step_free(struct user_move_step *m);
