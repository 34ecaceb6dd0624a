/* SPDX-License-Identifier: ISC */
/* When a node last had all users of its fleet. A removal is remembered, by the store of the fleet
 * and by each node, for USER_REMOVALS_KEPT_MS at least; a node that was away for about as long may
 * have missed one that nobody remembers any more. Pure. */
#pragma once

#include "base/str.h"
#include "fleet/fleet_nodes.h"

#define USER_DAY_MS (24 * 3600 * UINT64_C(1000))
#define USER_REMOVALS_KEPT_MS (30 * USER_DAY_MS)
#define USER_LATE_MS (28 * USER_DAY_MS) /* before the first removal may be forgotten */

struct user_mark {
    char epoch[FLEET_EPOCH_SIZE]; /* of the store's data; "" = never */
    uint64_t number;              /* of the last change of a user that the store knew then */
    uint64_t at_ms;               /* by the store's clock */
};

enum user_lateness {
    USER_IN_TIME,   /* every removal that the node has missed is remembered */
    USER_LATE,      /* whom the store does not have, but had, was removed */
    USER_LATE_OTHER /* and the store was lost meanwhile: nobody knows who was removed */
};

/* now: the store as it is. */
enum user_lateness user_mark_judge(const struct user_mark *last, const struct user_mark *now);
/* As JSON, owned; NULL without memory. */
char *user_mark_text(const struct user_mark *m);
/* -ERR_SYNTAX: it is none; *ret is as it was. */
int user_mark_read(const char *json, struct user_mark *ret) NODISCARD;
