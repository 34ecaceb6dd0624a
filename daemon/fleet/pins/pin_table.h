/* SPDX-License-Identifier: ISC */
/* The pins of users that have sessions at this engine, or had some a while ago: what is told to the
 * store of the fleet, and what holds while that is away. Shared by all workers and the control
 * thread, in stripes with a lock each, held for a look-up. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/container/list.h"
#include "base/container/safe_iter.h"
#include "base/container/table.h"

#define PIN_STRIPES 16
#define PIN_IDLE_MAX 262144 /* pins without sessions that are remembered */
#define PIN_IDLE_MS (60 * 60 * UINT64_C(1000))
#define PIN_HASH_BYTES 16
#define PIN_NAME_SIZE 65 /* of a pool or backend, with NUL */

/* Where a pin comes from. */
enum pin_source { PIN_BALANCED, PIN_FIXED, PIN_SOURCE_COUNT };
/* "balance", "fixed"; static. */
const char *pin_source_name(enum pin_source s);
/* PIN_BALANCED for an unknown word. */
enum pin_source pin_source_find(struct str name);

/* The user as the store knows it (see pins_hash_user), and the pool. Borrowed. */
struct pin_key {
    uint8_t user[PIN_HASH_BYTES];
    const char *pool;
};

struct pin;

/* A backend that sessions of one pin are on. */
struct pin_backend {
    struct list link; /* of the pin's */
    struct pin *pin;
    uint32_t sessions;
    char name[];
};

/* One user in one pool. All fields but those that never change: under the stripe's lock. */
struct pin {
    struct list link;            /* of the stripe's: in use, or idle */
    struct list dirty;           /* likewise: the store may have another count */
    struct list misplaced_link;  /* likewise: has sessions elsewhere than at the pin's backend */
    struct list backends;        /* struct pin_backend */
    struct pin_backend *current; /* where new logins go; NULL: nobody has said yet */
    uint64_t gen;                /* generation of that; 0 = unknown */
    uint64_t idle_ms;            /* since when without sessions; monotonic */
    uint64_t misplaced_ms;       /* since when, wall clock */
    uint32_t asked;              /* logins whose backend is being asked for */
    uint32_t sessions;           /* on all backends */
    uint32_t misplaced;          /* of these, not on the current one */
    uint32_t under_way;          /* changes of the store's count without an answer, and claims */
    uint32_t changes;            /* that have begun */
    uint8_t stripe, source;      /* of the table: never changes; enum pin_source */
    bool is_proved;              /* a login here has succeeded: else it is not remembered */
    bool is_idle;                /* which list it is in */
    bool is_told, is_ended;      /* what was done about the misplaced ones */
    uint16_t pool_len;           /* of the key, never changes */
    uint16_t user_at;            /* in key: the user's name */
    char key[];                  /* hash and pool, NUL, the user's name, NUL; never changes */
};

struct pin_stripe {
    pthread_mutex_t lock;
    struct table by_key;
    struct list used, walks; /* with sessions, logins or changes under way */
    struct list idle;        /* the others, oldest first */
    struct list dirty, misplaced;
    size_t n_idle;
};

/* What happened since the start. */
enum pin_count {
    PIN_COUNT_ASKS,        /* questions to the store */
    PIN_COUNT_MOVED,       /* answers that made another backend the pin's */
    PIN_COUNT_FAILED_OPEN, /* logins that went on without an answer */
    PIN_COUNT_FAILED_SHUT, /* logins that were refused without one, or because others hold the pin
                            */
    PIN_COUNT_LIMITED,     /* logins over the user's sessions of all nodes */
    PIN_COUNT_CLAIMS,      /* users that were told to the store again */
    PIN_COUNT_CONFLICTS,   /* users that were found on two backends */
    PIN_COUNT_COUNT
};

struct pin_table {
    struct pin_stripe stripes[PIN_STRIPES];
    size_t n_stripes, max_idle; /* idle ones of a stripe */
    _Atomic uint64_t counts[PIN_COUNT_COUNT];
    _Atomic uint64_t n_pins, n_misplaced; /* now: with sessions; users on two backends */
};

/* n_stripes: PIN_STRIPES, or fewer in tests; max_idle: PIN_IDLE_MAX. */
void pin_table_init(struct pin_table *t, size_t n_stripes, size_t max_idle);
/* Frees all pins; nobody may hold one. */
void pin_table_fini(struct pin_table *t);
static inline void pin_table_count(struct pin_table *t, enum pin_count which)
{
    atomic_fetch_add_explicit(&t->counts[which], 1, memory_order_relaxed);
}

