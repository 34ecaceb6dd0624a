/* SPDX-License-Identifier: ISC */
/* What the files of the user commands share. */
#pragma once

#include "runtime/state.h"

/* "active", "locked" (until its end) or "held". */
const char *user_state_name(const struct store_user *u, uint64_t now_ms);
/* A row of user list; without secrets. judge: user_judge, as of now. Thread: any. */
json_t *user_row(const struct store_user *u, const char *judge, uint64_t now_ms);
/* Says in a failed work that there is no such user, with the nearest name; returns -ERR_NO_USER.
 * Thread: job. */
int user_missing(struct work *w, const char *name);
/* What a change is about. */
enum user_edit_kind {
    USER_EDIT_NEW,     /* an account that is made by it */
    USER_EDIT_ACCOUNT, /* an account that is there */
    USER_EDIT_NAME     /* a name; where others than the store judge, any that they may know */
};

/* A change of one user: read, change, write, in a job. */
struct user_edit {
    struct work work;
    struct pools *pools; /* one reference: what pins are checked against */
    const char *judge;   /* user_judge */
    struct store_user user;
    enum user_edit_kind kind;
    bool is_changed;
    bool is_there; /* of a new one: is it already what it is to become? */
    /* Changes user; sets is_changed. Thread: job. -ERR_x with work.error. */
    int (*apply)(struct user_edit *e);
};
/* Starts it for the user of parameter "name"; then is the done of the work. Takes over r. */
void user_edit_start(struct request *r, enum user_edit_kind kind, int (*apply)(struct user_edit *e),
                     void (*then)(struct work *w));
/* Sets or frees an owned text (empty = none); notes a change. -ERR_NOMEM. */
int user_edit_text(struct user_edit *e, char **field, const char *value) NODISCARD;
