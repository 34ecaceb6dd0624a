/* SPDX-License-Identifier: ISC */
/* A mail host: its identity, state words and counters, shared by all threads; what operators drain,
 * hold and watch. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/latency.h"
#include "proto/back.h"

/* Health, found by checks and logins. */
enum backend_health { BACKEND_UNKNOWN, BACKEND_UP, BACKEND_DOWN, BACKEND_HEALTH_COUNT };
/* What the operator wants; independent of health. */
enum backend_admin {
    BACKEND_READY,
    BACKEND_DRAIN,
    BACKEND_DISABLED,
    BACKEND_HOLD,
    BACKEND_ADMIN_COUNT
};

struct login_queue;

#define BACKEND_REASON_MAX 128
#define BACKEND_CAPS_MAX 1024

/* The last time that a login or a check failed with one of its protocols. */
struct backend_failure {
    uint64_t wall_ms; /* 0 = never */
    enum back_failure failure;
    bool is_check;
    char step[24];  /* of the dialogue, see struct login_outcome */
    char text[128]; /* the server's or library's words, may be empty */
};

/* Reference-counted; outlives configs: a reload that keeps the name keeps the object with its state
 * and counters. Fields marked atomic are read by any thread. */
struct backend {
    atomic_uint refs;
    char *pool, *name; /* dynamic ones have pool "(dynamic)" and their address as name */
    _Atomic uint8_t health, admin;                    /* enums above */
    _Atomic uint64_t health_since_ms, admin_since_ms; /* wall clock */
    _Atomic uint64_t sessions;                        /* relayed now */
    _Atomic uint64_t elsewhere; /* relayed by engines that finish beside this one */
    _Atomic uint64_t places;    /* taken: logins under way and sessions, see places.h */
    _Atomic uint64_t elsewhere_places;
    _Atomic uint64_t max_sessions; /* most places of all engines; 0 = no limit */
    _Atomic uint64_t full_ms;  /* monotonic: the last place was taken, or none was found, last */
    uint64_t full_seen_ms;     /* of full_ms, by the control thread, which tells of it */
    bool is_full_told;         /* likewise */
    struct login_queue *queue; /* of its pool; NULL: it has no limit */
    _Atomic uint64_t logins, login_failures, connect_failures, in_bytes, out_bytes; /* totals */
    struct latency login_times, connect_times; /* of logins that succeeded */
    _Atomic uint64_t connect_timed_s;          /* monotonic: see backend_is_connect_due() */
    _Atomic uint32_t failures_in_row;
    _Atomic uint32_t failed_user;    /* of the last one, see struct backend_login */
    _Atomic uint64_t probe_after_ms; /* monotonic: while down, one login may try again after this */
    atomic_bool is_checked;          /* active checks run: they alone say when it is up again */
    _Atomic uint8_t pipelining;      /* bits of enum proto_id: see backend_is_pipelining() */
    _Atomic uint8_t down_protocols;  /* bits of enum proto_id that checks found down; health is down
                                        only when all of them are */
    _Atomic uint64_t up_since_ms;    /* monotonic: for slow start; 0 = long ago */
    _Atomic uint64_t last_check_ms,
        check_us;                          /* wall clock of the last check and how long it took */
    _Atomic uint64_t good_ms[PROTO_COUNT]; /* wall clock: a login of the protocol succeeded last */
    _Atomic int64_t cert_expires[PROTO_COUNT]; /* Unix seconds seen by the last check of each
                                                  protocol, 0 = none: backend_cert_expires() */
    struct backend_text *text; /* reasons and learned capabilities under their own lock:
                                  backend_reason(), backend_capabilities() */
};

/* Sessions of all engines. */
static inline uint64_t backend_sessions(const struct backend *b)
{
    return atomic_load_explicit(&b->sessions, memory_order_relaxed) +
           atomic_load_explicit(&b->elsewhere, memory_order_relaxed);
}
/* Places taken, of all engines. */
static inline uint64_t backend_places(const struct backend *b)
{
    return atomic_load(&b->places) +
           atomic_load_explicit(&b->elsewhere_places, memory_order_relaxed);
}
/* Does it take no more logins? */
static inline bool backend_is_full(const struct backend *b)
{
    uint64_t max = atomic_load_explicit(&b->max_sessions, memory_order_relaxed);
    return max > 0 && backend_places(b) >= max;
}
/* Would it be full with one place less? The limit was lowered. */
static inline bool backend_is_overfull(const struct backend *b)
{
    uint64_t max = atomic_load_explicit(&b->max_sessions, memory_order_relaxed);
    return max > 0 && backend_places(b) > max;
}
/* One place, unless it is full. Thread: any. */
bool backend_take_place(struct backend *b) NODISCARD;
/* For places.c, which knows who waits. */
void backend_give_place(struct backend *b);
/* "500 of 500"; appends. */
int backend_places_print(const struct backend *b, struct buf *out) NODISCARD;
/* "up", "drain"...; static. */
const char *backend_health_name(enum backend_health h);
const char *backend_admin_name(enum backend_admin a);
/* -ERR_INVAL for an unknown word. */
int backend_admin_find(const char *name, enum backend_admin *ret) NODISCARD;

