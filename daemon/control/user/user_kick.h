/* SPDX-License-Identifier: ISC */
/* Ending the sessions of some users, the last step of user kick, lock and remove. Control thread.
 */
#pragma once

#include "runtime/state.h"

struct user_kick_spec {
    const json_t *names; /* whose; borrowed */
    json_t *rows;        /* an answer row for each name, and perhaps for others; NULL = the answer
                            names the sessions. Taken over */
    uint64_t n_failed;   /* of the rows */
    uint64_t n_changed;  /* users for whom something else is different now */
    enum reply_kind kind;
    const char *would; /* of a dry run that is about users: "locked"; NULL = about sessions */
};

struct user_pick;
/* A row for each name that was picked, and one with an error for each unknown one; result: of the
 * former, NULL = nothing is said yet. Owned. */
json_t *user_rows(const struct user_pick *p, const char *result, uint64_t *ret_failed);
/* Takes over r and answers it; its dry_run and (of one that is about sessions) max hold. */
void user_kick(struct request *r, const struct user_kick_spec *spec);
