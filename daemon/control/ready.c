/* SPDX-License-Identifier: ISC */
/* Whether this daemon takes new clients. */
#include "control/control.h"

#include "fleet/fleet.h"
#include "runtime/state.h"

const char *control_unready(const struct control *c)
{
    const struct engine_api *h = c->host;
    const struct snapshot *snapshot = control_snapshot(c);
    bool is_accepting = false;
    for (size_t i = 0; i < snapshot->n_listeners && !is_accepting; i++)
        is_accepting = !h->is_listener_paused(h->arg, snapshot->listeners[i].config->name);
    return h->is_stopping(h->arg)       ? "stopping"
           : h->is_retired(h->arg)      ? "another engine serves"
           : fleet_is_leaving(c->fleet) ? "leaving the fleet"
           : !is_accepting              ? "no listener accepts"
           : h->is_full(h->arg)         ? "new clients wait for descriptors"
                                        : NULL;
}
