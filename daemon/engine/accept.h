/* SPDX-License-Identifier: ISC */
/* Accepting clients on the control thread and handing them to the worker with the fewest sessions.
 */
#pragma once

#include "engine/listen.h"
#include "engine/worker.h"

struct acceptors;
struct admission;

/* What acceptors work with; borrowed. */
struct acceptors_spec {
    struct loop *loop;
    struct worker *const *workers;
    size_t n_workers;
    const struct admission *admission;
    struct counters *counters; /* of the clients that no worker gets */
};

/* Thread of everything here: control. */
int acceptors_new(const struct acceptors_spec *spec, struct acceptors **ret) NODISCARD;
/* Stops accepting and closes its sockets. NULL is fine. */
void acceptors_free(struct acceptors *a);
/* Takes over a listening socket for an address; it accepts from the next acceptors_configure on. */
int acceptors_add(struct acceptors *a, const char *address, int fd) NODISCARD;
/* The socket of an address, borrowed; -1 = none. */
int acceptors_find(const struct acceptors *a, const char *address);
/* Follows a snapshot (borrowed until the next call): sockets of addresses that it does not name are
 * closed, and told of by `closed`. */
void acceptors_configure(struct acceptors *a, struct snapshot *snapshot,
                         void (*closed)(void *arg, const char *address), void *arg);
/* Pauses or resumes a listener by name. -ERR_NO_LISTENER. */
int acceptors_pause(struct acceptors *a, const char *listener, bool is_paused) NODISCARD;
bool acceptors_is_paused(const struct acceptors *a, const char *listener);
/* New clients wait: there are no descriptors for them. */
bool acceptors_are_exhausted(const struct acceptors *a);
