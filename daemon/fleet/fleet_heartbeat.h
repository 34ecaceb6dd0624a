/* SPDX-License-Identifier: ISC */
/* The script of presence: this engine is there, who else is? */
#pragma once

#include "io/redis/redis.h"

/* An engine's entry outlives its last heartbeat by this, or by its lease. */
#define FLEET_ENTRY_MS 60000

/* Keys: nodes, the engine's entry, epoch, schema. Arguments: holder, node, lease (ms), lifetime of
 * the entry (ms), an epoch to begin with, the schema that is understood, prefix of entries; then
 * fields and values of the entry. Reply: clock, epoch ("" = may not take part: the schema is
 * newer), schema, then [holder, seen, field, value, ...] of each engine. */
extern struct redis_script fleet_heartbeat;
/* Before it is used. */
void fleet_heartbeat_init(void);
