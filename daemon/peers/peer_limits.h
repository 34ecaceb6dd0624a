/* SPDX-License-Identifier: ISC */
/* Sessions of an engine that finishes count against the limits of addresses and users in the one
 * that serves. All functions: control thread. */
#pragma once

#include "peers/peer_engine.h"

struct limit_service;

/* Tells the engine that replaced this one what has changed; nothing when nothing has. */
void peer_limits_send(struct limit_service *l, struct peer_engine *e);
/* Takes such a message in. -ERR_PROTOCOL, -ERR_NOMEM. */
int peer_limits_take(struct limit_service *l, struct peer_engine *e, const json_t *m) NODISCARD;
/* The connection is gone, or the engine: nothing of it counts. */
void peer_limits_drop(struct limit_service *l, struct peer_engine *e);
