/* SPDX-License-Identifier: ISC */
/* Pins of a worker: one backend for a user, whichever node of the fleet a client comes to. The
 * store says which; while it is away, what this engine knows. */
#pragma once

#include "fleet/pins/pin_table.h"
#include "io/loop.h"
#include "io/redis/redis.h"

#define PINS_HOLDER_SIZE 160
#define PINS_SECRET_BYTES 32

/* What all threads of an engine share; fixed for its life. */
struct pins_shared {
    struct pin_table table;
    char *prefix;                  /* of the store's keys: "mp:mail:" */
    char *nodes, *epoch;           /* keys: the set of nodes; the name of the store's data */
    char holder[PINS_HOLDER_SIZE]; /* this engine: "node#incarnation" */
    uint8_t secret[PINS_SECRET_BYTES];
    uint64_t lease_ms;            /* an engine that has said nothing for so long is gone */
    _Atomic uint64_t known_epoch; /* a hash of it; 0 = unknown */
    atomic_bool is_epoch_other;   /* a login was answered out of other data */
};
struct pins_shared_spec {
    const char *fleet, *holder; /* name of the fleet; this engine */
    const uint8_t *secret;      /* of PINS_SECRET_BYTES */
    uint64_t lease_ms;
};
/* Makes it, and readies the scripts: before the threads begin. -ERR_NOMEM, -ERR_TOO_LONG. */
int pins_shared_new(const struct pins_shared_spec *spec, struct pins_shared **ret) NODISCARD;
/* When no thread uses it any more. NULL is fine. */
void pins_shared_free(struct pins_shared *s);
/* Which data the store has, as the control thread knows it. Thread: any. */
void pins_set_epoch(struct pins_shared *s, const char *epoch);
/* An answer of the store came out of this data. Thread: any. */
void pins_note_epoch(struct pins_shared *s, struct str epoch);
/* Has a login been answered out of other data since this was asked last? Thread: any. */
bool pins_take_other_epoch(struct pins_shared *s);
/* A user as the store knows it: the start of HMAC-SHA256(secret, name in lower case), so that the
 * store is no list of addresses. Thread: any. */
void pins_hash_user(const struct pins_shared *s, const char *user, uint8_t ret[PIN_HASH_BYTES]);
#define PINS_KEY_SIZE 160
/* The store's key of a user. */
void pins_user_key(const struct pins_shared *s, const uint8_t user[PIN_HASH_BYTES],
                   char ret[PINS_KEY_SIZE]);

struct pins; /* of one worker; its thread */
struct pins_call;

/* Without a store at first. shared: borrowed. -ERR_NOMEM. */
int pins_new(struct loop *l, struct pins_shared *shared, struct pins **ret) NODISCARD;
/* Nobody may ask or be in it any more; NULL is fine. */
void pins_free(struct pins *p);
/* Asks this client from now on (taken over; NULL = none). What was asked of the one before goes on
 * without an answer, in a turn of its own. */
void pins_set_redis(struct pins *p, struct redis_client *redis);
/* How long a pin lasts after the user's last session. */
void pins_set_retention(struct pins *p, uint64_t retention_ms);

struct pins_request {
    const char *user, *pool;
    const char *proposal;  /* backend that the login would take */
    const char *avoid;     /* what the store said before, and cannot be used; NULL */
    unsigned max_sessions; /* of the user on all nodes; 0 = no limit */
    uint64_t timeout_ms;   /* 0: it is not asked any more */
    bool is_fixed;         /* an operator or an auth server named the proposal: it holds */
    bool is_strict;        /* rather no login than one on a second backend */
    struct pin_backend
        *held; /* what an earlier answer for this login gave, NULL = none; consumed */
};

enum pins_verdict {
    PINS_HERE,        /* the login belongs on `backend` */
    PINS_LIMIT,       /* the user has too many sessions already */
    PINS_UNAVAILABLE, /* strict: nobody could be asked, or others are on the backend to avoid */
};

/* Valid during the callback. */
struct pins_answer {
    enum pins_verdict verdict;
    const char *backend;      /* of PINS_HERE */
    struct pin_backend *held; /* likewise: the login counts there until pins_leave */
    bool is_open;             /* nobody could be asked */
    const char *why;          /* for operators: what failed; NULL */
};
typedef void pins_fn(void *arg, const struct pins_answer *a);

/* Asks for a login. The call, whose fn runs once in a later turn, within timeout_ms; or NULL when
 * the answer is there already: then it is in *ret, backend of it until the next call of pins. */
struct pins_call *pins_ask(struct pins *p, const struct pins_request *q, pins_fn *fn, void *arg,
                           struct pins_answer *ret) NODISCARD;
/* fn will not run; the login came to nothing. NULL is fine. */
void pins_cancel(struct pins_call *c);
/* A login that was answered is over, or its session. is_void: it came to nothing, so that a pin
 * goes, too, where none has succeeded and nobody is any more: who only tries passwords leaves
 * nothing in the store. NULL is fine. */
void pins_leave(struct pins *p, struct pin_backend *held, bool is_void);
