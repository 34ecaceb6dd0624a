/* SPDX-License-Identifier: ISC */
/* Counters of one worker: written by it alone, read by any thread. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "proto/proto.h"

enum counter {
#define C(id, name, type, help) COUNTER_##id,
#include "session/counters.def"
#undef C
    COUNTER_COUNT
};

enum counter_type { COUNTER_IS_COUNTER, COUNTER_IS_GAUGE };

struct counters {
    _Atomic uint64_t v[PROTO_COUNT][COUNTER_COUNT];
};

/* Adds (negative: subtracts). Only the owning thread writes, so no locked instruction is needed. */
static inline void counter_add(struct counters *c, enum proto_id p, enum counter which, int64_t n)
{
    uint64_t old = atomic_load_explicit(&c->v[p][which], memory_order_relaxed);
    atomic_store_explicit(&c->v[p][which], old + (uint64_t)n, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *c, enum proto_id p, enum counter which)
{
    return atomic_load_explicit(&c->v[p][which], memory_order_relaxed);
}

/* Sum over all protocols. */
uint64_t counter_total(const struct counters *c, enum counter which);
const char *counter_name(enum counter which);
const char *counter_help(enum counter which);
enum counter_type counter_type(enum counter which);
