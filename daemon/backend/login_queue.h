/* SPDX-License-Identifier: ISC */
/* Logins that wait for a place on a backend of one pool, in the order of their arrival. Who may
 * have which place is places.h's. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/container/list.h"
#include "base/err.h"

/* Reference-counted: the backends of a pool share it. */
struct login_queue {
    atomic_uint refs;
    pthread_mutex_t lock; /* of the list and what is in it */
    struct list waiters;  /* struct place_wait, oldest first */
    _Atomic uint64_t n;   /* how many wait: read without the lock */
};

/* One reference. -ERR_NOMEM. */
int login_queue_new(struct login_queue **ret) NODISCARD;
struct login_queue *login_queue_ref(struct login_queue *q);
void login_queue_unref(struct login_queue *q); /* NULL is fine; nobody may wait any more */
