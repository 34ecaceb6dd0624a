/* SPDX-License-Identifier: ISC */
/* fleet conflicts. */
#include "fleet/fleet_pins.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/state.h"

#define CONFLICTS_MAX 10000 /* of an answer */

static bool on_conflict(void *arg, const struct pin_conflict *c)
{
    json_t *rows = arg, *row = json_object();
    request_set_text(row, "user", c->user);
    request_set_text(row, "pool", c->pool);
    request_set_text(row, "backend", c->backend);
    request_put_number(row, "sessions", c->sessions);
    request_set_text(row, "pinned", c->pinned);
    request_put_number(row, "generation", c->gen);
    request_put_number(row, "since", c->since_ms);
    (void)json_array_append_new(rows, row);
    return json_array_size(rows) < CONFLICTS_MAX;
}

void command_fleet_conflicts(struct request *r)
{
    struct pins_shared *pins = request_control(r)->host->pins;
    if (!pins) {
        request_fail(r, -ERR_NOT_FOUND, "fleet.name in the configuration",
                     "this proxy is in no fleet");
        return;
    }
    json_t *rows = json_array();
    pin_conflicts(&pins->table, PIN_CONFLICTS_ALL, on_conflict, rows);
    table_answer(r, rows);
}
