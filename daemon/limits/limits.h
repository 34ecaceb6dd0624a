/* SPDX-License-Identifier: ISC */
/* Limits: how many sessions and logins addresses and users have, which failures, and what follows
 * from it. Pure: no clock, no input or output. IPv6 addresses count by /64. Memory is bounded: what
 * has no sessions any more is forgotten in time, and the oldest of it when there is too much.
 *
 * Any thread judges and counts, with locks that are held for some hundred instructions; of two
 * workers at a limit at once one gets what is left. Bans and overrides are changed by one thread,
 * their owner. Locks are taken in this order: users, sources, rules; guesses alone. */
#pragma once

#include "config/config.h"
#include "limits/guesses.h"
#include "limits/limit_table.h"
#include "limits/rules.h"

#define LIMITS_STRIPES 16
#define LIMITS_IDLE_MAX 65536     /* addresses without sessions that are remembered */
#define LIMITS_BANS_MAX 65536     /* bans for failures */
#define LIMITS_DELAY_MAX_MS 15000 /* longest grown delay */
#define LIMITS_BAN_DUE_MS 5000    /* a ban that fell due is made by its owner in this time */

struct limits {
    struct limit_sources sources[LIMITS_STRIPES];
    struct limit_users users[LIMITS_STRIPES];
    size_t n_stripes;
    struct rules bans, overrides;
    pthread_mutex_t guesses_lock;
    struct guesses guesses;
    uint8_t share_key[16]; /* of the hashes of users that are counted */
    /* Of a fleet: who is near a limit is noted for the others, see limit_elsewhere.h. */
    _Atomic unsigned n_nodes, n_nodes_users;
};

/* Why something is refused. */
enum limit_kind { LIMIT_NONE, LIMIT_BAN, LIMIT_ADDRESS_SESSIONS, LIMIT_USER_SESSIONS, LIMIT_RATE };

struct limit_verdict {
    enum limit_kind kind;
    bool is_counted;               /* a session was counted: it has to be given back */
    bool is_news;                  /* has not happened for RULE_NEWS_MS */
    char text[REPLY_TEXT_MAX + 1]; /* words for the client, "" = the default */
};

/* n_stripes: LIMITS_STRIPES, or fewer in tests. max_idle: LIMITS_IDLE_MAX. */
void limits_init(struct limits *l, size_t n_stripes, size_t max_idle, uint64_t now_ms);
void limits_fini(struct limits *l);
/* Nodes of a fleet have the same key for the hashes of users that failed and of addresses, so that
 * one that is known to several counts once. Before any other thread is there. */
void limits_set_share_key(struct limits *l, const uint8_t key[16]);

/* ---- any thread; c is the configuration of this moment everywhere, now_ms monotonic ---- */

/* A client connects. Peers without an address (UNIX sockets) are not counted. */
void limits_connect(struct limits *l, const struct config_limits *c, const struct addr *a,
                    uint64_t now_ms, struct limit_verdict *ret);
/* A counted client is gone. */
void limits_disconnect(struct limits *l, const struct config_limits *c, const struct addr *a,
                       uint64_t now_ms);
/* A user (NULL or "" = nobody in particular, not counted) wants to log in. own_max: sessions that
 * its entry allows, 0 = as configured. */
void limits_login(struct limits *l, const struct config_limits *c, const struct addr *a,
                  const char *user, unsigned own_max, uint64_t now_ms, struct limit_verdict *ret);
/* A counted login is over, or came to nothing. */
void limits_logout(struct limits *l, const char *user);

/* Sessions that another engine has: so many more (or fewer) of an address, of a user. */
void limits_shift_source(struct limits *l, const struct config_limits *c, const struct addr *a,
                         int64_t by, uint64_t now_ms);
void limits_shift_user(struct limits *l, const char *user, int64_t by);

