/* SPDX-License-Identifier: ISC */
/* The owner of limits and bans: what follows from what the workers found out, the clock, the store.
 * All functions: control thread. */
#pragma once

#include "limits/limits.h"
#include "runtime/rules/rule_db.h"

struct control;
struct limit_service;

/* Loads bans and overrides; blocking. */
int limit_service_new(struct control *c, struct limit_service **ret, char **ret_error) NODISCARD;
/* What the store does not have yet is written; blocking. Its counts can be read on. NULL is fine.
 */
void limit_service_stop(struct limit_service *l);
/* One that was stopped, when no job reads its counts any more. NULL is fine. */
void limit_service_free(struct limit_service *l);

/* The counts and bans, borrowed. The workers judge by them. */
struct limits *limit_service_limits(struct limit_service *l);
/* Lists that are being answered, for rows_answer. */
struct list *limit_service_jobs(struct limit_service *l);
struct rules_time limit_service_now(const struct limit_service *l);
/* Limits of the configuration now in force. */
const struct config_limits *limit_service_config(const struct limit_service *l);
/* Rules that a batch wrote are known to be in the store. */
void limit_service_stored(struct limit_service *l, const struct rule_batch *b);

/* Called for each ban for failures that begins to hold, of this engine or of another node, and for
 * each that an operator of this node ends before its time; NULL = nobody wants to know. */
void limit_service_on_ban(struct limit_service *l,
                          void (*made)(struct control *c, const struct rule *ban),
                          void (*lifted)(struct control *c, const struct rule *ban));
/* An operator ends this ban, which is there still. */
void limit_service_lifts(struct limit_service *l, const struct rule *ban);
/* A ban that another node of the fleet made, or lifted: as of limits_take_ban and limits_is_lifted;
 * written to the store, and told. True: it begins to hold, or holds no longer. */
bool limit_service_take_ban(struct limit_service *l, const struct limit_ban *b);
bool limit_service_take_lift(struct limit_service *l, const struct limit_ban *b);

struct limit_service_figures {
    uint64_t bans, automatic_bans, overrides, sources, users; /* now */
    uint64_t bans_made;                                       /* for failures, since the start */
    uint64_t log_lines_left_out;                              /* since the start */
};
void limit_service_figures(struct limit_service *l, struct limit_service_figures *ret);
/* Appends why a login would be refused now, nothing when it would not. NULL peer = unknown.
 * own_max: of the user's entry. */
int limit_service_explain(struct limit_service *l, const struct addr *peer, const char *user,
                          unsigned own_max, struct buf *out) NODISCARD;

/* Failures from an address (or of n users from there) have led to a ban. */
void control_ban_due(struct control *c, const struct addr *peer, bool is_spraying, uint32_t n);
/* Somebody guesses at a user: nobody is locked out for it, but an operator may want to know. */
void control_guessed_at(struct control *c, const char *user, uint32_t passwords,
                        uint32_t addresses);
