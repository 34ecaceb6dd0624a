/* SPDX-License-Identifier: ISC */
/* session kill. */
#include "ops/kill.h"
#include "rpc/handlers.h"
#include "runtime/state.h"

static void on_session_killed(void *arg, const struct kill_result *result)
{
    struct request *r = arg;
    if (result->err == 0 && result->tally->ended == 0 && request_has(r, "filter")) {
        request_fail(r, -ERR_NO_MATCH, NULL, "no session matches");
        return;
    }
    kill_answer(r, result);
}

void command_session_kill(struct request *r)
{
    struct filter *filter = NULL;
    if (request_filter(r, "filter", session_filter_fields, SESSION_FIELD_COUNT, &filter) < 0)
        return;
    if (!filter && !request_bool(r, "all")) {
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say which sessions, or --all");
        return;
    }
    struct kill_spec spec = {.filter = filter, .kind = REPLY_KICKED, .done = on_session_killed};
    if (request_number(r, "rate", 0) > 0 && !request_bool(r, "dry_run"))
        kill_paced(r, filter);
    else
        kill_for_request(r, &spec);
    filter_unref(filter);
}
