/* SPDX-License-Identifier: ISC */
/* The owner of limits and bans: what accept and the workers ask, the clock, the store. All
 * functions: control thread. */
#pragma once

#include "limits/limits.h"
#include "runtime/rule_db.h"

struct control;
struct limiter;
struct session_verdict;

/* Loads bans and overrides; blocking. */
int limiter_new(struct control *c, struct limiter **ret, char **ret_error) NODISCARD;
/* What the store does not have yet is written; blocking. NULL is fine. */
void limiter_free(struct limiter *l);

/* The counts and bans, borrowed. */
struct limits *limiter_limits(struct limiter *l);
/* Lists that are being answered, for rows_answer. */
struct list *limiter_jobs(struct limiter *l);
struct rules_time limiter_now(const struct limiter *l);
/* Limits of the configuration now in force. */
const struct config_limits *limiter_config(const struct limiter *l);
/* After rules were put or removed: the workers ask from now on, or need not any more. */
void limiter_changed(struct limiter *l);
/* Rules that a batch wrote are known to be in the store. */
void limiter_stored(struct limiter *l, const struct rule_batch *b);

struct limiter_figures {
    uint64_t bans, automatic_bans, overrides, sources, users; /* now */
    uint64_t bans_made;                                       /* for failures, since the start */
    uint64_t log_lines_left_out;                              /* since the start */
};
void limiter_figures(const struct limiter *l, struct limiter_figures *ret);
/* Appends why a login would be refused now, nothing when it would not. NULL peer = unknown.
 * own_max: of the user's entry. */
int limiter_explain(struct limiter *l, const struct addr *peer, const char *user, unsigned own_max,
                    struct buf *out) NODISCARD;

/* Limits and bans. What is counted for a session has to be released at its end. */

/* A client connects: may it stay? is_forced: it is there already and only counted. */
void control_admit_client(struct control *c, const struct addr *peer, bool is_forced,
                          struct session_verdict *ret);
/* A user authenticated: may it log in? own_max: of its entry, 0 = as configured. */
void control_admit_login(struct control *c, const struct addr *peer, const char *user,
                         unsigned own_max, struct session_verdict *ret);
/* A user logged in without having been judged. False: not counted. */
bool control_count_login(struct control *c, const struct addr *peer, const char *user);
/* A counted client or login is over; NULL = not that one. */
void control_release(struct control *c, const struct addr *peer, const char *user);
/* Wrong credentials (their keyed hash, 0 = unknown) of a user, as the client wrote it: when to
 * answer, and whether that was the last try. */
void control_note_failure(struct control *c, const struct addr *peer, const char *user,
                          uint32_t credentials, uint64_t delay_ms, struct session_verdict *ret);
/* A user's login from an address came to its end: failures of others there weigh less. */
void control_welcome(struct control *c, const struct addr *peer, const char *user);
