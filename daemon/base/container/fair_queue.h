/* SPDX-License-Identifier: ISC */
/* A bounded queue that is fair between sources: they take turns, and none fills it. Pure: no clock,
 * no lock. */
#pragma once

#include "base/container/list.h"
#include "base/container/table.h"

/* A source that fills the queue delays others by one item, whatever it queued before: the sources
 * are served round-robin, each in its own order. A source may hold as many places as are free (the
 * dynamic threshold of shared-memory switches): alone half of the queue, two of them a third each;
 * a new one always finds a place while there is a free one. */
struct fair_queue {
    struct table by_source;
    struct list turns; /* of the sources that have items, the next one first */
    size_t n, max;
};

struct fair_source;

/* Embedded in what waits. Zero-initialised it is in no queue. */
struct fair_item {
    struct list link;
    struct fair_source *source; /* NULL = in no queue */
};

/* The source whose items are bounded by the queue alone. */
#define FAIR_SOURCE_OWN 0

/* max: items at the same time, of all sources together. */
void fair_queue_init(struct fair_queue *q, size_t max);
/* Items are not touched: take them out before, each counts as queued otherwise. */
void fair_queue_fini(struct fair_queue *q);
/* Queues an item, borrowed. -ERR_BUSY: no place, or the source has its share; -ERR_NOMEM. */
int fair_queue_push(struct fair_queue *q, struct fair_item *item, uint64_t source) NODISCARD;
/* The next one, NULL when there is none. */
struct fair_item *fair_queue_pop(struct fair_queue *q);
/* Takes an item out before its turn. False: it is in no queue. */
bool fair_queue_remove(struct fair_queue *q, struct fair_item *item);
