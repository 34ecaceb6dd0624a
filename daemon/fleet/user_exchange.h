/* SPDX-License-Identifier: ISC */
/* Users between the store of this node and that of the fleet: what is to be told, and what becomes
 * of what is heard. Blocking: job threads, one at a time, in their turn with all that changes
 * users. */
#pragma once

#include <jansson.h>

#include "base/container/map.h"
#include "fleet/pins/pins.h"
#include "fleet/seal.h"
#include "fleet/user_record.h"

#define USER_FIELD_SIZE (2 * PIN_HASH_BYTES + 1)
#define USER_EXPECTED_SIZE 24
#define USER_BATCH_MAX 256

/* Of one node. What is behind the first two lines changes between two steps only. */
struct user_exchange {
    struct store *store;            /* of this node; borrowed */
    const struct pins_shared *pins; /* who this engine is, and the hash of names; borrowed */
    const char *key, *node;         /* of the hash of users; this node's name; borrowed */
    struct seal seal;               /* its owner's */
    /* Who was removed before that moment (wall clock) is not sure to be remembered as such. */
    uint64_t removals_since_ms;
    /* This node was away for longer than they are remembered, and the fleet's store was not lost
     * meanwhile: whom it does not have, but had, was removed. */
    bool is_late;
};

/* What came of it here. */
struct user_effects {
    json_t *changed;   /* names that are different now */
    struct map locked; /* of these, those that were not locked before */
    json_t *events;    /* sentences: changes that were lost */
    size_t n_refused;  /* texts that are not from a node of this fleet, or of another user */
    size_t n_taken;    /* revisions that are known here now */
    size_t n_again;    /* users that are edited by it: the fleet is to be told */
    size_t n_gone;     /* users of this node whom the fleet has forgotten */
};
int user_effects_init(struct user_effects *e) NODISCARD;
void user_effects_fini(struct user_effects *e);

/* A user that the fleet is told of. */
struct user_push {
    char field[USER_FIELD_SIZE];
    char expected[USER_EXPECTED_SIZE]; /* the revision that is replaced, as the store has it */
    struct buf value;                  /* sealed, with the revision in front */
    struct user_record record;
    uint64_t edit;
    bool is_over;   /* nothing is to be sent any more */
    bool gives_way; /* only asked for: whatever the fleet has holds here, also nothing */
};
struct user_batch {
    struct user_push v[USER_BATCH_MAX];
    size_t n;
};
void user_batch_fini(struct user_batch *b);

/* Users of a state, STORE_EDITED or STORE_DOUBTED, at most max. One whose text no node would read
 * is over, and said to be left out. -ERR_x. */
int user_exchange_collect(const struct user_exchange *x, enum store_sync_state state, size_t max,
                          struct user_batch *ret, struct user_effects *e) NODISCARD;

/* What the fleet's store said of one. */
struct user_reply {
    bool is_taken;
    struct str now; /* what is there instead; "" = nothing */
};
/* Those that were taken are noted. Of the others some are over, as another node has changed them;
 * those that are not are to be sent once more, expecting what is there. */
int user_exchange_answered(const struct user_exchange *x, struct user_batch *b,
                           const struct user_reply *replies, struct user_effects *e) NODISCARD;

/* What the fleet's store has. */
struct user_heard {
    struct str field, value;
};
int user_exchange_take(const struct user_exchange *x, const struct user_heard *v, size_t n,
                       struct user_effects *e) NODISCARD;

/* Users that were removed before that moment (wall clock), at most max; expected is the revision
 * that says so. */
int user_exchange_removed(const struct user_exchange *x, uint64_t before_ms, size_t max,
                          struct user_batch *ret) NODISCARD;
/* Those that are over are forgotten here. */
int user_exchange_forget(const struct user_exchange *x, const struct user_batch *b) NODISCARD;
