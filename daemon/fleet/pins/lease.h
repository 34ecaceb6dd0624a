/* SPDX-License-Identifier: ISC */
/* Who is alive, for the scripts that ask the store of a fleet, in Lua 5.1.
 *
 * The set of nodes has the time of each engine's last heartbeat; an engine is alive while that is
 * younger than the lease, which is three heartbeats. The clock of leases stands when nobody has
 * said for half a lease that it lives: then the store was paused, or out of reach of all, and
 * nobody has died of that. The heartbeat that comes after such a gap moves the times of those who
 * were alive, so that the clock goes on from where it stood. */
#pragma once

/* Defines alive_since(nodes, now, lease): whose last heartbeat is later is alive. Times in ms. */
#define LUA_LEASE                                                                                  \
    "local function alive_since(nodes, now, lease)\n"                                              \
    "  local last = tonumber(redis.call('ZRANGE', nodes, -1, -1, 'WITHSCORES')[2])\n"              \
    "  return math.min(now, last and last + lease / 2 or now) - lease\n"                           \
    "end\n"

/* For a heartbeat, behind LUA_LEASE and before it is noted itself; nodes, now and lease are there
 * as above. */
#define LUA_LEASE_GAP                                                                              \
    "local since = alive_since(nodes, now, lease)\n"                                               \
    "local gap = now - lease - since\n"                                                            \
    "if gap > 0 then\n"                                                                            \
    "  local bound = string.format('(%.0f', since)\n"                                              \
    "  local were = redis.call('ZRANGEBYSCORE', nodes, bound, '+inf', 'WITHSCORES')\n"             \
    "  for i = 1, #were, 2 do\n"                                                                   \
    "    redis.call('ZADD', nodes, string.format('%.0f', were[i + 1] + gap), were[i])\n"           \
    "  end\n"                                                                                      \
    "end\n"
