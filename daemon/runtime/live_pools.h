/* SPDX-License-Identifier: ISC */
/* The pools that operators made, changed or took out: in force at once and kept in the store, a row
 * a pool. All functions: control thread, unless they say otherwise. */
#pragma once

#include "backend/pool_changes.h"
#include "rpc/work.h"

struct control;
struct engine_api;
struct store;

/* Read by anybody of the control thread, changed by live_pools_set alone. NULL = no changes. */
struct live_pools {
    struct backend_registry *registry; /* borrowed */
    struct pool_changes *now;          /* in force */
    struct pool_changes *stored;       /* what a restart brings back */
};

/* Takes up what the store has, into zeros. A row that cannot be read is logged and stays there.
 * Blocking. */
int live_pools_load(struct live_pools *p, const struct engine_api *host) NODISCARD;
void live_pools_fini(struct live_pools *p);
/* Puts changes in force that were built into pools: the next snapshots have them. */
void live_pools_set(struct live_pools *p, struct pool_changes *now, struct pool_changes *stored);
/* Writes the row of a pool; the row goes when the list does not have it. Thread: a job thread. */
int live_pools_store(struct store *store, const struct pool_changes *list,
                     const char *name) NODISCARD;
/* Ends the changes that the file has caught up with: the next change of the file is not hidden. */
void live_pools_absorb(struct control *c);
/* What is changed of a pool, for people: "balance, check.interval (until restart)"; "" = nothing.
 * Appends. */
int live_pools_describe(const struct live_pools *p, const char *name, struct buf *out) NODISCARD;
/* Rows of config diff. */
void live_pools_diff(const struct live_pools *p, struct config *file, json_t *rows);
