/* SPDX-License-Identifier: ISC */
/* Orders for one engine, in their sequence: the supervisor never waits for an engine that does not
 * read. */
#pragma once

#include "engine/wire.h"
#include "supervisor/content.h"
#include "supervisor/takeover.h"

/* Sends a packet, or keeps it (with copies of the descriptors) for outbox_flush when the engine
 * does not read or the kernel lacks memory. 0 also for an engine whose end of the channel is
 * closed: it is ending. -ERR_LIMIT: it does not read; other -ERR_x. Then it cannot be told anything
 * any more. */
int outbox_send(struct engine_process *p, const struct wire_packet *packet, const int *fds,
                size_t n) NODISCARD;
/* Sends what waits, as far as the engine reads. */
int outbox_flush(struct engine_process *p) NODISCARD;
bool outbox_is_empty(const struct engine_process *p);
/* Does anything wait until the engine has read? Else only time helps. */
bool outbox_waits_for_room(const struct engine_process *p);
void outbox_free(struct outbox *o); /* NULL is fine */

/* A descriptor and what it is: number of a socket or log of the configuration. */
struct outbox_place {
    int fd;
    uint32_t index;
};
/* Sends descriptors in as many packets as they need. */
int outbox_send_places(struct engine_process *p, enum wire_order order,
                       const struct outbox_place *v, size_t n) NODISCARD;
