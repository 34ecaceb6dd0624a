/* SPDX-License-Identifier: ISC */
/* Limits: how many sessions and logins addresses and users have, which failures, and what follows
 * from it. Pure: no clock, no input or output. IPv6 addresses count by /64. Memory is bounded: what
 * has no sessions any more is forgotten in time, and the oldest of it when there is too much. */
#pragma once

#include "base/safe_iter.h"
#include "base/table.h"
#include "config/config.h"
#include "limits/guesses.h"
#include "limits/rules.h"

#define LIMITS_IDLE_MAX 65536     /* addresses without sessions that are remembered */
#define LIMITS_BANS_MAX 65536     /* bans for failures */
#define LIMITS_DELAY_MAX_MS 15000 /* longest grown delay */
#define LIMITS_NEWS_MS 60000      /* the log hears of the same trouble this often */

/* An address. Most have sessions and nothing else: what they did before is kept apart. */
struct limit_source {
    struct list link; /* of all */
    struct addr addr; /* as addr_limit_key makes it */
    uint32_t sessions, refused;
    struct limit_past *past; /* NULL = nothing that counts */
};

/* A user with sessions. */
struct limit_user {
    struct list link; /* of all */
    uint32_t sessions, refused;
    uint32_t own_max; /* what its entry allows, as far as its last login told; 0 = as configured */
    char name[];
};

struct limits {
    struct table sources_by_addr, users_by_name;
    struct list sources, users, walks;
    struct list idle; /* pasts of sources without sessions, oldest first */
    struct wheel wheel;
    size_t n_idle, max_idle;
    struct rules bans, overrides;
    struct guesses guesses;
    uint8_t key[16]; /* of the hashes of user names */
};

/* Why something is refused. */
enum limit_kind { LIMIT_NONE, LIMIT_BAN, LIMIT_ADDRESS_SESSIONS, LIMIT_USER_SESSIONS, LIMIT_RATE };

struct limit_verdict {
    enum limit_kind kind;
    bool is_counted;  /* a session was counted: it has to be given back */
    bool is_news;     /* has not happened for LIMITS_NEWS_MS */
    const char *text; /* words for the client, NULL = the default; until the next change */
};

/* max_idle: LIMITS_IDLE_MAX. */
void limits_init(struct limits *l, size_t max_idle, uint64_t now_ms);
void limits_fini(struct limits *l);
/* Some rule holds: also where the configuration sets no limit it has to be asked. */
bool limits_has_rules(const struct limits *l);

/* c is the configuration of this moment everywhere. */

/* A client connects; with is_forced it is counted without being judged. */
struct limit_verdict limits_connect(struct limits *l, const struct config_limits *c,
                                    const struct addr *a, bool is_forced,
                                    const struct rules_time *now);
/* A counted client is gone. */
void limits_disconnect(struct limits *l, const struct config_limits *c, const struct addr *a,
                       const struct rules_time *now);
/* A user wants to log in. own_max: sessions that its entry allows, 0 = as configured. */
struct limit_verdict limits_login(struct limits *l, const struct config_limits *c,
                                  const struct addr *a, const char *user, unsigned own_max,
                                  const struct rules_time *now);
/* Counts a login that nobody had to judge. -ERR_NOMEM: not counted. */
int limits_count_login(struct limits *l, const struct config_limits *c, const struct addr *a,
                       const char *user, const struct rules_time *now) NODISCARD;
void limits_logout(struct limits *l, const char *user);

struct limit_failure {
    uint64_t delay_ms;         /* before it is answered */
    struct rule *ban;          /* that holds now, NULL = none */
    bool is_new_ban;           /* this failure led to it */
    bool is_spraying;          /* because of the users that failed, not of the number of failures */
    uint32_t n;                /* of what led to it: failures or users */
    const struct guess *guess; /* this failure made the user one that is guessed at, else NULL */
};
/* Wrong credentials from an address. user: normalised, NULL = unknown. credentials: their keyed
 * hash, 0 = unknown; the same ones again are no further guess. delay_ms: what is configured. */
struct limit_failure limits_fail(struct limits *l, const struct config_limits *c,
                                 const struct addr *a, const char *user, uint32_t credentials,
                                 uint64_t delay_ms, const struct rules_time *now);
/* A user logged in. From an address that many people share (an office, webmail) some of them always
 * fail: as many failures as there are users who logged in do not count. */
void limits_welcome(struct limits *l, const struct addr *a, const char *user);
/* Forgets failures and logins of an address, or refusals of a user. False: nothing was known. */
bool limits_forget(struct limits *l, const struct config_limits *c, const struct limit_target *s,
                   const struct rules_time *now);
/* Frees what is over; now and then. */
void limits_expire(struct limits *l, const struct config_limits *c, const struct rules_time *now);

/* ---- looking ---- */

/* What is in force for a subject; 0 = no limit. */
uint64_t limits_max_sessions(const struct limits *l, const struct config_limits *c,
                             const struct addr *a);
uint64_t limits_max_user_sessions(const struct limits *l, const struct config_limits *c,
                                  const char *user, unsigned own_max);
uint64_t limits_login_rate(const struct limits *l, const struct config_limits *c,
                           const struct addr *a);
/* Failed logins before a ban; 0 = neither delays nor bans for them. */
uint64_t limits_max_failures(const struct limits *l, const struct config_limits *c,
                             const struct addr *a);
/* NULL when nothing is known of it. */
const struct limit_source *limits_source(const struct limits *l, const struct addr *a);
const struct limit_user *limits_user(const struct limits *l, const char *user);
/* Users that failed from there in limits.spray_window. */
uint32_t limit_source_users(const struct limit_source *s, const struct config_limits *c,
                            const struct rules_time *now);
/* Failures that count now; s may be NULL, as in what follows. */
uint32_t limit_source_failures(const struct limit_source *s, const struct config_limits *c,
                               const struct rules_time *now);
/* Logins that the rate counts now. */
uint32_t limit_source_logins(const struct limits *l, const struct limit_source *s,
                             const struct config_limits *c, const struct rules_time *now);
/* Delay of the next failure beyond the configured one. */
uint64_t limits_delay(const struct config_limits *c, uint32_t failures, uint64_t delay_ms);
