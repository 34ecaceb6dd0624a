/* SPDX-License-Identifier: ISC */
/* Whether this daemon takes new clients. */
#include "control/control.h"

#include "fleet/fleet.h"
#include "runtime/state.h"

static bool accepts_somewhere(const struct control *c)
{
    const struct setup *setup = control_setup(c);
    for (size_t i = 0; i < setup->n_listeners; i++)
        if (!c->host->is_listener_paused(c->host->arg, setup->listeners[i].config->name))
            return true;
    return false;
}

const char *control_unready(const struct control *c)
{
    const struct engine_api *h = c->host;
    return h->is_stopping(h->arg)       ? "stopping"
           : h->is_retired(h->arg)      ? "another engine serves"
           : fleet_is_leaving(c->fleet) ? "leaving the fleet"
           : !accepts_somewhere(c)      ? "no listener accepts"
           : h->is_full(h->arg)         ? "new clients wait for descriptors"
                                        : NULL;
}
