/* SPDX-License-Identifier: ISC */
/* Sessions counted by what they have in common. Not thread-safe. */
#pragma once

#include "base/container/map.h"
#include "session/admin/query.h"

/* Groups of one walk: sessions beyond them are counted as seen only. */
#define SESSION_GROUPS_MAX 250000

/* Zeroed is empty. */
struct session_groups {
    struct map by_key; /* struct session_group, owned; its key lies behind it */
};

/* Frees what it has. */
void session_groups_fini(struct session_groups *g);
/* The same and the object itself; NULL is fine. */
void session_groups_free(struct session_groups *g);
/* Adds all of another walk. -ERR_NOMEM. */
int session_groups_merge(struct session_groups *g, const struct session_groups *more) NODISCARD;
/* Adds to the group of this key what `more` has; key of more is not looked at. -ERR_NOMEM. */
int session_groups_add(struct session_groups *g, struct str key,
                       const struct session_group *more) NODISCARD;
/* The network of a session's address, /24 or /64 of IPv6, as text; "" where it has none. */
void session_group_net(char dst[ADDR_TEXT_MAX], const struct addr *ip);
