/* SPDX-License-Identifier: ISC */
/* Places on backends (max_sessions): each login under way and each session has one, and gives it
 * back exactly once. Logins that find none wait, first come, first served, over all workers. */
#pragma once

#include "backend/pool.h"
#include "io/mailbox.h"

/* What a login that waits is sent: it has a place now. */
struct place_grant {
    struct mail mail;
    struct backend *backend; /* one reference; the place on it is the receiver's */
    uint64_t session;
};

/* One that waits; embed. All zero = does not wait. Only the functions below touch it. */
struct place_wait {
    struct list link;            /* of the queue */
    struct login_queue *queue;   /* one reference; NULL = does not wait */
    bool is_queued;              /* in the queue; false with a queue: the grant is on its way */
    const struct pool *pool;     /* whose members will do */
    const struct backend *fixed; /* only this one; NULL = any */
    struct pool_choice choice;   /* protocol and those tried */
    struct mailbox *mailbox;
    struct place_grant *grant;
};

/* pool_pick, and a place on what was picked. As there; -ERR_POOL_FULL also when the last place went
 * to somebody else meanwhile. Thread: any. */
int places_pick(const struct pool *p, const struct pool_choice *c,
                const struct pool_member **ret) NODISCARD;
/* Gives one back: it goes to who waits longest for it. Thread: any. */
void places_give(struct backend *b);
/* Drops a grant, as its mail's drop: the place is given back. */
void places_drop_grant(struct mail *m);

struct place_request {
    const struct pool *pool; /* lives while it waits */
    struct backend *fixed;   /* NULL = any member; lives while it waits */
    const struct pool_choice *choice;
    struct mailbox *mailbox;                          /* where the grant goes */
    void (*granted)(struct mail *grant, void *owner); /* gets a struct place_grant; owns it */
    uint64_t session;
};
/* Waits from now on, behind all others; harmless when it does already. The grant may come at once.
 * -ERR_NOMEM; -ERR_INVAL: nothing here can be full. */
int places_wait(struct place_wait *w, const struct place_request *r) NODISCARD;
/* The pool as it is in a newer snapshot, which lives as long as it waits: its place in the queue
 * stays. Harmless when it does not wait, or only for one backend. */
void places_follow(struct place_wait *w, const struct pool *p);
/* Waits no more; a grant that is on its way still arrives. Harmless when it does not wait. */
void places_leave(struct place_wait *w);
/* Is it in the queue? */
bool places_is_waiting(const struct place_wait *w);
/* Places of a pool that came free otherwise than by places_give (the limit was raised, sessions of
 * another engine ended, a backend is up again) go to those who wait. Thread: any. */
void places_serve(const struct pool *p);
/* Puts the limits of a snapshot in force and serves those who wait. Thread: control. */
void places_apply(const struct pools *pools);
/* How many wait for a place of this pool's backends. Thread: any. */
uint64_t places_waiting(const struct pool *p);
