/* SPDX-License-Identifier: ISC */
/* What an address did before, and for how long that counts: its logins of the last minute, its
 * failures, the users that failed and logged in there. Pure: the caller holds the lock of the
 * stripe (limits/limit_table.h); c is the configuration of this moment, now_ms monotonic. Where p
 * may be NULL, nothing has been noted. */
#pragma once

#include "config/config.h"
#include "limits/limit_table.h"

/* Logins that the rate counts, in 1/1000: each one drains away within a minute. p may be NULL;
 * rate: logins a minute, 0 = no limit. */
uint32_t limit_past_level(const struct limit_past *p, uint64_t rate, uint64_t now_ms);
/* One login more. level: what limit_past_level says now. */
void limit_past_add_login(struct limit_past *p, uint32_t level, uint64_t now_ms);

/* What came of a failure. */
struct limit_past_failure {
    uint32_t failures; /* that count now, as limit_past_failures says */
    uint32_t users;    /* that failed in limits.spray_window, at all nodes; 0 = not counted */
    bool is_spraying;  /* so many users that it leads to a ban */
};
/* One failure more. user: keyed hash of the name that failed, NULL = unknown. credentials: theirs,
 * 0 = unknown; the same ones again are no further guess. */
struct limit_past_failure limit_past_fail(struct limit_past *p, const struct config_limits *c,
                                          const uint32_t *user, uint32_t credentials,
                                          uint64_t now_ms);
/* Failures that count: those of limits.failure_window, which begins with the first, beyond those
 * that are to be expected of as many people. p may be NULL. */
uint32_t limit_past_failures(const struct limit_past *p, const struct config_limits *c,
                             uint64_t now_ms);
/* Users that failed in limits.spray_window at this node. p may be NULL. */
uint32_t limit_past_users(const struct limit_past *p, const struct config_limits *c,
                          uint64_t now_ms);
/* The failures so far led to something, or are over. */
void limit_past_clear_failures(struct limit_past *p);

/* When nothing of it will count any more; now or earlier = already so. rate: as above. */
uint64_t limit_past_keep_until(const struct limit_past *p, const struct config_limits *c,
                               uint64_t rate, uint64_t now_ms);

/* Its failures have led to a ban that the owner of the bans is making. p may be NULL. */
static inline bool limit_past_is_banned(const struct limit_past *p, uint64_t now_ms)
{
    return p && now_ms < p->ban_due_ms;
}
