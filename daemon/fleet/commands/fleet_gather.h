/* SPDX-License-Identifier: ISC */
/* A move of users on all nodes of a fleet: each node ends its sessions of a user and says so to the
 * one that was asked; when all have, that one lets all change the pin, else none. Thread of
 * everything: control. */
#pragma once

#include "fleet/commands/fleet_run.h"
#include "ops/move_op.h"

/* A move is asked of this node: with is its name, which all nodes know it by; nodes: the names of
 * those that have a part in it. -ERR_NOMEM. */
int fleet_gather_open(struct fleet_runs *f, const char *with, const struct peer *peer,
                      const json_t *nodes) NODISCARD;
/* This node takes part in a move. at: the inbox of the node that was asked; NULL: it is this one.
 * plan: of the move. ret: for move_op_new. -ERR_NOMEM; -ERR_NOT_FOUND: nobody asked for it. */
int fleet_gather_begin(struct fleet_runs *f, const char *with, const char *at,
                       const struct user_move_plan *plan, struct move_gather *ret) NODISCARD;
