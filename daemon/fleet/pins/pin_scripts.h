/* SPDX-License-Identifier: ISC */
/* What is done with pins in the store of a fleet, each in one atomic step. Times there are the
 * store's own. A pin is kept in one hash of its user, with these fields:
 *   p:POOL          backend, generation, time of the last change (ms) and source, by US (0x1f)
 *   h:HOLDER:POOL   sessions of an engine
 * A holder is an engine, "node#incarnation"; it is alive when its score in the set of nodes, the
 * time of its last beat, is younger than the lease. */
#pragma once

#include "io/redis/redis.h"

/* A login asks for its backend, and counts from then on.
 * keys: user, nodes. args: holder, pool, proposal, avoid ("" = none), most sessions of the user (0
 * = no limit), retention ms, ttl ms, lease ms, generation of the sessions that the holder has at
 * the proposal (0 = none), flags (c: the login counts already; f: the proposal is fixed, by an
 * operator or an auth server; s: strict). Returns status, backend, generation, sessions of the user
 * on all nodes, source. Status: "new", "kept", "moved"; "limit", "busy" (strict, and others are on
 * the one to avoid): nothing changed. */
extern struct redis_script pin_script_ask;
/* A login or session is over. keys: user. args: holder, pool, ttl ms, flags (v: the login came to
 * nothing, and had made the pin, which goes where nobody else is there). */
extern struct redis_script pin_script_leave;
/* An engine tells how many sessions it has, and where. keys: user. args: holder, pool, sessions,
 * backend, generation, source, ttl ms at least. Returns status, backend, generation: "held", "lost"
 * (another backend has a generation that is not older). */
extern struct redis_script pin_script_claim;
/* For operators. keys: user, nodes. args: pool, lease ms. Returns backend, generation, age of the
 * last change in ms, source (all empty where there is no pin), then holder and sessions of each
 * that is alive. */
extern struct redis_script pin_script_show;

/* Once, before other threads use them. */
void pin_scripts_init(void);
