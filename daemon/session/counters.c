/* SPDX-License-Identifier: ISC */
/* Names and sums of the workers' counters. */
#include "session/counters.h"

#define COUNTER COUNTER_IS_COUNTER
#define GAUGE COUNTER_IS_GAUGE
static const struct {
    const char *name, *help;
    enum counter_type type;
} counter_rows[COUNTER_COUNT] = {
#define C(id, name, type, help) [COUNTER_##id] = {name, help, type},
#include "session/counters.def"
};

static const struct {
    const char *name, *help;
} histogram_rows[HISTOGRAM_COUNT] = {
#define H(id, name, help) [HISTOGRAM_##id] = {name, help},
#include "session/counters.def"
};

static const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {
    1000,   2500,   5000,    10000,   25000,   50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, UINT64_MAX};

uint64_t counter_total(const struct counters *c, enum counter which)
{
    uint64_t sum = 0;
    for (unsigned p = 0; p < PROTO_COUNT; p++)
        sum += counter_get(c, p, which);
    return sum;
}

const char *counter_name(enum counter which)
{
    return counter_rows[which].name;
}

const char *counter_help(enum counter which)
{
    return counter_rows[which].help;
}

enum counter_type counter_type(enum counter which)
{
    return counter_rows[which].type;
}

uint64_t histogram_bucket(const struct latency *l, unsigned bucket)
{
    uint64_t above = bucket > 0 ? histogram_bounds_us[bucket - 1] : 0, n = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        if (latency_bound_us(i) > above && latency_bound_us(i) <= histogram_bounds_us[bucket])
            n += atomic_load_explicit(&l->n[i], memory_order_relaxed);
    return n;
}

uint64_t histogram_bound_us(unsigned bucket)
{
    return histogram_bounds_us[bucket];
}

const char *histogram_name(enum histogram which)
{
    return histogram_rows[which].name;
}

const char *histogram_help(enum histogram which)
{
    return histogram_rows[which].help;
}
