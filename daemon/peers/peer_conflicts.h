/* SPDX-License-Identifier: ISC */
/* Users of a fleet with sessions on two backends at an engine that finishes its sessions, listed by
 * the one that serves. All functions: control thread. */
#pragma once

#include "peers/peer_engine.h"

struct control;

/* Those of this engine, rows of fleet conflicts; most: of these. Owned; NULL without memory. */
json_t *peer_conflicts_own(const struct control *c, size_t most);
/* Those of the engines that finish, behind the rows. */
void peer_conflicts_add(const struct control *c, json_t *rows);
/* Tells the engine that replaced this one, when they are others than before. */
void peer_conflicts_send(const struct control *c, struct peer_engine *e);
/* Takes such a message in. -ERR_PROTOCOL. */
int peer_conflicts_take(struct peer_engine *e, const json_t *m) NODISCARD;
