/* SPDX-License-Identifier: ISC */
/* A table of bans or overrides, found by address, network or user, each with an end. Pure: no
 * clock, no input or output. One thread, the owner, changes it and looks at its rules as it likes;
 * every thread may ask what holds. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/container/list.h"
#include "base/container/map.h"
#include "base/container/safe_iter.h"
#include "base/container/wheel.h"
#include "limits/limit_target.h"
#include "proto/reply.h"

/* The two clocks at one moment. */
struct rules_time {
    uint64_t ms;      /* monotonic */
    uint64_t wall_ms; /* Unix time: ends are kept in it, so that they survive restarts */
};

#define RULE_KEEP UINT64_MAX /* an override that leaves this limit as configured */

struct rule {
    struct list link; /* of all, in order of their making */
    struct wheel_timer timer;
    enum limit_target_kind kind;
    bool is_automatic;             /* made by the daemon, not by an operator */
    bool is_stored;                /* for the owner of the table */
    struct addr_net net;           /* of addresses and networks */
    char *user;                    /* of users; owned */
    uint64_t created_ms, until_ms; /* Unix time; until 0 = for ever */
    char *text;                    /* words for the client; owned, may be NULL */
    char *by; /* operator; of an automatic one the node of a fleet, NULL = this one; owned */
    _Atomic uint64_t hits, hit_ms;           /* refused by it; the last time, monotonic */
    uint64_t sessions, login_rate, failures; /* of an override; RULE_KEEP */
};

/* Why a rule is no more. */
enum rule_end { RULE_EXPIRED, RULE_EVICTED };

struct rules {
    struct map by_key;
    struct list all, walks;
    struct wheel wheel;
    size_t n_bits[129];                 /* rules for networks of each length */
    _Atomic size_t n_networks, n_users; /* without any, nobody waits for the lock */
    size_t n_automatic, max_automatic;
    pthread_rwlock_t lock; /* of all above, for those who do not own it */
    /* Before a rule that expired or was evicted is freed. May be NULL. */
    void (*gone)(void *arg, const struct rule *r, enum rule_end why);
    void *arg;
};

/* ---- any thread ---- */

/* What a ban says to somebody whom it refuses. */
struct rule_hit {
    bool is_news;                  /* it has refused nobody for RULE_NEWS_MS */
    char text[REPLY_TEXT_MAX + 1]; /* "" = none of its own */
};
#define RULE_NEWS_MS 60000 /* the log hears of the same trouble this often */

/* Is a user (NULL or "" = none) or an address banned? Counts it. */
bool rules_hit(struct rules *r, const struct addr *a, const char *user, uint64_t now_ms,
               struct rule_hit *ret);

/* What an override says; RULE_KEEP where it, or no override, says nothing. */
struct rule_values {
    uint64_t sessions, login_rate, failures;
};
struct rule_values rules_values_of_addr(struct rules *r, const struct addr *a);
struct rule_values rules_values_of_user(struct rules *r, const char *user);
/* Has the last refusal for this been told of RULE_NEWS_MS ago? Then it is now. */
bool rule_is_news(_Atomic uint64_t *last_ms, uint64_t now_ms);

/* ---- the owner's thread ---- */

/* max_automatic: of the rules the daemon makes, the oldest make room. */
void rules_init(struct rules *r, size_t max_automatic, uint64_t now_ms);
void rules_fini(struct rules *r);
size_t rules_count(const struct rules *r);

/* What a new rule is to say; strings are borrowed. */
struct rule_spec {
    struct limit_target subject;
    bool is_automatic;
    uint64_t created_ms, until_ms;
    const char *text, *by;
    uint64_t sessions, login_rate, failures;
};
/* Makes a rule, in place of an older one for the same subject. -ERR_NOMEM: the older one stays. */
int rules_put(struct rules *r, const struct rule_spec *spec, const struct rules_time *now,
              struct rule **ret) NODISCARD;
/* The rule of exactly this subject, or NULL. */
struct rule *rules_find(const struct rules *r, const struct limit_target *s);
/* The narrowest one that holds for an address, or NULL. */
struct rule *rules_match_addr(const struct rules *r, const struct addr *a);
struct rule *rules_match_user(const struct rules *r, const char *user);
/* gone is not called. */
void rules_remove(struct rules *r, struct rule *rule);
/* Frees what is over. */
void rules_expire(struct rules *r, const struct rules_time *now);
void rule_subject(const struct rule *r, struct limit_target *ret);
