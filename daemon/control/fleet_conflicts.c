/* SPDX-License-Identifier: ISC */
/* fleet conflicts. */
#include "peers/peer_conflicts.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/state.h"

#define CONFLICTS_MAX 10000 /* of an answer */

void command_fleet_conflicts(struct request *r)
{
    struct control *c = request_control(r);
    if (!c->host->pins) {
        request_fail(r, -ERR_NOT_FOUND, "fleet.name in the configuration",
                     "this proxy is in no fleet");
        return;
    }
    json_t *rows = peer_conflicts_own(c, CONFLICTS_MAX);
    if (rows)
        peer_conflicts_add(c, rows);
    table_answer(r, rows);
}
