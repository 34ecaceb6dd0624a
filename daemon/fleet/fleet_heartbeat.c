/* SPDX-License-Identifier: ISC */
/* Presence in the store, in Lua 5.1 as Redis and Valkey run it. One reply tells everything, so that
 * what is shown was so at one moment. */
#include "fleet/fleet_heartbeat.h"

#include "fleet/pins/lease.h"

/* Whoever is silent for an hour is forgotten; an engine of the same node that is silent has been
 * replaced by this one, and goes at once. */
struct redis_script fleet_heartbeat = {
    .text = LUA_LEASE
    "local nodes, entry, epoch, schema = KEYS[1], KEYS[2], KEYS[3], KEYS[4]\n"
    "local holder, node, lease, lifetime = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local function text(n) return string.format('%.0f', n) end\n"
    "redis.call('SET', schema, ARGV[6], 'NX')\n"
    "local spoken = redis.call('GET', schema)\n"
    "if tonumber(spoken) ~= nil and tonumber(spoken) > tonumber(ARGV[6]) then\n"
    "  return {text(now), '', spoken}\n"
    "end\n"
    "redis.call('SET', epoch, ARGV[5], 'NX')\n" LUA_LEASE_GAP
    "redis.call('ZADD', nodes, text(now), holder)\n"
    "redis.call('ZREMRANGEBYSCORE', nodes, '-inf', text(now - 3600000))\n"
    "redis.call('DEL', entry)\n"
    "redis.call('HSET', entry, unpack(ARGV, 8))\n"
    "redis.call('PEXPIRE', entry, lifetime)\n"
    "local reply = {text(now), redis.call('GET', epoch), spoken}\n"
    "local all = redis.call('ZRANGE', nodes, 0, -1, 'WITHSCORES')\n"
    "for i = 1, #all, 2 do\n"
    "  local silent = now - tonumber(all[i + 1]) > lease\n"
    "  if silent and all[i]:sub(1, #node + 1) == node .. '#' then\n"
    "    redis.call('ZREM', nodes, all[i])\n"
    "  else\n"
    "    local row = redis.call('HGETALL', ARGV[7] .. all[i])\n"
    "    table.insert(row, 1, all[i + 1])\n"
    "    table.insert(row, 1, all[i])\n"
    "    reply[#reply + 1] = row\n"
    "  end\n"
    "end\n"
    "return reply\n"};

void fleet_heartbeat_init(void)
{
    redis_script_init(&fleet_heartbeat);
}
