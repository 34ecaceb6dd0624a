/* SPDX-License-Identifier: ISC */
/* The scripts of pins, in Lua 5.1 as Redis and Valkey run it. */
#include "fleet/pins/pin_scripts.h"

#include "fleet/pins/lease.h"

/* The store's clock in ms, the parts of a pin, and whether a holder is alive. */
#define LUA_NOW                                                                                    \
    "local t = redis.call('TIME')\n"                                                               \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
#define LUA_PIN                                                                                    \
    "local function read_pin(text)\n"                                                              \
    "  if not text then return nil end\n"                                                          \
    "  local backend, gen, touched, source, unproved =\n"                                          \
    "    text:match('^(.-)\\31(%d+)\\31(%d+)\\31([^\\31]*)(.*)$')\n"                               \
    "  return backend, tonumber(gen), tonumber(touched), source, unproved\n"                       \
    "end\n"                                                                                        \
    "local function pin_text(backend, gen, touched, source, unproved)\n"                           \
    "  return string.format('%s\\31%.0f\\31%.0f\\31%s%s', backend, gen, touched, source,\n"        \
    "                       unproved)\n"                                                           \
    "end\n"

struct redis_script pin_script_ask = {
    .text = LUA_NOW LUA_PIN LUA_LEASE
    "local user, nodes, epoch = KEYS[1], KEYS[2], redis.call('GET', KEYS[3]) or ''\n"
    "local holder, pool, proposal, avoid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"
    "local max, retention, ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]\n"
    "local since, known = alive_since(nodes, now, tonumber(ARGV[8])), tonumber(ARGV[9])\n"
    "local counted = ARGV[10]:find('c') and 1 or 0\n"
    "local fixed, strict = ARGV[10]:find('f'), ARGV[10]:find('s')\n"
    /* Sessions of who is alive; the others' counts go. The asking one lives. */
    "local all = redis.call('HGETALL', user)\n"
    "local total, others, is_alive, text = -counted, -counted, {[holder] = true}, nil\n"
    "for i = 1, #all, 2 do\n"
    "  local by, where = all[i]:match('^h:(.*):(.-)$')\n"
    "  if by and is_alive[by] == nil then\n"
    "    local heartbeat = redis.call('ZSCORE', nodes, by)\n"
    "    is_alive[by] = heartbeat and tonumber(heartbeat) > since or false\n"
    "  end\n"
    "  if by and is_alive[by] then\n"
    "    total = total + all[i + 1]\n"
    "    if where == pool then others = others + all[i + 1] end\n"
    "  elseif by then\n"
    "    redis.call('HDEL', user, all[i])\n"
    "  elseif all[i] == 'p:' .. pool then\n"
    "    text = all[i + 1]\n"
    "  end\n"
    "end\n"
    "local backend, gen, touched, source, unproved = read_pin(text)\n"
    "unproved = unproved or '\\31u'\n"
    "if max > 0 and counted == 0 and total >= max then\n"
    "  return {'limit', backend or '', gen or 0, total, source or '', epoch}\n"
    "end\n"
    "local status = 'kept'\n"
    "if fixed then\n"
    "  status = not backend and 'new' or backend ~= proposal and 'moved' or 'kept'\n"
    "elseif not backend or (others <= 0 and now - touched >= retention) then\n"
    "  status = 'new'\n"
    "elseif backend == avoid then\n"
    "  if strict and others > 0 then\n"
    "    return {'busy', backend, gen, total, source, epoch}\n"
    "  end\n"
    "  status = 'moved'\n"
    "elseif known > gen and backend ~= proposal then\n" /* the store has lost what was newer */
    "  status, gen = 'moved', known - 1\n"
    "end\n"
    "if status ~= 'kept' then\n"
    "  backend, gen, source = proposal, (gen or 0) + 1, fixed and 'fixed' or 'balance'\n"
    "elseif fixed then\n"
    "  source = 'fixed'\n"
    "end\n"
    "if known > gen and backend == proposal then gen = known end\n"
    "redis.call('HSET', user, 'p:' .. pool, pin_text(backend, gen, now, source, unproved))\n"
    "if counted == 0 then\n"
    "  redis.call('HINCRBY', user, 'h:' .. holder .. ':' .. pool, 1)\n"
    "end\n"
    "redis.call('PEXPIRE', user, ttl)\n"
    "return {status, backend, gen, total + 1, source, epoch}\n"};

