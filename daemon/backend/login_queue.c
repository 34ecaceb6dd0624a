/* SPDX-License-Identifier: ISC */
/* The life of a queue of logins. */
#include "backend/login_queue.h"

#include <stdlib.h>

int login_queue_new(struct login_queue **ret)
{
    struct login_queue *q = calloc(1, sizeof(*q));
    if (!q || pthread_mutex_init(&q->lock, NULL) != 0) {
        free(q);
        return -ERR_NOMEM;
    }
    atomic_init(&q->refs, 1);
    list_init(&q->waiters);
    *ret = q;
    return 0;
}

struct login_queue *login_queue_ref(struct login_queue *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

void login_queue_unref(struct login_queue *q)
{
    if (!q || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&q->lock);
    free(q);
}