/* One reference; ready, health unknown. Strings are copied. -ERR_NOMEM. */
int backend_new(const char *pool, const char *name, struct backend **ret) NODISCARD;
struct backend *backend_ref(struct backend *b);
void backend_unref(struct backend *b); /* NULL is fine */

/* Operator's word; reason may be NULL. Thread: control. */
void backend_set_admin(struct backend *b, enum backend_admin a, uint64_t wall_ms,
                       const char *reason);
/* Check's or login's finding; reason may be NULL. Returns true when the health changed. Thread:
 * any.
 */
bool backend_set_health(struct backend *b, enum backend_health h, uint64_t now_ms, uint64_t wall_ms,
                        const char *reason);
/* Why the health, or what single protocols are down, changed last; into dst, may be empty. */
void backend_reason(const struct backend *b, char dst[BACKEND_REASON_MAX]);
/* The operator's reason for the admin state; into dst, may be empty. */
void backend_admin_reason(const struct backend *b, char dst[BACKEND_REASON_MAX]);
/* Learned capabilities of a protocol, space or LF separated as the protocol's back.learned; what is
 * longer than BACKEND_CAPS_MAX is cut at a whole one. Thread: any. */
void backend_learn(struct backend *b, enum proto_id p, struct str caps);
/* Into dst, "" when nothing is known. Thread: any. */
void backend_capabilities(const struct backend *b, enum proto_id p, char dst[BACKEND_CAPS_MAX]);
/* Did its server announce to the last check of the protocol that it takes several commands at once?
 * Thread: any. */
static inline bool backend_is_pipelining(const struct backend *b, enum proto_id p)
{
    return atomic_load_explicit(&b->pipelining, memory_order_relaxed) & 1u << p;
}

/* End of the certificate that ends first, Unix seconds; 0 = none known. Thread: any. */
int64_t backend_cert_expires(const struct backend *b);

/* May new logins of a protocol go there at this moment: ready, and not known to be down? While it
 * is down and nothing checks it, true for one login at a time, which tries it. Thread: any. */
bool backend_is_usable(struct backend *b, enum proto_id p, uint64_t now_ms);
/* The same without taking the one try. */
bool backend_may_be_usable(const struct backend *b, enum proto_id p, uint64_t now_ms);
/* Which proxy of several checked it last; into dst, "" = nobody said so. */
#define BACKEND_BY_MAX 64
void backend_set_checked_by(struct backend *b, const char *name);
void backend_checked_by(const struct backend *b, char dst[BACKEND_BY_MAX]);
/* Active checks begin or end to judge its health. Thread: control. */
void backend_set_checked(struct backend *b, bool is_checked);
/* What checks found of single protocols while others work. Returns true when it changed. Thread:
 * control. */
bool backend_set_down_protocols(struct backend *b, unsigned bits, const char *reason);
/* Those protocols by name, "imap,pop3"; appends. Thread: any. */
int backend_down_print(const struct backend *b, struct buf *out) NODISCARD;
/* How a login ended. */
struct backend_login {
    enum back_failure failure;
    enum proto_id proto;
    const char *step; /* where it failed, static; may be NULL */
    uint32_t
        user; /* hash of the user, once the server had the credentials: a mailbox that its server
                 chokes on fails again and again, and says nothing of others'; 0 = not so far */
    unsigned fall;                 /* failures in a row that mean down */
    uint64_t connect_us, total_us; /* how long it took; connect_us 0: not timed */
    uint64_t now_ms, wall_ms;
    const char *message; /* may be NULL */
};
/* Shall the connect of this login be timed? Of many within a second only the first: the others save
 * what it costs to see a connect come about. Thread: any. */
bool backend_is_connect_due(struct backend *b, uint64_t now_ms);
/* Outcomes of logins: counters and passive health. Failures of one user in a row count once.
 * Returns true when the health changed. Thread: any. */
bool backend_note_login(struct backend *b, const struct backend_login *l);
/* A check of one protocol: what failed is kept, and one that succeeds forgets failures that it
 * would have met (of the network, of TLS, of a server that does not answer). Thread: any. */
void backend_note_check(struct backend *b, enum proto_id p, const struct backend_failure *f);
/* The failure of a protocol after which no login succeeded. False: there is none. Thread: any. */
bool backend_last_failure(const struct backend *b, enum proto_id p, struct backend_failure *ret);
/* "12s ago (login): tls: certificate not trusted"; appends. */
int backend_failure_print(const struct backend_failure *f, uint64_t wall_ms,
                          struct buf *out) NODISCARD;
