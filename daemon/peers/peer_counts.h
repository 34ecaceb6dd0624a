/* SPDX-License-Identifier: ISC */
/* What an engine that finishes its sessions counts, added to the counts of the one that serves. All
 * functions: control thread. */
#pragma once

#include "peers/peer_engine.h"

struct engine_api;

#define PEER_COUNTS_MS 500

/* Tells the engine that replaced this one. */
void peer_counts_send(const struct engine_api *h, struct peer_engine *e);
/* Takes such a message in: sessions count as they are there, and all else as far as it happened
 * since the first message. -ERR_PROTOCOL, -ERR_NOMEM. */
int peer_counts_take(const struct engine_api *h, struct peer_engine *e, const json_t *m) NODISCARD;
/* The engine is gone: its sessions are not there any more, what it has counted stays. */
void peer_counts_drop(const struct engine_api *h, struct peer_engine *e);

/* Places on backends with a limit that an engine before this one may have: as many as there are,
 * until it has told. */
struct peer_claim;
/* NULL: there is no backend with a limit, or no memory. */
struct peer_claim *peer_counts_claim(const struct engine_api *h);
/* The claim is over: places that are free go to those who wait. NULL is fine. */
void peer_counts_unclaim(const struct engine_api *h, struct peer_claim *claim);
