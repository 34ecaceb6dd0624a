/* SPDX-License-Identifier: ISC */
/* fleet run, watch. */
#include "fleet/commands/fleet_run.h"

#include "fleet/live/fleet_live.h"
#include "rpc/handlers.h"
#include "runtime/state.h"

/* What goes through the store is no secret, and no file. */
static bool run_may_send(struct request *r, const struct command *c, const json_t *params)
{
    const char *name;
    json_t *value;
    if (commands_fleet(c) == COMMAND_FLEET_NOT) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, "%s is not for other nodes", c->method);
        return false;
    }
    json_object_foreach ((json_t *)params, name, value) {
        const struct command_arg *arg = commands_arg(c, name);
        if (!arg || (arg->type != COMMANDS_SECRET && arg->type != COMMANDS_FILE))
            continue;
        request_fail(r, -ERR_UNSUPPORTED, NULL,
                     "%s: secrets and files do not go through the store of a fleet", name);
        return false;
    }
    return true;
}

void command_fleet_run(struct request *r)
{
    struct fleet_runs *f = request_control(r)->fleet_runs;
    const char *method = request_text(r, "method"), *text = request_text(r, "params");
    const struct command *c = commands_find_method(method);
    if (!f) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, "this proxy is in no fleet");
        return;
    }
    if (!c) {
        request_fail(r, -ERR_NO_COMMAND, command_nearest(method), "there is no command %.64s",
                     method);
        return;
    }
    json_t *params = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_object();
    if (!json_is_object(params))
        request_fail(r, -ERR_BAD_PARAM, NULL, "params has to be the text of a JSON object");
    else if (request_is_permitted(r, c) && run_may_send(r, c, params))
        fleet_run(f, r, c, params, request_text(r, "node"));
    json_decref(params);
}

void command_fleet_watch(struct request *r)
{
    struct fleet_live *l = request_control(r)->fleet_live;
    const char *method = request_text(r, "method"), *text = request_text(r, "params");
    const struct command *c = commands_find_method(method);
    if (!l || !r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, l ? NULL : "this proxy is in no fleet");
        return;
    }
    if (!c || !(c->flags & COMMANDS_STREAM) || c == r->command) {
        request_fail(r, -ERR_BAD_PARAM, "event.watch, session.trace", "%.64s is no stream", method);
        return;
    }
    json_t *params = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_object();
    if (!json_is_object(params))
        request_fail(r, -ERR_BAD_PARAM, NULL, "params has to be the text of a JSON object");
    else if (request_is_permitted(r, c))
        fleet_live_watch(l, r, c, params, request_text(r, "node"));
    json_decref(params);
}
