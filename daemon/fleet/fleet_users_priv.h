/* SPDX-License-Identifier: ISC */
/* Inside of the users of a fleet: the object, and what comes of a step (fleet_users_effects.c). */
#pragma once

#include "fleet/fleet_users.h"
#include "fleet/user_exchange.h"
#include "fleet/user_mark.h"
#include "io/loop.h"
#include "runtime/state.h"

#define USERS_EDITS_UNKNOWN UINT64_MAX
#define USERS_TIMEOUT_MS 5000

struct users_work;

struct fleet_users {
    struct control *control;
    struct fleet *fleet;
    struct fleet_watch watch;
    struct loop_timer tick;
    struct loop_deferred next; /* the step after one that is over */
    struct redis_call *call;
    struct users_work *sent;       /* users that were told, and not answered yet; owned */
    struct user_batch *forgetting; /* removals that the store is asked to forget; owned */
    struct user_exchange exchange;
    char *node, *key, *log, *seq;
    bool is_on;       /* changes of users are noted */
    bool is_busy;     /* a step is under way */
    bool is_reset;    /* all is to be compared */
    bool is_behind;   /* not all that the store has was heard since */
    bool has_doubted; /* users that the store did not confirm are to be told */
    bool is_judged;   /* whether this node was away for too long is known */
    enum user_lateness lateness;
    struct user_mark mark;        /* when it had all last */
    uint64_t heard;               /* the number of the last change that was heard of */
    char epoch[FLEET_EPOCH_SIZE]; /* of the data that it is of */
    uint64_t edits;               /* changes here of which all were told */
    uint64_t untold_ms;           /* since when there are others; 0 = there are none */
    uint64_t next_look_ms, next_push_ms, next_reset_ms, refused_ms, next_mark_ms, next_forget_ms;
    struct fleet_users_facts facts;
};

static inline uint64_t users_now(const struct fleet_users *u)
{
    return loop_now_ms(u->control->host->loop);
}

/* A step is over: the next one may begin in the next turn. */
void users_step_over(struct fleet_users *u);
/* It has failed: who was not told or heard is later. */
void users_step_failed(struct fleet_users *u);
/* What other nodes have changed is taken in: sessions look again, or end. */
void users_carry_out(struct fleet_users *u, struct user_effects *e);
/* The store has what no node has written: it is told, now and then, and all is compared. */
void users_refused(struct fleet_users *u);

/* ---- fleet_users_forget.c ---- */

/* Once, before the script is used. */
void users_forget_init(void);
/* A row of the node's store (store_runtime_each); arg: the struct user_mark that it may be. */
bool users_mark_load_row(void *arg, const char *kind, const char *name, const char *json,
                         uint64_t at_ms);
/* Was this node away for too long? number: of the last change that the store has. Before anything
 * is told. */
void users_judge(struct fleet_users *u, uint64_t number);
/* Steps of a node that has all: it notes that it does, and old removals are forgotten. */
void users_mark_begin(struct fleet_users *u);
void users_forget_begin(struct fleet_users *u);
