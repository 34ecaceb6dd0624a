/* SPDX-License-Identifier: ISC */
/* How the descriptors of the process are shared out. */
#include "engine/descriptors.h"

#include <inttypes.h>

#include "base/os/process.h"
#include "base/str.h"
#include "engine/metrics.h"
#include "rpc/server.h"

#define DESCRIPTORS_BASE 64       /* standard streams, logs, the store's files, events of threads */
#define DESCRIPTORS_PER_WORKER 16 /* epoll, mailbox, name servers */

/* What is open in any case, a few health checks and edits of the store included, and operators. */
#define DESCRIPTORS_LEAST 32
#define DESCRIPTORS_LEAST_PER_WORKER 8
#define DESCRIPTORS_OPERATORS 8
#define DESCRIPTORS_SESSIONS_LEAST 8 /* with fewer there is no sense in starting */

/* Sockets that listen, and the clients of the metrics page. */
static uint64_t descriptors_listening(const struct config *c)
{
    uint64_t n = c->metrics.address ? 1 + METRICS_CLIENTS_MAX : 0;
    for (size_t i = 0; i < c->n_listeners; i++)
        n += c->listeners[i].address.n;
    return n;
}

/* What the configuration lets be open beside sessions. */
static uint64_t descriptors_reserve(const struct config *c, size_t n_workers)
{
    uint64_t n = DESCRIPTORS_BASE + n_workers * DESCRIPTORS_PER_WORKER + descriptors_listening(c);
    for (size_t i = 0; i < c->n_controls; i++)
        n += c->controls[i].max_clients;
    for (size_t i = 0; i < c->n_auths; i++)
        n += n_workers * c->auths[i].connections;
    /* Each backend may be checked in each protocol at once, and have connections that wait. */
    for (size_t i = 0; i < c->n_pools; i++)
        n += c->pools[i].n_backends * PROTO_COUNT * (1 + n_workers * c->pools[i].warm);
    return n;
}

/* What sessions may never have, without what is spared from operators. */
static uint64_t descriptors_least(const struct config *c, size_t n_workers)
{
    return DESCRIPTORS_LEAST + n_workers * DESCRIPTORS_LEAST_PER_WORKER + descriptors_listening(c) +
           c->n_controls + c->n_logs + DESCRIPTORS_OPERATORS;
}

uint64_t descriptors_sessions_max(uint64_t limit, const struct config *c, size_t n_workers)
{
    uint64_t reserve = descriptors_reserve(c, n_workers);
    uint64_t least = descriptors_least(c, n_workers) + server_spare_fds(limit);
    if (reserve > limit / 2) /* a low limit is shared half and half, a very low one is not */
        reserve = limit / 2;
    if (reserve < least)
        reserve = least;
    uint64_t sessions = reserve < limit ? (limit - reserve) / 2 : 0;
    return sessions > 0 ? sessions : 1;
}

uint64_t descriptors_needed(const struct config *c, size_t n_workers)
{
    uint64_t least = descriptors_least(c, n_workers) + 2 * DESCRIPTORS_SESSIONS_LEAST;
    uint64_t limit = least;
    while (limit < least + server_spare_fds(limit))
        limit = least + server_spare_fds(limit);
    return limit;
}

int descriptors_check(const struct config *c, size_t n_workers, char **ret_error)
{
    uint64_t limit = process_max_fds(), needed = descriptors_needed(c, n_workers);
    if (limit >= needed)
        return 0;
    *ret_error = str_printf("%" PRIu64 " file descriptors are too few: this configuration needs "
                            "%" PRIu64 ", and two more for each session beyond %d (LimitNOFILE "
                            "of the unit, ulimit -Hn)",
                            limit, needed, DESCRIPTORS_SESSIONS_LEAST);
    return -ERR_SHORTAGE;
}
