/* SPDX-License-Identifier: ISC */
/* What is done with pins in the store of a fleet, each in one atomic step. Times there are the
 * store's own. A pin is kept in one hash of its user, with these fields:
 *   p:POOL          backend, generation, time of the last change (ms) and source, by US (0x1f);
 *                   then "u" while no login has succeeded there
 *   h:HOLDER:POOL   sessions of an engine
 * A holder is an engine, "node#incarnation"; lease.h says when it is alive. */
#pragma once

#include "io/redis/redis.h"

/* A login asks for its backend, and counts from then on.
 * keys: user, nodes, epoch. args: holder, pool, proposal, avoid ("" = none), most sessions of the
 * user (0 = no limit), retention ms, ttl ms, lease ms, generation of the sessions that the holder
 * has at the proposal (0 = none), flags (c: the login counts already; f: the proposal is fixed, by
 * an operator or an auth server; s: strict). Returns status, backend, generation, sessions of the
 * user on all nodes, source, epoch of the store's data ("" = it has none). Status: "new", "kept",
 * "moved"; "limit", "busy" (strict, and others are on the one to avoid): nothing changed. */
extern struct redis_script pin_script_ask;
/* A login or session is over. keys: user. args: holder, pool, ttl ms, flags (v: the login came to
 * nothing: so does a pin where none has succeeded and nobody is any more). */
extern struct redis_script pin_script_leave;
/* An engine tells how many sessions it has, and where. keys: user. args: holder, pool, sessions,
 * backend, generation, source, ttl ms at least. Returns status, backend, generation: "held", "lost"
 * (another backend has a generation that is not older). */
extern struct redis_script pin_script_claim;
/* For operators. keys: user, nodes. args: lease ms. Returns a text for each pin, "p", pool,
 * backend, generation, age of its last change in ms and source by US, and for each holder that is
 * alive, "h", pool, holder and sessions. */
extern struct redis_script pin_script_show;

/* Once, before other threads use them. */
void pin_scripts_init(void);
