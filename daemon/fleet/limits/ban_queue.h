/* SPDX-License-Identifier: ISC */
/* What one node of a fleet has to tell of its bans for failures: those that were made and lifted,
 * in their order, and those in force that are told again. Bounded: of too many bans at once some
 * are left out, and told once the others have been. Pure. */
#pragma once

#include <jansson.h>

#include "base/container/safe_iter.h"
#include "limits/rules.h"

#define BAN_QUEUE_MAX 2000         /* bans that wait; more are told by a walk over all in force */
#define BAN_QUEUE_LIFTED_MAX 16384 /* with those that were lifted, which no walk finds */
#define BAN_QUEUE_LOOKED_AT 2000   /* bans in force that are looked at for one message */

struct ban_queue {
    json_t *rows; /* that wait */
    struct safe_iter walk;
    bool is_walking, is_left_out;
    uint64_t walk_since_ms, left_out_since_ms; /* of bans made then or later; Unix time */
    uint64_t left_out;                         /* how many were, so far */
};

/* -ERR_NOMEM. */
int ban_queue_init(struct ban_queue *q) NODISCARD;
void ban_queue_fini(struct ban_queue *q);
/* A ban was made, or lifted. */
void ban_queue_add(struct ban_queue *q, const struct rule *ban, bool is_lifted);
/* Rows that ban_queue_take gave could not be told: they are later. Those for which there is no room
 * are found by a walk, but for what was lifted. Borrowed. */
void ban_queue_return(struct ban_queue *q, const json_t *rows);
/* All of this node that are in force are told again. */
void ban_queue_again(struct ban_queue *q, struct rules *bans);
/* The next rows, most of them at most: [subject, beginning, end], or without an end of one that
 * was lifted. A new reference; none while ban_queue_has_more = it takes another call. NULL without
 * memory. */
json_t *ban_queue_take(struct ban_queue *q, struct rules *bans, size_t most);
bool ban_queue_has_more(const struct ban_queue *q);
