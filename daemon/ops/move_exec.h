/* SPDX-License-Identifier: ISC */
/* The command of a move that carries mailboxes (--exec). This daemon executes nothing: a client,
 * mailproxyctl, attends the operation, is told whose mailbox is to be carried from where to where,
 * and reports what came of it. All functions: control thread. */
#pragma once

#include "ops/ops.h"
#include "ops/user_move_step.h"

struct move_exec;

struct move_exec_spec {
    struct control *control;
    struct op *op;
    const char *to_pool, *to, *to_host; /* copied */
    uint64_t hold_ms; /* without a client: so long users are held for its return */
    /* A client attends from now on. */
    void (*attended)(void *arg);
    /* Nobody has attended for so long that nobody should wait any more; with is_final the operation
     * is to end. */
    void (*lost)(void *arg, bool is_final);
    void *arg;
};

/* -ERR_NOMEM. */
int move_exec_new(const struct move_exec_spec *spec, struct move_exec **ret) NODISCARD;
/* The client is told that it is over, in these words; NULL = not told. x NULL is fine. */
void move_exec_free(struct move_exec *x, const char *message);
/* Is there somebody who runs commands? */
bool move_exec_is_attended(const struct move_exec *x);
/* Answers a request that wants to attend: with a stream. */
void move_exec_attend(struct move_exec *x, struct request *r);
/* Takes a report (user, status, output) and answers it; without a user the client says that it is
 * ready. The step goes on. */
void move_exec_report(struct move_exec *x, struct request *r);

/* The mailbox of a user may be carried now. A failure ends the step. */
void move_exec_begin(struct move_exec *x, struct user_move_step *step, const char *user,
                     const struct user_place *from);
/* The client is told to stop it, and reports that. False: nobody is there to be told. */
bool move_exec_stop(struct move_exec *x, const char *user);
/* All that are being carried are given up, with -ERR_AGAIN. */
void move_exec_drop_all(struct move_exec *x);
/* The step of a user is over: puts exit and output of the command into its row. */
void move_exec_take(struct move_exec *x, const char *user, json_t *row);
/* Tells the client how far the operation is. */
void move_exec_say(struct move_exec *x);
/* Appends rows of those that are being carried. */
void move_exec_rows(const struct move_exec *x, json_t *rows);
