/* SPDX-License-Identifier: ISC */
/* Moving one user from backend to backend without a login at the wrong one. All functions: control
 * thread. */
#pragma once

#include "ops/kill.h"
#include "ops/user_place.h"

struct control;
struct user_move_step;

/* What came of a user. Borrowed during the callback. */
struct user_moved {
    const char *user;
    int err;          /* 0, or why the user stays where they were */
    const char *text; /* a sentence about err, else NULL */
    bool is_changed;  /* the pin is another one now */
    const char *from; /* where the mailbox was; NULL = it was not looked for */
    uint64_t held_ms; /* so long no login went on */
};

/* What is the same for all users of a move; outlives the steps. */
struct user_move_plan {
    char *pool, *backend; /* the new pin; NULL = none */
    char *text;           /* words for the clients, NULL = the usual ones */
    uint64_t timeout_ms, grace_ms;
    struct kill_tally *tally; /* gets what became of the sessions */
    /* Between the end of the sessions and the new pin somebody carries the mailbox, and says so by
     * user_move_step_carried. NULL: nobody does. Who needs longer than carry_ms has failed. */
    void (*carry)(void *arg, struct user_move_step *m, const char *user,
                  const struct user_place *from);
    /* What is carried is of no use any more. True: user_move_step_carried follows, and is waited
     * for a while. */
    bool (*carry_stop)(void *arg, const char *user);
    /* In the place of carry: other proxies end the user's sessions, too, and the pin is changed
     * when all have, which user_move_step_carried says. NULL: there are none. */
    void (*gather)(void *arg, struct user_move_step *m, const char *user);
    uint64_t carry_ms;    /* of either */
    bool is_server_named; /* as in user_place_spec */
    /* Once, never within user_move_step_start; the step is gone then. */
    void (*done)(void *arg, const struct user_moved *result);
    void *arg;
};

/* -ERR_BUSY: this user is being moved already; -ERR_NOMEM. */
int user_move_step_start(struct control *c, const struct user_move_plan *plan, const char *user,
                         struct user_move_step **ret) NODISCARD;
/* Leaves the user where they are; done follows with -ERR_CANCELLED, unless the pin is changed
 * already. */
void user_move_step_stop(struct user_move_step *m);
/* The mailbox is at its new place, or all have ended the sessions; or err and a sentence say why
 * not.
 */
void user_move_step_carried(struct user_move_step *m, int err, const char *text);
/* At the end of the control plane: done will not run. */
void user_move_step_free(struct user_move_step *m);
