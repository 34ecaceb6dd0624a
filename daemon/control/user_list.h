/* SPDX-License-Identifier: ISC */
/* What the files of the user commands share. */
#pragma once

#include "runtime/state.h"

/* "active", "locked" (until its end) or "held". */
const char *user_state_name(const struct store_user *u, uint64_t now_ms);
/* A row of user list; without secrets. Thread: any. */
json_t *user_row(const struct store_user *u, uint64_t now_ms);
/* Says in a failed work that there is no such user, with the nearest name; returns -ERR_NO_USER.
 * Thread: job. */
int user_missing(struct work *w, const char *name);
/* A change of one user: read, change, write, in a job. */
struct user_edit {
    struct work work;
    struct pools *pools; /* one reference: what pins are checked against */
    struct store_user user;
    bool is_new, is_changed;
    bool is_there; /* of a new one: is it already what it is to become? */
    /* Changes user; sets is_changed. Thread: job. -ERR_x with work.error. */
    int (*apply)(struct user_edit *e);
};
/* Starts it for the user of parameter "name"; then is the done of the work. Takes over r. */
void user_edit_start(struct request *r, bool is_new, int (*apply)(struct user_edit *e),
                     void (*then)(struct work *w));
/* Sets or frees an owned text (empty = none); notes a change. -ERR_NOMEM. */
int user_edit_text(struct user_edit *e, char **field, const char *value) NODISCARD;
/* user_set.c: everything that user add and user set take. */
int user_edit_apply(struct user_edit *e);
int user_edit_passwd(struct user_edit *e);

/* Ends the sessions of the names in the request's array, one name after another; the answer has
 * count, rows and changed (also when is_changed). Takes over r. */
void user_kick(struct request *r, const json_t *names, enum reply_kind kind, bool is_changed);
