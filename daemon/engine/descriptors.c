/* SPDX-License-Identifier: ISC */
/* How the descriptors of the process are shared out. */
#include "engine/descriptors.h"

#define DESCRIPTORS_BASE 64       /* standard streams, logs, the store's files, events of threads */
#define DESCRIPTORS_PER_WORKER 16 /* epoll, mailbox, name servers */

/* What the configuration lets be open beside sessions. */
static uint64_t descriptors_reserve(const struct config *c, size_t n_workers)
{
    uint64_t n = DESCRIPTORS_BASE + n_workers * DESCRIPTORS_PER_WORKER;
    for (size_t i = 0; i < c->n_controls; i++)
        n += c->controls[i].max_clients;
    for (size_t i = 0; i < c->n_auths; i++)
        n += n_workers * c->auths[i].connections;
    for (size_t i = 0; i < c->n_listeners; i++)
        n += c->listeners[i].address.n;
    /* Each backend may be checked in each protocol at once, and have connections that wait. */
    for (size_t i = 0; i < c->n_pools; i++)
        n += c->pools[i].n_backends * PROTO_COUNT * (1 + n_workers * c->pools[i].warm);
    return n;
}

uint64_t descriptors_sessions_max(uint64_t limit, const struct config *c, size_t n_workers)
{
    uint64_t reserve = descriptors_reserve(c, n_workers);
    if (reserve > limit / 2) /* a low limit is shared half and half */
        reserve = limit / 2;
    uint64_t sessions = (limit - reserve) / 2;
    return sessions > 0 ? sessions : 1;
}