struct limit_failure {
    uint64_t delay_ms;  /* before it is answered */
    bool is_banned;     /* nothing but last words, text, follows the answer */
    bool is_ban_due;    /* this failure led to it: the owner has to make it, see limits_ban */
    bool is_spraying;   /* because of the users that failed, not of the number of failures */
    bool is_guessed_at; /* this failure made the user one that is guessed at */
    uint32_t n;         /* of what led to a ban: failures or users */
    uint32_t n_passwords, n_addresses; /* wrong ones of a user that is guessed at, and from where */
    char text[REPLY_TEXT_MAX + 1];
};
/* Wrong credentials from an address. user: normalised, NULL = unknown. credentials: their keyed
 * hash, 0 = unknown; the same ones again are no further guess. delay_ms: what is configured. */
void limits_fail(struct limits *l, const struct config_limits *c, const struct addr *a,
                 const char *user, uint32_t credentials, uint64_t delay_ms, uint64_t now_ms,
                 struct limit_failure *ret);
/* A user logged in. From an address that many people share (an office, webmail) some of them always
 * fail: as many failures as there are users who logged in do not count. */
void limits_welcome(struct limits *l, const struct addr *a, const char *user);
/* Forgets failures and logins of an address, or refusals of a user. False: nothing was known. */
bool limits_forget(struct limits *l, const struct config_limits *c, const struct limit_target *s,
                   uint64_t now_ms);

/* What is in force for a subject; 0 = no limit. */
uint64_t limits_max_sessions(struct limits *l, const struct config_limits *c, const struct addr *a);
uint64_t limits_max_user_sessions(struct limits *l, const struct config_limits *c, const char *user,
                                  unsigned own_max);
uint64_t limits_login_rate(struct limits *l, const struct config_limits *c, const struct addr *a);
/* Failed logins before a ban; 0 = neither delays nor bans for them. */
uint64_t limits_max_failures(struct limits *l, const struct config_limits *c, const struct addr *a);
/* Delay of the next failure beyond the configured one. */
uint64_t limits_delay(const struct config_limits *c, uint32_t failures, uint64_t delay_ms);

/* What is known of an address, as it counts now; zeros where nothing is. */
struct limit_source_facts {
    bool is_known;
    uint32_t sessions, refused;
    uint32_t logins;   /* that the rate counts */
    uint32_t failures; /* of limits.failure_window */
    uint32_t users;    /* that failed from there in limits.spray_window, at all nodes of a fleet */
    uint32_t sessions_elsewhere, failures_elsewhere; /* at other nodes of a fleet */
};
struct limit_source_facts limits_look_source(struct limits *l, const struct config_limits *c,
                                             const struct addr *a, uint64_t now_ms);
/* The same of a user. */
struct limit_user_facts {
    bool is_known; /* has sessions */
    uint32_t sessions, refused, own_max;
    uint32_t n_passwords, n_addresses; /* wrong ones, and from where, at all nodes; 0 = none */
    uint32_t sessions_elsewhere;       /* at other nodes of a fleet */
};
struct limit_user_facts limits_look_user(struct limits *l, const char *user);

struct limits_count {
    size_t sources, users, guesses;
};
/* How much is known now. Any thread; takes one lock after the other. */
struct limits_count limits_count(struct limits *l);

/* ---- the owner's thread ---- */

/* Makes a ban for failures that fell due. False: there is one already, or no memory. */
bool limits_ban(struct limits *l, const struct config_limits *c, const struct addr *a,
                const struct rules_time *now, struct rule **ret);
/* A ban for failures that another node of a fleet made. */
struct limit_ban {
    struct limit_target subject; /* an address, of IPv6 a /64 */
    const char *node;            /* its name; borrowed */
    uint64_t created_ms, until_ms;
};
/* Makes it here, with the same end. -ERR_EXISTS: one holds as long, or it is over; -ERR_PERM: this
 * node bans nobody there for failures (trusted networks, overrides, its configuration);
 * -ERR_INVAL: it is no single address; -ERR_NOMEM. */
int limits_take_ban(struct limits *l, const struct config_limits *c, const struct limit_ban *b,
                    const struct rules_time *now, struct rule **ret) NODISCARD;
/* Another node has lifted a ban that began at created_ms: is this (NULL = none) the same, or an
 * older one? */
bool limits_is_lifted(const struct rule *r, uint64_t created_ms);
/* Frees what is over; now and then. */
void limits_expire(struct limits *l, const struct config_limits *c, const struct rules_time *now);
