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
#undef C
};

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
