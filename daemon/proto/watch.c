/* SPDX-License-Identifier: ISC */
/* The common part of the relay followers. */
#include "proto/watch.h"

static const char *const watch_phase_names[WATCH_PHASE_COUNT] = {
    [WATCH_BETWEEN] = "between", [WATCH_COMMAND] = "command", [WATCH_RESPONSE] = "response",
    [WATCH_DATA] = "data",       [WATCH_IDLE] = "idle",       [WATCH_OPAQUE] = "opaque",
};

const char *watch_phase_name(enum watch_phase p)
{
    return watch_phase_names[(unsigned)p < WATCH_PHASE_COUNT ? p : WATCH_OPAQUE];
}

bool watch_is_boundary(const struct watch *w)
{
    /* The followers say RESPONSE whenever a response is under way, whatever the client does
     * meanwhile. */
    return w->phase != WATCH_RESPONSE && w->phase < WATCH_OPAQUE;
}
