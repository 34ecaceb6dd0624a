/* SPDX-License-Identifier: ISC */
/* Moving many users as an operation. Control thread. */
#pragma once

#include "ops/ops.h"
#include "ops/user_move_step.h"

/* Other proxies move the same users at the same time. All functions: not NULL. */
struct move_gather {
    /* None of the user's sessions is left here; user_move_step_carried follows. */
    void (*ready)(void *arg, struct user_move_step *step, const char *user);
    /* What came of a user here, ready or not. */
    void (*ended)(void *arg, const struct user_moved *u);
    /* The operation is over, or the control plane is: frees arg. */
    void (*over)(void *arg);
    void *arg;
};

struct move_op_spec {
    struct user_move_plan *plan; /* taken over; what it calls is set here */
    json_t *users, *unknown;     /* names; unknown: those that have failed already. Borrowed */
    size_t parallel;
    const char *to_host;              /* a client carries the mailboxes there; NULL = nobody does */
    uint64_t resume_ms;               /* without that client, users wait so long for its return */
    const struct move_gather *gather; /* copied, arg is taken over; NULL = only this proxy */
    const struct peer *peer;
};

/* Makes it; op_start comes next. -ERR_NOMEM. */
int move_op_new(struct control *c, struct move_op_spec *spec, struct op **ret) NODISCARD;
/* Frees what a plan owns. */
void user_move_plan_fini(struct user_move_plan *p);
