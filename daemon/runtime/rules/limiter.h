/* SPDX-License-Identifier: ISC */
/* The owner of limits and bans: what follows from what the workers found out, the clock, the store.
 * All functions: control thread. */
#pragma once

#include "limits/limits.h"
#include "runtime/rules/rule_db.h"

struct control;
struct limiter;

/* Loads bans and overrides; blocking. */
int limiter_new(struct control *c, struct limiter **ret, char **ret_error) NODISCARD;
/* What the store does not have yet is written; blocking. Its counts can be read on. NULL is fine.
 */
void limiter_stop(struct limiter *l);
/* One that was stopped, when no job reads its counts any more. NULL is fine. */
void limiter_free(struct limiter *l);

/* The counts and bans, borrowed. The workers judge by them. */
struct limits *limiter_limits(struct limiter *l);
/* Lists that are being answered, for rows_answer. */
struct list *limiter_jobs(struct limiter *l);
struct rules_time limiter_now(const struct limiter *l);
/* Limits of the configuration now in force. */
const struct config_limits *limiter_config(const struct limiter *l);
/* Rules that a batch wrote are known to be in the store. */
void limiter_stored(struct limiter *l, const struct rule_batch *b);

/* Called for each ban for failures that begins to hold, of this engine or of another node, and for
 * each that an operator of this node ends before its time; NULL = nobody wants to know. */
void limiter_on_ban(struct limiter *l, void (*made)(struct control *c, const struct rule *ban),
                    void (*lifted)(struct control *c, const struct rule *ban));
/* An operator ends this ban, which is there still. */
void limiter_lifts(struct limiter *l, const struct rule *ban);
/* A ban that another node of the fleet made, or lifted: as of limits_take_ban and limits_is_lifted;
 * written to the store, and told. True: it begins to hold, or holds no longer. */
bool limiter_take_ban(struct limiter *l, const struct limit_ban *b);
bool limiter_take_lift(struct limiter *l, const struct limit_ban *b);

struct limiter_figures {
    uint64_t bans, automatic_bans, overrides, sources, users; /* now */
    uint64_t bans_made;                                       /* for failures, since the start */
    uint64_t log_lines_left_out;                              /* since the start */
};
void limiter_figures(struct limiter *l, struct limiter_figures *ret);
/* Appends why a login would be refused now, nothing when it would not. NULL peer = unknown.
 * own_max: of the user's entry. */
int limiter_explain(struct limiter *l, const struct addr *peer, const char *user, unsigned own_max,
                    struct buf *out) NODISCARD;

/* Failures from an address (or of n users from there) have led to a ban. */
void control_ban_due(struct control *c, const struct addr *peer, bool is_spraying, uint32_t n);
/* Somebody guesses at a user: nobody is locked out for it, but an operator may want to know. */
void control_guessed_at(struct control *c, const char *user, uint32_t passwords,
                        uint32_t addresses);