struct redis_script pin_script_leave = {
    .text = LUA_NOW LUA_PIN
    "local user, holder, pool = KEYS[1], ARGV[1], ARGV[2]\n"
    "local mine, pin = 'h:' .. holder .. ':' .. pool, 'p:' .. pool\n"
    "local n = tonumber(redis.call('HGET', user, mine) or 0)\n"
    "if n > 1 then\n"
    "  redis.call('HINCRBY', user, mine, -1)\n"
    "else\n"
    "  redis.call('HDEL', user, mine)\n"
    "end\n"
    "local backend, gen, touched, source, unproved = read_pin(redis.call('HGET', user, pin))\n"
    "if not backend then return n end\n"
    "if not ARGV[4]:find('v') then\n"
    "  redis.call('HSET', user, pin, pin_text(backend, gen, now, source, ''))\n"
    "  redis.call('PEXPIRE', user, ARGV[3])\n"
    "elseif unproved ~= '' and redis.call('HLEN', user) == 1 then\n"
    "  redis.call('DEL', user)\n"
    "end\n"
    "return n\n"};

struct redis_script pin_script_claim = {
    .text = LUA_NOW LUA_PIN
    "local user, holder, pool, n = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])\n"
    "local mine, pin = 'h:' .. holder .. ':' .. pool, 'p:' .. pool\n"
    "local backend, gen, touched, source = read_pin(redis.call('HGET', user, pin))\n"
    "if n == 0 then\n"
    "  redis.call('HDEL', user, mine)\n"
    "  return {'held', backend or '', gen or 0}\n"
    "end\n"
    "redis.call('HSET', user, mine, n)\n"
    "local status, own, own_gen = 'held', ARGV[4], tonumber(ARGV[5])\n"
    "if not backend or own_gen > gen then\n"
    "  backend, gen, source = own, math.max(own_gen, 1), ARGV[6]\n"
    "elseif own ~= backend then\n"
    "  status = 'lost'\n"
    "end\n"
    "redis.call('HSET', user, pin, pin_text(backend, gen, now, source, ''))\n"
    "if redis.call('PTTL', user) < tonumber(ARGV[7]) then redis.call('PEXPIRE', user, ARGV[7]) "
    "end\n"
    "return {status, backend, gen}\n"};

struct redis_script pin_script_show = {
    .text = LUA_NOW LUA_PIN LUA_LEASE
    "local user, nodes = KEYS[1], KEYS[2]\n"
    "local since = alive_since(nodes, now, tonumber(ARGV[1]))\n"
    "local found, all = {}, redis.call('HGETALL', user)\n"
    "for i = 1, #all, 2 do\n"
    "  local by, where = all[i]:match('^h:(.*):(.-)$')\n"
    "  local pool = all[i]:match('^p:(.*)$')\n"
    "  local heartbeat = by and redis.call('ZSCORE', nodes, by)\n"
    "  if heartbeat and tonumber(heartbeat) > since then\n"
    "    found[#found + 1] = table.concat({'h', where, by, all[i + 1]}, '\\31')\n"
    "  elseif pool then\n"
    "    local backend, gen, touched, source = read_pin(all[i + 1])\n"
    "    if backend then\n"
    "      found[#found + 1] = string.format('p\\31%s\\31%s\\31%.0f\\31%.0f\\31%s',\n"
    "                                        pool, backend, gen, now - touched, source)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return found\n"};

void pin_scripts_init(void)
{
    redis_script_init(&pin_script_ask);
    redis_script_init(&pin_script_leave);
    redis_script_init(&pin_script_claim);
    redis_script_init(&pin_script_show);
}
