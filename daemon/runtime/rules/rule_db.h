/* SPDX-License-Identifier: ISC */
/* Bans and overrides in the store: loading them at the start, writing changes in batches. */
#pragma once

#include "limits/rules.h"
#include "rpc/request.h"

struct control;

/* Kinds in the store. */
#define RULE_DB_BAN "ban"
#define RULE_DB_OVERRIDE "limit"

/* Changes that are written one after another by one job. */
struct rule_batch;

/* r: the request that the batch belongs to (answered when there is no memory), NULL = the daemon's
 * own. done runs on the control thread with the first error; it answers r. NULL: out of memory. */
struct rule_batch *rule_batch_new(struct control *c, struct request *r,
                                  void (*done)(struct rule_batch *b, int err));
void rule_batch_free(struct rule_batch *b); /* of one that was not posted; NULL is fine */
/* Writes a rule. audit: NULL, or why the daemon made it: recorded too. */
int rule_batch_put(struct rule_batch *b, const char *kind, const struct rule *r,
                   const char *audit) NODISCARD;
int rule_batch_remove(struct rule_batch *b, const char *kind,
                      const struct limit_target *s) NODISCARD;
/* Starts it, in its turn; it frees itself after done. */
void rule_batch_post(struct rule_batch *b);
/* Of done: the request, and a row of objects for the answer (owned by the batch). */
struct request *rule_batch_request(const struct rule_batch *b);
struct control *rule_batch_control(const struct rule_batch *b);
/* Rules that were written; for done. */
void rule_batch_each(const struct rule_batch *b,
                     void (*fn)(void *arg, const char *kind, const struct limit_target *s,
                                uint64_t created_ms),
                     void *arg);

/* Writes a rule at once; blocking. */
int rule_db_put(struct control *c, const char *kind, const struct rule *r) NODISCARD;
/* Reads all; blocking. load gets each that can be read. What cannot is left, and logged. */
int rule_db_load(struct control *c,
                 void (*load)(void *arg, const char *kind, const struct rule_spec *spec),
                 void *arg) NODISCARD;