/* ---- logins and their ends: any thread ---- */

/* What is known here of a pin. */
struct pin_view {
    char backend[PIN_NAME_SIZE]; /* "" = unknown */
    uint64_t gen;
    uint32_t sessions;  /* at this engine, on all backends */
    uint32_t misplaced; /* of these, on another backend */
    uint32_t current;   /* of these, on this one */
    enum pin_source source;
};

/* A login asks for its backend: it counts from now on, until pin_settle or pin_give_up. The pin is
 * made when there is none; what is known of it into *ret. NULL without memory. */
struct pin *pin_begin(struct pin_table *t, const struct pin_key *k, const char *user,
                      uint64_t now_ms, struct pin_view *ret);
/* Its answer: the login is on this backend. gen: the generation of the answer; 0: nobody could be
 * asked, the pin stays as it is. With a generation that is older than what sessions here have, the
 * new one is the misplaced one. NULL without memory: it still has to give up. */
struct pin_backend *pin_settle(struct pin_table *t, struct pin *p, const char *backend,
                               uint64_t gen, enum pin_source source, uint64_t wall_ms);
/* It comes to nothing. */
void pin_give_up(struct pin_table *t, struct pin *p, uint64_t now_ms);
/* A session is over, or a login that was settled. is_void: it came to nothing. */
void pin_leave(struct pin_table *t, struct pin_backend *b, bool is_void, uint64_t now_ms);
/* A settled login asks again, as its backend cannot be used: as after pin_begin. */
struct pin *pin_again(struct pin_table *t, struct pin_backend *b, struct pin_view *ret);
/* False: nothing is known. */
bool pin_look(struct pin_table *t, const struct pin_key *k, struct pin_view *ret);

/* ---- the store's counts: any thread ---- */

/* A change of the store's count goes out; the pin lives until pin_changed. */
void pin_change(struct pin_table *t, struct pin *p);
/* It was answered; is_sure false: nobody knows whether it was made. */
void pin_changed(struct pin_table *t, struct pin *p, bool is_sure, uint64_t now_ms);

/* ---- claims: the control thread tells the store what is here ----
 *
 * A claim carries the whole count. It holds only when no change of the pin was under way from
 * before it was sent until its answer, as changes go by other connections: else it is made again.
 */

struct pin_claim {
    struct pin *pin;
    uint32_t changes; /* when it was made */
    uint32_t sessions;
    uint64_t gen;
    enum pin_source source;
    struct pin_key key;          /* pool: the pin's, until the claim is over */
    char backend[PIN_NAME_SIZE]; /* "" = unknown */
};

/* A walk over the pins with sessions. Zero-initialised: it has not begun. */
struct pin_walk {
    struct safe_iter it;
    size_t stripe;
    bool is_on;
};
void pin_walk_begin(struct pin_table *t, struct pin_walk *w);
void pin_walk_end(struct pin_table *t, struct pin_walk *w); /* harmless when none is on */
/* The next pin that is due: first those whose count in the store is in doubt, then (w on) the next
 * of the walk. Pins with a change under way wait. False: there is none now; the walk is over. */
bool pin_claim_next(struct pin_table *t, struct pin_walk *w, struct pin_claim *ret);
enum pin_claim_end {
    PIN_CLAIM_HELD,   /* the store has it so */
    PIN_CLAIM_LOST,   /* another backend has a newer generation: those here are misplaced */
    PIN_CLAIM_FAILED, /* no answer: it is due again */
};
/* The end of a claim. backend and gen: of PIN_CLAIM_LOST. */
void pin_claim_over(struct pin_table *t, const struct pin_claim *c, enum pin_claim_end end,
                    const char *backend, uint64_t gen, uint64_t now_ms, uint64_t wall_ms);

/* A user with sessions on two backends. */
struct pin_conflict {
    const char *user, *pool; /* until fn returns */
    const char *pinned;      /* where new logins go */
    const char *backend;     /* another one that has sessions */
    uint32_t sessions;       /* there */
    uint64_t gen, since_ms;  /* of the pin; wall clock */
};
/* Which of them. Those of the last two are marked, so that each is told and ended once; with more
 * misplaced sessions it may be ended again. */
enum pin_conflict_pick { PIN_CONFLICTS_ALL, PIN_CONFLICTS_UNTOLD, PIN_CONFLICTS_NOT_ENDED };
/* Calls fn for each, under a lock: it only copies. False: that was the last, for which no more room
 * would be. */
void pin_conflicts(struct pin_table *t, enum pin_conflict_pick pick,
                   bool (*fn)(void *arg, const struct pin_conflict *c), void *arg);
